//! One picture of a desktop, as a file.

mod thumbnail;

use helix_proto::desktop::{Point, Size};
use image_webp::WebPEncoder;
use jpeg_encoder::ColorType;
use serde::{Deserialize, Serialize};

pub use self::thumbnail::thumbnail;
use crate::{Error, capture::Shot, encode::stills};

/// How a picture is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Exact.
    #[default]
    Png,
    /// Smaller.
    Jpeg,
    /// Exact, too, and smaller than a PNG.
    Webp,
}

impl Format {
    /// Its MIME type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

/// A pointer: its outline and what is in it. Its tip is its first pixel.
const ARROW: [&str; 17] = [
    "#           ",
    "##          ",
    "#.#         ",
    "#..#        ",
    "#...#       ",
    "#....#      ",
    "#.....#     ",
    "#......#    ",
    "#.......#   ",
    "#........#  ",
    "#.....##### ",
    "#..#..#     ",
    "#.# #..#    ",
    "##  #..#    ",
    "#    #..#   ",
    "     #..#   ",
    "      ##    ",
];

/// One picture of a desktop, apart from the memory that it was captured in: making a file of it
/// takes tens of milliseconds and more, and is for a thread on which nothing else waits.
#[derive(Debug)]
pub struct Screenshot {
    size: Size,
    /// Red, green, blue, without padding.
    pixels: Vec<u8>,
}

impl Screenshot {
    /// Copies a picture. With a pointer, an arrow is painted there.
    ///
    /// # Errors
    ///
    /// Where the shot has fewer bytes than its size says.
    pub fn of(shot: &Shot<'_>, pointer: Option<Point>) -> Result<Self, Error> {
        let size = shot.size;
        let mut pixels = rgb(shot)?;
        if let Some(at) = pointer {
            paint(&mut pixels, size, at);
        }
        Ok(Self { size, pixels })
    }

    /// The picture as a file; `quality`, from 1 to 100, is that of a JPEG.
    ///
    /// # Errors
    ///
    /// Where the picture is larger than the format takes.
    pub fn file(&self, format: Format, quality: u8) -> Result<Vec<u8>, Error> {
        let Self { size, pixels } = self;
        match format {
            Format::Jpeg => stills::jpeg(pixels, ColorType::Rgb, *size, quality.clamp(1, 100)),
            Format::Png => png(pixels, png::ColorType::Rgb, *size),
            Format::Webp => webp(pixels, *size),
        }
    }
}

/// Paints the arrow, as much of it as is in the picture.
fn paint(pixels: &mut [u8], size: Size, at: Point) {
    let (left, top) = at.pixel(size);
    let (width, left) = (usize::from(size.width()), usize::from(left));
    let rows = pixels.chunks_exact_mut(width * 3).skip(top.into());
    for (row, arrow) in rows.zip(ARROW) {
        let pixels = row.chunks_exact_mut(3).skip(left);
        for (pixel, painted) in pixels.zip(arrow.bytes()) {
            match painted {
                b'#' => pixel.fill(0),
                b'.' => pixel.fill(255),
                _ => {}
            }
        }
    }
}

/// A PNG of pixels of this kind, of 8 bits for each colour, without padding.
pub(crate) fn png(pixels: &[u8], kind: png::ColorType, size: Size) -> Result<Vec<u8>, Error> {
    let failed = |why| Error::failed("cannot make a PNG", why);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.width().into(), size.height().into());
    encoder.set_color(kind);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// Red, green, blue and alpha, of alpha, red, green and blue that are multiplied with alpha.
#[cfg(any(feature = "wayland", feature = "x11"))]
pub(crate) fn straight([alpha, red, green, blue]: [u8; 4]) -> [u8; 4] {
    let divide = |colour: u8| match alpha {
        0 => 0,
        _ => (u16::from(colour) * 255 / u16::from(alpha)).min(255) as u8,
    };
    [divide(red), divide(green), divide(blue), alpha]
}

fn webp(pixels: &[u8], size: Size) -> Result<Vec<u8>, Error> {
    let mut file = Vec::new();
    let (width, height) = (size.width().into(), size.height().into());
    WebPEncoder::new(&mut file)
        .encode(pixels, width, height, image_webp::ColorType::Rgb8)
        .map_err(|why| Error::failed("cannot make a WebP", why))?;
    Ok(file)
}

/// Red, green, blue, without padding.
fn rgb(shot: &Shot<'_>) -> Result<Vec<u8>, Error> {
    let width = usize::from(shot.size.width());
    let mut rgb = vec![0; shot.size.pixels() * 3];
    let mut rows = shot.pixels.chunks(shot.stride.max(1));
    for to in rgb.chunks_exact_mut(width * 3) {
        let row = rows.next().and_then(|row| row.get(..width * 4));
        let row = row.ok_or_else(|| Error::failed("cannot take a screenshot", "too few rows"))?;
        for (to, from) in to.chunks_exact_mut(3).zip(row.chunks_exact(4)) {
            to.copy_from_slice(&[from[2], from[1], from[0]]);
        }
    }
    Ok(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "wayland", feature = "x11"))]
    #[test]
    fn colours_are_as_they_were_before_they_were_multiplied() {
        assert_eq!(straight([128, 64, 32, 128]), [127, 63, 255, 128]);
        assert_eq!(straight([255, 1, 2, 3]), [1, 2, 3, 255]);
        assert_eq!(straight([0; 4]), [0; 4]);
    }

    #[test]
    fn the_arrow_has_its_tip_at_the_pointer_and_ends_with_the_picture() {
        let size = Size::new(20, 20).unwrap();
        let painted = |x, y| {
            let mut pixels = vec![7; size.pixels() * 3];
            paint(&mut pixels, size, Point::of_pixel(x, y, size));
            let places = pixels.chunks(3).enumerate();
            let changed = places.filter(|(_, pixel)| *pixel != [7; 3]);
            changed
                .map(|(at, _)| (at % 20, at / 20))
                .collect::<Vec<_>>()
        };
        let whole = painted(3, 2);
        assert_eq!(whole[0], (3, 2));
        assert!(whole.iter().all(|(x, y)| *x >= 3 && *y >= 2));
        assert_eq!(painted(19, 19), [(19, 19)]);
        assert_eq!(painted(0, 18).len(), 3);
    }
}
