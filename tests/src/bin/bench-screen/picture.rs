//! The pixels of a picture: four bytes each, blue first.

use ab_glyph::{Font as _, FontVec, PxScale, ScaleFont as _, point};
use anyhow::{Context as _, Result};
use helix_base::{Clock as _, SystemClock};
use helix_tests::barcode::{self, BITS};

pub(crate) const WIDTH: usize = 1280;
pub(crate) const HEIGHT: usize = 720;
const CELL: usize = barcode::CELL as usize;
/// Where the square that keys turn is: left, top, and the length of a side.
const SQUARE: (usize, usize, usize) = (1120, 560, 128);
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf";
const LINE: usize = 18;
/// So many rows of text are different; then it begins again.
const TEXT: usize = HEIGHT * 2 / LINE * LINE;
/// How much larger noise is than the screen, which is moved over it.
const ROUND: usize = 256;
const BLOCK: usize = 8;

/// What moves.
pub(crate) struct Picture {
    text: Vec<u8>,
    noise: Vec<u8>,
}

/// Rows of pixels that are wider than the screen, or not, from where they are to be seen.
pub(crate) struct Below<'a> {
    pixels: &'a [u8],
    stride: usize,
}

impl Picture {
    pub(crate) fn new() -> Result<Self> {
        let mut chance = Chance(1);
        Ok(Self {
            text: text(&mut chance)?,
            noise: noise(&mut chance),
        })
    }

    pub(crate) fn text(&self, step: usize) -> Below<'_> {
        let row = step * 4 % TEXT;
        Below {
            pixels: &self.text[row * WIDTH * 4..],
            stride: WIDTH * 4,
        }
    }

    pub(crate) fn noise(&self, step: usize) -> Below<'_> {
        let (x, y) = (step * 5 % ROUND, step * 3 % ROUND);
        let stride = (WIDTH + ROUND) * 4;
        Below {
            pixels: &self.noise[y * stride + x * 4..],
            stride,
        }
    }
}

/// Draws a picture with the clock as it is now; of one colour where nothing is below.
pub(crate) fn draw(pixels: &mut [u8], below: Option<&Below<'_>>, turned: bool) {
    for (number, row) in pixels.chunks_exact_mut(WIDTH * 4).enumerate() {
        match below {
            Some(below) => row.copy_from_slice(&below.pixels[number * below.stride..][..WIDTH * 4]),
            None => fill(row, [102, 76, 51]),
        }
        if (SQUARE.1..SQUARE.1 + SQUARE.2).contains(&number) {
            let square = &mut row[SQUARE.0 * 4..(SQUARE.0 + SQUARE.2) * 4];
            fill(square, [if turned { 255 } else { 0 }; 3]);
        }
    }
    let cells = barcode::cells(SystemClock.now_ms());
    for row in pixels.chunks_exact_mut(WIDTH * 4).take(CELL) {
        for (bit, cell) in (0..BITS).zip(row.chunks_exact_mut(CELL * 4)) {
            let white = cells >> (BITS - 1 - bit) & 1 == 1;
            fill(cell, [if white { 255 } else { 0 }; 3]);
        }
    }
}

fn fill(row: &mut [u8], [blue, green, red]: [u8; 3]) {
    for pixel in row.chunks_exact_mut(4) {
        pixel.copy_from_slice(&[blue, green, red, 255]);
    }
}

/// Lines, as a long log has them, and the first screen of them again at the end.
fn text(chance: &mut Chance) -> Result<Vec<u8>> {
    let file = std::fs::read(FONT)
        .with_context(|| format!("reading {FONT} (Debian: apt-get install fonts-dejavu-core)"))?;
    let font = FontVec::try_from_vec(file).context("reading the font")?;
    let scaled = font.as_scaled(PxScale::from(16.3));
    let mut pixels = vec![0; WIDTH * TEXT * 4];
    fill(&mut pixels, [31, 26, 26]);
    for number in 0..TEXT / LINE {
        let colour = [chance.below(128) + 128, 204, chance.below(128) + 128];
        let mut line = format!("{number:06}");
        for _ in 0..16 {
            line.push(' ');
            for _ in 0..2 + chance.below(8) {
                line.push(char::from(b'a' + chance.below(16) as u8));
            }
        }
        let mut x = 8.0;
        let baseline = (number * LINE + 14) as f32;
        for letter in line.chars() {
            let glyph = scaled.scaled_glyph(letter);
            let (id, scale) = (glyph.id, glyph.scale);
            let glyph = id.with_scale_and_position(scale, point(x, baseline));
            x += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let bounds = outline.px_bounds();
            outline.draw(|right, down, coverage| {
                let x = bounds.min.x as usize + right as usize;
                let y = bounds.min.y as usize + down as usize;
                if x >= WIDTH || y >= TEXT {
                    return;
                }
                for (channel, full) in colour.into_iter().enumerate() {
                    let value = &mut pixels[(y * WIDTH + x) * 4 + channel];
                    let behind = f32::from(*value);
                    *value = (behind + (full as f32 - behind) * coverage.min(1.0)) as u8;
                }
            });
        }
    }
    pixels.extend_from_within(..WIDTH * HEIGHT * 4);
    Ok(pixels)
}

/// Blocks of any colour.
fn noise(chance: &mut Chance) -> Vec<u8> {
    let (width, height) = (WIDTH + ROUND, HEIGHT + ROUND);
    let mut pixels = vec![255; width * height * 4];
    for y in (0..height).step_by(BLOCK) {
        for x in (0..width).step_by(BLOCK) {
            let colour = [(); 3].map(|()| chance.below(256) as u8);
            for row in y..y + BLOCK {
                let from = (row * width + x) * 4;
                fill(&mut pixels[from..from + BLOCK * 4], colour);
            }
        }
    }
    pixels
}

/// Numbers by chance, the same each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) % bound
    }
}
