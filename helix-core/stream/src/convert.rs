//! From what compositors paint to what encoders take: BGRx to planar YUV with half the colour
//! (I420), by SIMD.
//!
//! The colours are those of **BT.709, limited range**, for every size and codec, and encoders
//! say so in their streams. Decoders that are told nothing guess by size; those that are told
//! agree.

mod changes;

use std::{fmt, sync::Arc};

use helix_proto::desktop::{Piece, Size};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

use self::changes::{Changes, Rows};
use crate::{Error, ErrorKind, capture::Shot};

const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt709;
const RANGE: YuvRange = YuvRange::Limited;
/// Rows that are compared at once with those before: so few that they are near when they are.
const BAND: usize = 16;

/// A picture as encoders take it: the luma of each pixel, then the two colours of each two by
/// two. It lies as GStreamer's raw video does by default: rows are padded to four bytes, and
/// there is an even number of them. A side that is odd has a last colour of its own.
#[derive(Clone)]
pub struct I420 {
    size: Size,
    planes: Planes,
}

/// The bytes of a picture, which stay as they are: a picture that is filled anew meanwhile has
/// others.
#[derive(Clone)]
pub struct Planes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Planes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Planes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Planes").field(&self.0.len()).finish()
    }
}

impl fmt::Debug for I420 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("I420").field(&self.size).finish()
    }
}

impl I420 {
    /// A black picture.
    pub fn black(size: Size) -> Self {
        let layout = Layout::of(size);
        let mut planes = vec![16; layout.luma_bytes()];
        planes.resize(layout.luma_bytes() + 2 * layout.colour_bytes(), 128);
        let planes = Planes(Arc::new(planes));
        Self { size, planes }
    }

    /// Of the picture.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The three planes, one after the other.
    pub const fn planes(&self) -> &Planes {
        &self.planes
    }

    /// The luma of each row's pixels, from the top.
    pub fn luma(&self) -> impl Iterator<Item = &[u8]> {
        let layout = Layout::of(self.size);
        let (width, height) = (self.size.width().into(), self.size.height().into());
        let rows = self.planes.0.chunks_exact(layout.luma).take(height);
        rows.map(move |row| &row[..width])
    }

    /// Takes the picture over, with its size. Says where it differs from the one before, where
    /// that is little: in [`MAX_PATCH`](helix_proto::desktop::MAX_PATCH) pixels at most.
    ///
    /// # Errors
    ///
    /// Where the shot has fewer bytes than its size says.
    pub fn fill(&mut self, shot: &Shot<'_>) -> Result<Option<Vec<Piece>>, Error> {
        let mut changes = if self.size == shot.size {
            Changes::default()
        } else {
            *self = Self::black(shot.size);
            Changes::all()
        };
        let size = self.size;
        let (width, height) = (usize::from(size.width()), usize::from(size.height()));
        let least = shot.stride * (height - 1) + 4 * width;
        if shot.stride < 4 * width || shot.pixels.len() < least {
            let why = "a picture with fewer bytes than its size says";
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let layout = Layout::of(size);
        let (luma, colour) = Arc::make_mut(&mut self.planes.0).split_at_mut(layout.luma_bytes());
        let (blue, red) = colour.split_at_mut(layout.colour_bytes());
        let mut scratch = Scratch::new(layout);
        let mut row = 0;
        while row < height {
            let rows = if changes.is_much() {
                height - row
            } else {
                BAND.min(height - row)
            };
            let pixels = &shot.pixels[row * shot.stride..];
            let from = Size::new(size.width(), rows as u16).unwrap_or(size);
            let mut old = Band {
                luma: &mut luma[row * layout.luma..][..rows * layout.luma],
                blue: &mut blue[row / 2 * layout.colour..][..rows.div_ceil(2) * layout.colour],
                red: &mut red[row / 2 * layout.colour..][..rows.div_ceil(2) * layout.colour],
            };
            if changes.is_much() {
                old.fill(layout, from, pixels, shot.stride)?;
            } else {
                let mut new = scratch.band(layout, rows);
                new.fill(layout, from, pixels, shot.stride)?;
                let of = |stride, scale| Rows {
                    stride,
                    scale,
                    size,
                    from: row,
                };
                let (full, half) = (of(layout.luma, 1), of(layout.colour, 2));
                changes.replace([
                    (&*new.luma, old.luma, full),
                    (&*new.blue, old.blue, half),
                    (&*new.red, old.red, half),
                ]);
            }
            row += rows;
        }
        Ok(changes.into_pieces())
    }

    /// Back to red, green and blue, without padding.
    ///
    /// # Errors
    ///
    /// Where `rgb` has not three bytes for each pixel.
    pub fn to_rgb(&self, rgb: &mut [u8]) -> Result<(), Error> {
        let size = self.size;
        let layout = Layout::of(size);
        let (luma, colour) = self.planes.0.split_at(layout.luma_bytes());
        let (blue, red) = colour.split_at(layout.colour_bytes());
        let luma = &luma[..layout.luma * usize::from(size.height())];
        let image = YuvPlanarImage {
            y_plane: luma,
            y_stride: short(layout.luma),
            u_plane: blue,
            u_stride: short(layout.colour),
            v_plane: red,
            v_stride: short(layout.colour),
            width: size.width().into(),
            height: size.height().into(),
        };
        let stride = u32::from(size.width()) * 3;
        yuv::yuv420_to_rgb(&image, rgb, stride, RANGE, MATRIX)
            .map_err(|why| Error::failed("cannot convert a picture", why))
    }
}

/// Some rows of a picture.
struct Band<'a> {
    luma: &'a mut [u8],
    blue: &'a mut [u8],
    red: &'a mut [u8],
}

impl Band<'_> {
    fn fill(
        &mut self,
        layout: Layout,
        size: Size,
        pixels: &[u8],
        stride: usize,
    ) -> Result<(), Error> {
        let stride = u32::try_from(stride)
            .map_err(|_| Error::new(ErrorKind::Invalid, "a row of more than 4 GiB"))?;
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(&mut *self.luma),
            y_stride: short(layout.luma),
            u_plane: BufferStoreMut::Borrowed(&mut *self.blue),
            u_stride: short(layout.colour),
            v_plane: BufferStoreMut::Borrowed(&mut *self.red),
            v_stride: short(layout.colour),
            width: size.width().into(),
            height: size.height().into(),
        };
        // Two thirds of the time of the next better, and within 1.4 steps of exact instead of 1.2.
        let mode = YuvConversionMode::Fast;
        yuv::bgra_to_yuv420(&mut image, pixels, stride, RANGE, MATRIX, mode)
            .map_err(|why| Error::failed("cannot convert a picture", why))
    }
}

/// Memory for a band that is compared with the one before.
struct Scratch {
    luma: Vec<u8>,
    colour: Vec<u8>,
}

impl Scratch {
    fn new(layout: Layout) -> Self {
        // Where rows are padded, the padding is that of a black picture.
        Self {
            luma: vec![16; BAND * layout.luma],
            colour: vec![128; BAND * layout.colour],
        }
    }

    fn band(&mut self, layout: Layout, rows: usize) -> Band<'_> {
        let colour = rows.div_ceil(2) * layout.colour;
        let (blue, red) = self.colour.split_at_mut(BAND / 2 * layout.colour);
        Band {
            luma: &mut self.luma[..rows * layout.luma],
            blue: &mut blue[..colour],
            red: &mut red[..colour],
        }
    }
}

/// How the planes lie: bytes of a row, and rows.
#[derive(Clone, Copy)]
struct Layout {
    luma: usize,
    colour: usize,
    rows: usize,
}

impl Layout {
    /// `gst_video_info_set_format` of I420.
    const fn of(size: Size) -> Self {
        let (width, height) = (size.width() as usize, size.height() as usize);
        Self {
            luma: width.next_multiple_of(4),
            colour: width.div_ceil(2).next_multiple_of(4),
            rows: height.next_multiple_of(2),
        }
    }

    const fn luma_bytes(self) -> usize {
        self.luma * self.rows
    }

    const fn colour_bytes(self) -> usize {
        self.colour * self.rows / 2
    }
}

/// At most 8,192.
const fn short(bytes: usize) -> u32 {
    bytes as u32
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "nobody looks at it")]
    fn shot(pixels: &[u8], size: Size, stride: usize) -> Shot<'_> {
        Shot {
            pixels,
            stride,
            size,
            captured: Instant::now(),
            took: Duration::ZERO,
        }
    }

    fn size(width: u16, height: u16) -> Size {
        Size::new(width, height).unwrap()
    }

    #[test]
    fn the_colours_are_those_of_bt_709_in_limited_range() {
        // Blue, green, red; luma, blue, red as in ITU-R BT.709-6, table 3.
        for (bgr, yuv) in [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 255], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([255, 0, 0], [32, 240, 118]),
        ] {
            let size = size(64, 4);
            let [b, g, r] = bgr;
            let pixels = [b, g, r, 0].repeat(size.pixels());
            let mut picture = I420::black(size);
            picture.fill(&shot(&pixels, size, 256)).unwrap();
            let planes = picture.planes().as_ref();
            let got = [planes[70], planes[64 * 4 + 3], planes[64 * 4 + 64 + 3]];
            assert_eq!(planes.len(), 64 * 4 * 3 / 2);
            for (got, expected) in got.into_iter().zip(yuv) {
                assert!(
                    u8::abs_diff(got, expected) <= 1,
                    "{bgr:?}: {got} is not {expected}"
                );
            }
        }
    }

    #[test]
    fn every_size_is_taken_and_comes_back() {
        for (width, height) in [
            (1, 1),
            (2, 1),
            (1, 2),
            (3, 3),
            (641, 359),
            (1279, 3),
            (1280, 720),
        ] {
            let size = size(width, height);
            let stride = usize::from(width) * 4 + 12;
            let pixel = |at: usize| [40, 80, 160, 0][at % 4];
            let row: Vec<u8> = (0..stride).map(pixel).collect();
            let pixels = row.repeat(height.into());
            let mut picture = I420::black(Size::new(7, 5).unwrap());
            picture.fill(&shot(&pixels, size, stride)).unwrap();
            let mut rgb = vec![0; size.pixels() * 3];
            picture.to_rgb(&mut rgb).unwrap();
            for pixel in rgb.chunks(3) {
                for (got, expected) in pixel.iter().zip([160, 80, 40]) {
                    assert!(got.abs_diff(expected) <= 4, "{size}: {pixel:?}");
                }
            }
        }
    }

    /// Where a picture differs from one before it, in which these pixels were others.
    fn changed(size: Size, pixels: &[(usize, usize)]) -> Option<Vec<[u16; 4]>> {
        let width = usize::from(size.width());
        let mut bytes = vec![90; size.pixels() * 4];
        let mut picture = I420::black(size);
        picture.fill(&shot(&bytes, size, width * 4)).unwrap();
        for (x, y) in pixels {
            bytes[(y * width + x) * 4] = 255;
        }
        let changed = picture.fill(&shot(&bytes, size, width * 4)).unwrap();
        let mut anew = I420::black(size);
        anew.fill(&shot(&bytes, size, width * 4)).unwrap();
        assert_eq!(picture.planes().as_ref(), anew.planes().as_ref());
        let area = |piece: Piece| [piece.x, piece.y, piece.size.width(), piece.size.height()];
        changed.map(|pieces| pieces.into_iter().map(area).collect())
    }

    #[test]
    fn where_a_picture_differs_is_found_by_the_colours_of_two_by_two() {
        let size = size(641, 359);
        let found = |pixels: &[(usize, usize)]| changed(size, pixels).unwrap();
        assert!(found(&[]).is_empty());
        assert_eq!(found(&[(101, 51)]), [[100, 50, 2, 2]]);
        // The last of an odd side has a colour of its own.
        assert_eq!(found(&[(640, 358)]), [[640, 358, 1, 1]]);
        assert_eq!(found(&[(10, 3), (30, 9)]), [[10, 2, 22, 8]]);
        // Over the border of two bands, and in two that have nothing to do with each other.
        assert_eq!(found(&[(8, 14), (9, 16)]), [[8, 14, 2, 4]]);
        assert_eq!(
            found(&[(0, 15), (600, 16)]),
            [[0, 14, 2, 2], [600, 16, 2, 2]]
        );
        assert_eq!(found(&[(4, 0), (4, 200)]), [[4, 0, 2, 2], [4, 200, 2, 2]]);
    }

    #[test]
    fn what_has_changed_much_is_not_counted() {
        let size = size(1280, 720);
        let rows = |rows: usize| {
            let pixels: Vec<_> = (0..rows).flat_map(|y| [(0, y), (1279, y)]).collect();
            changed(size, &pixels)
        };
        // 51 rows of 1280 are as much as a patch may be.
        assert!(rows(50).is_some());
        assert!(rows(52).is_none());
        let mut picture = I420::black(size);
        let other = Size::new(640, 360).unwrap();
        let pixels = vec![0; other.pixels() * 4];
        let changed = picture.fill(&shot(&pixels, other, 640 * 4)).unwrap();
        assert!(changed.is_none(), "another size");
    }

    #[test]
    fn what_was_taken_of_it_stays_as_it_is() {
        let size = size(2, 2);
        let mut picture = I420::black(size);
        let taken = picture.planes().clone();
        picture.fill(&shot(&[255; 16], size, 8)).unwrap();
        assert_eq!((taken.as_ref()[0], picture.planes().as_ref()[0]), (16, 235));
    }

    #[test]
    fn a_shot_that_is_too_short_is_refused() {
        let size = size(64, 64);
        let pixels = vec![0; 64 * 63 * 4];
        let refused = I420::black(size).fill(&shot(&pixels, size, 256));
        assert!(refused.is_err());
    }
}
