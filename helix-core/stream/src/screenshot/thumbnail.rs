//! A small picture of a desktop.

use helix_proto::desktop::Size;
use jpeg_encoder::ColorType;

use crate::{Error, capture::Shot, encode::stills};

/// The longer side of a thumbnail, and the quality that is enough for one.
const LONGEST: u16 = 480;
const QUALITY: u8 = 70;

/// The picture as a JPEG of at most 480 × 480 pixels.
///
/// # Errors
///
/// Where the shot has fewer bytes than its size says.
pub fn thumbnail(shot: &Shot<'_>) -> Result<Vec<u8>, Error> {
    let size = within(shot.size, LONGEST);
    stills::jpeg(&smaller(shot, size)?, ColorType::Rgb, size, QUALITY)
}

/// The size of the same shape whose sides are not longer than this; never a larger one.
fn within(size: Size, longest: u16) -> Size {
    let (width, height) = (u32::from(size.width()), u32::from(size.height()));
    let longer = width.max(height).max(longest.into());
    // Not longer than it was.
    let side = |side: u32| ((side * u32::from(longest) / longer) as u16).max(1);
    Size::new(side(width), side(height)).unwrap_or(size)
}

/// Red, green, blue: for each pixel the mean of those of the shot that it takes the place of.
fn smaller(shot: &Shot<'_>, to: Size) -> Result<Vec<u8>, Error> {
    let from = (
        usize::from(shot.size.width()),
        usize::from(shot.size.height()),
    );
    let to = (usize::from(to.width()), usize::from(to.height()));
    let columns: Vec<_> = (0..to.0).map(|x| span(x, to.0, from.0)).collect();
    let mut rgb = Vec::with_capacity(to.0 * to.1 * 3);
    for y in 0..to.1 {
        let rows = span(y, to.1, from.1).map(|row| {
            let begin = row * shot.stride;
            shot.pixels.get(begin..begin + from.0 * 4)
        });
        let rows: Option<Vec<_>> = rows.collect();
        let rows = rows.ok_or_else(|| Error::failed("cannot make a thumbnail", "too few rows"))?;
        for column in &columns {
            let bytes = column.start * 4..column.end * 4;
            let mut sums = [0_u32; 3];
            for pixel in rows
                .iter()
                .flat_map(|row| row[bytes.clone()].chunks_exact(4))
            {
                for (sum, byte) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*byte);
                }
            }
            let count = (rows.len() * column.len()) as u32;
            let [blue, green, red] = sums.map(|sum| (sum / count) as u8);
            rgb.extend([red, green, blue]);
        }
    }
    Ok(rgb)
}

/// Of `from` places, those that the one at `at` of `to` places stands for; at least one.
fn span(at: usize, to: usize, from: usize) -> std::ops::Range<usize> {
    let begin = at * from / to;
    begin..((at + 1) * from / to).max(begin + 1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn size(width: u16, height: u16) -> Size {
        Size::new(width, height).unwrap()
    }

    fn shot(size: Size, stride: usize, pixels: &[u8]) -> Shot<'_> {
        Shot {
            pixels,
            stride,
            size,
            #[expect(clippy::disallowed_methods, reason = "nobody asks when")]
            captured: Instant::now(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_thumbnail_has_the_shape_of_its_picture_and_is_never_larger() {
        for (from, to) in [
            ((1920, 1080), (480, 270)),
            ((1080, 1920), (270, 480)),
            ((320, 240), (320, 240)),
            ((8192, 1), (480, 1)),
        ] {
            assert_eq!(within(size(from.0, from.1), 480), size(to.0, to.1));
        }
    }

    #[test]
    fn a_pixel_is_the_mean_of_those_that_it_stands_for() {
        // Two rows of three, each with a pixel of padding.
        let pixels: Vec<u8> = [[0, 10, 20, 0], [2, 10, 40, 9], [7, 8, 9, 0], [255; 4]]
            .repeat(2)
            .concat();
        let shot = shot(size(3, 2), 16, &pixels);
        assert_eq!(smaller(&shot, size(1, 1)).unwrap(), [23, 9, 3]);
        assert_eq!(
            smaller(&shot, size(3, 1)).unwrap(),
            [20, 10, 0, 40, 10, 2, 9, 8, 7]
        );
        assert!(
            smaller(
                &Shot {
                    pixels: &pixels[..16],
                    ..shot
                },
                size(1, 1)
            )
            .is_err()
        );
    }

    #[test]
    fn every_pixel_of_the_picture_is_in_one_of_the_thumbnail() {
        for (to, from) in [(480, 1281), (3, 7), (5, 5), (1, 9)] {
            let mut next = 0;
            for at in 0..to {
                let span = span(at, to, from);
                assert_eq!(span.start, next);
                next = span.end;
            }
            assert_eq!(next, from);
        }
    }
}
