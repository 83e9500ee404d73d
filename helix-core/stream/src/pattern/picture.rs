//! What the pattern looks like.
//!
//! | rows | what is there |
//! |---|---|
//! | 0 to 15 | the barcode: 64 cells for the microseconds, highest bit first, then 8 for their sum |
//! | 16 to 79 | the block, as wide as the picture: white or black |
//! | others | stripes, which lie elsewhere with each change |

use std::time::Duration;

use helix_proto::desktop::Size;

/// Bits of the time, and of the sum.
const CELLS: usize = 72;
const CODE: usize = 16;
const BLOCK: usize = 80;

/// Paints it, as blue, green, red and nothing.
pub(super) fn paint(pixels: &mut Vec<u8>, size: Size, at: Duration, white: bool, changes: u64) {
    let (width, height) = (usize::from(size.width()), usize::from(size.height()));
    pixels.resize(size.pixels() * 4, 0);
    let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
    let code = (u128::from(micros) << 8) | u128::from(sum(micros));
    let cell = (width / CELLS).max(1);
    let bit = |x: usize| {
        let bit = x / cell;
        bit < CELLS && code >> (CELLS - 1 - bit) & 1 == 1
    };
    let code_row = row(width, |x| if bit(x) { 255 } else { 0 });
    let block_row = row(width, |_| if white { 255 } else { 0 });
    let stripes = row(width + 64, |x| (x % 64 * 3) as u8);
    // Where a stripe begins wraps around, as it should.
    let begin = changes as usize * 4;
    for (y, row) in pixels.chunks_exact_mut(width * 4).enumerate().take(height) {
        if y < CODE {
            row.copy_from_slice(&code_row);
        } else if y < BLOCK {
            row.copy_from_slice(&block_row);
        } else {
            let from = begin.wrapping_add(y) % 64 * 4;
            row.copy_from_slice(&stripes[from..from + width * 4]);
        }
    }
}

/// Grey pixels, as blue, green, red and nothing.
fn row(width: usize, grey: impl Fn(usize) -> u8) -> Vec<u8> {
    (0..width)
        .flat_map(|x| [grey(x), grey(x), grey(x), 0])
        .collect()
}

/// The time in a picture of the pattern, by its luma; none where there is no barcode that adds
/// up, or the picture is less than 72 pixels wide.
pub fn read_clock(luma: &[u8], size: Size) -> Option<Duration> {
    let width = usize::from(size.width());
    let cell = width / CELLS;
    let row = CODE.min(size.height().into()) / 2;
    if cell == 0 || luma.len() < size.pixels() {
        return None;
    }
    let mut code = 0_u128;
    for bit in 0..CELLS {
        let luma = luma[row * width + bit * cell + cell / 2];
        code = code << 1 | u128::from(luma > 127);
    }
    // The upper 64 of 72 bits, and the lower 8.
    let (micros, check) = ((code >> 8) as u64, code as u8);
    (sum(micros) == check).then(|| Duration::from_micros(micros))
}

/// Whether the block of a picture of the pattern is white, by its luma; none where the picture
/// has no block.
pub fn read_block(luma: &[u8], size: Size) -> Option<bool> {
    let (width, middle) = (usize::from(size.width()), (CODE + BLOCK) / 2);
    Some(*luma.get(middle * width + width / 2)? > 127)
}

/// Not 0 where all is black, and not that of all white.
fn sum(micros: u64) -> u8 {
    micros
        .to_be_bytes()
        .iter()
        .fold(0x5a, |sum, byte| sum.rotate_left(1) ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luma(pixels: &[u8]) -> Vec<u8> {
        pixels.chunks(4).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn the_clock_and_the_block_are_read_as_they_were_painted() {
        for (width, height) in [(72, 81), (1279, 719), (1920, 1080)] {
            let size = Size::new(width, height).unwrap();
            for micros in [0, 1, 123_456_789, u64::from(u32::MAX) << 20] {
                let at = Duration::from_micros(micros);
                let mut pixels = Vec::new();
                paint(&mut pixels, size, at, micros == 1, 7);
                assert_eq!(read_clock(&luma(&pixels), size), Some(at));
                assert_eq!(read_block(&luma(&pixels), size), Some(micros == 1));
            }
        }
    }

    #[test]
    fn what_is_no_pattern_has_no_clock() {
        let size = Size::new(720, 100).unwrap();
        for grey in [0, 255] {
            assert_eq!(read_clock(&vec![grey; size.pixels()], size), None);
        }
        assert_eq!(read_clock(&[], size), None);
        assert_eq!(read_block(&[], size), None);
    }
}
