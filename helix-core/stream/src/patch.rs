//! What has changed of a picture, where that is little: pixel by pixel, as it is.
//!
//! A letter that is typed, a cursor that blinks, a button that lights up: it is there without an
//! encoder's and a decoder's time, and without their losses. The video stays behind meanwhile;
//! its next picture holds whatever has changed since its last.

use bytes::Bytes;
use helix_proto::desktop::{MAX_PATCH, Piece};

use crate::capture::Shot;

/// Bytes at most: video says in less what takes more.
const MOST: usize = 4 << 10;

/// What has changed of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where.
    pub pieces: Vec<Piece>,
    /// To what, as [`helix_proto::desktop::Patch::qoi`] has it.
    pub qoi: Bytes,
}

impl Patch {
    /// What has changed in these places; none where nothing has, where one of them is not in the
    /// picture, and where it takes more than 4 KiB.
    pub fn of(shot: &Shot<'_>, pieces: Vec<Piece>) -> Option<Self> {
        let pixels: usize = pieces.iter().map(|piece| piece.size.pixels()).sum();
        if !(1..=MAX_PATCH).contains(&pixels) {
            return None;
        }
        let mut rgb = Vec::with_capacity(3 * pixels);
        for piece in &pieces {
            let (left, width) = (usize::from(piece.x), usize::from(piece.size.width()));
            let top = usize::from(piece.y);
            for row in top..top + usize::from(piece.size.height()) {
                let row = shot.pixels.get(row * shot.stride..)?;
                let row = row.get(4 * left..4 * (left + width))?;
                rgb.extend(row.chunks_exact(4).flat_map(|bgr| [bgr[2], bgr[1], bgr[0]]));
            }
        }
        let qoi = qoi::encode_to_vec(&rgb, u32::try_from(pixels).ok()?, 1).ok()?;
        (qoi.len() <= MOST).then(|| Self {
            pieces,
            qoi: qoi.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use helix_proto::desktop::Size;

    use super::*;

    const WIDTH: u16 = 300;
    const HEIGHT: u16 = 200;

    fn piece(x: u16, y: u16, width: u16, height: u16) -> Piece {
        let size = Size::new(width, height).unwrap();
        Piece { x, y, size }
    }

    /// Every pixel of it is another, or all are the same.
    #[expect(clippy::disallowed_methods, reason = "nobody looks at it")]
    fn of(pieces: &[Piece], plain: bool) -> Option<Patch> {
        let stride = usize::from(WIDTH) * 4 + 8;
        let pixel = |at: usize| match (plain, at % 4) {
            (true, channel) => [10, 20, 30, 0][channel],
            (false, _) => (at * at / 7) as u8,
        };
        let pixels: Vec<u8> = (0..stride * usize::from(HEIGHT)).map(pixel).collect();
        let shot = Shot {
            pixels: &pixels,
            stride,
            size: Size::new(WIDTH, HEIGHT).unwrap(),
            captured: Instant::now(),
            took: Duration::ZERO,
        };
        let patch = Patch::of(&shot, pieces.to_vec())?;
        let (header, rgb) = qoi::decode_to_vec(&patch.qoi).unwrap();
        let mut expected = Vec::new();
        for piece in pieces {
            for y in piece.y..piece.y + piece.size.height() {
                for x in piece.x..piece.x + piece.size.width() {
                    let at = usize::from(y) * stride + usize::from(x) * 4;
                    expected.extend([pixels[at + 2], pixels[at + 1], pixels[at]]);
                }
            }
        }
        assert_eq!(rgb, expected);
        assert_eq!((header.height, header.channels), (1, qoi::Channels::Rgb));
        Some(patch)
    }

    #[test]
    fn the_pixels_are_those_of_the_shot_piece_by_piece() {
        let pieces = [piece(3, 5, 10, 12), piece(299, 199, 1, 1)];
        assert_eq!(of(&pieces, false).unwrap().pieces, pieces);
    }

    #[test]
    fn what_is_plain_may_be_large_and_what_is_not_is_none() {
        assert!(of(&[piece(0, 0, WIDTH, HEIGHT)], true).is_some());
        assert!(of(&[piece(0, 0, 60, 60)], false).is_none());
    }

    #[test]
    fn nothing_too_much_and_what_is_elsewhere_are_none() {
        assert_eq!(of(&[], true), None);
        assert_eq!(of(&[piece(0, 0, WIDTH, HEIGHT); 2], true), None);
        assert_eq!(of(&[piece(0, HEIGHT, 1, 1)], true), None);
    }
}
