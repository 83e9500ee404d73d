//! How a desktop is watched and driven: the messages between a viewer and the media process of
//! a sandbox. `docs/desktop-protocol.md` is the contract; this is it in types.
//!
//! Every message is one binary WebSocket message: a byte that says its kind, then its fields,
//! big endian, without padding. [`Down`] goes to viewers, [`Up`] comes from them. Decoding is
//! total: whatever arrives is a message within the bounds or an [`Error`] that says what is
//! wrong with it and which code closes the socket.

mod down;
mod error;
mod up;
mod wire;

use std::fmt;

use bytes::Bytes;

pub use self::{
    down::{
        Audio, Cursor, Down, Frame, FrameFlags, Hello, HelloFlags, Image, Notice, NoticeCode,
        Patch, Piece, Presence, PresenceFlags, Stats, Still,
    },
    error::{Error, MALFORMED, TOO_LARGE},
    up::{Button, Greeting, Key, TouchPhase, Up},
};

/// The version of the protocol that is spoken here; the only one there is.
pub const VERSION: u16 = 1;
/// Bytes of a message down at most, its kind and fields included.
pub const MAX_DOWN: usize = 32 << 20;
/// Bytes of a message up at most, unless it is a clipboard.
pub const MAX_UP: usize = 64 << 10;
/// Bytes of a clipboard's message up at most.
pub const MAX_CLIPBOARD: usize = 16 << 20;
/// Width or height of anything at most, in pixels; the least is 1.
pub const MAX_SIDE: u16 = 8_192;

/// Pixels of a patch at most.
pub const MAX_PATCH: usize = 64 << 10;

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Codec {
    /// No video: one JPEG after the other.
    Stills = 0,
    /// H.264 as Annex B, with the parameter sets in every key frame.
    H264 = 1,
    /// HEVC as Annex B, with the parameter sets in every key frame.
    Hevc = 2,
    /// VP9.
    Vp9 = 3,
    /// AV1, low overhead, with the sequence header in every key frame.
    Av1 = 4,
}

impl Codec {
    /// All of them, by number.
    pub const ALL: [Self; 5] = [Self::Stills, Self::H264, Self::Hevc, Self::Vp9, Self::Av1];

    const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Stills),
            1 => Some(Self::H264),
            2 => Some(Self::Hevc),
            3 => Some(Self::Vp9),
            4 => Some(Self::Av1),
            _ => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stills => "stills",
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        })
    }
}

/// Microseconds of the media process's own clock, which begins at 0 with that process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(pub u64);

/// A width and a height in pixels, each from 1 to [`MAX_SIDE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    width: u16,
    height: u16,
}

impl Size {
    /// None where one of them is 0 or beyond [`MAX_SIDE`].
    pub const fn new(width: u16, height: u16) -> Option<Self> {
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return None;
        }
        Some(Self { width, height })
    }

    /// Pixels from left to right.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Pixels from top to bottom.
    pub const fn height(self) -> u16 {
        self.height
    }

    /// Both of them multiplied.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A place in the picture: 0 is the first pixel's near edge and 65,535 the last one's far edge,
/// whatever its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Point {
    /// From the left.
    pub x: u16,
    /// From the top.
    pub y: u16,
}

impl Point {
    /// The pixel that this is in, in a picture of this size.
    pub const fn pixel(self, size: Size) -> (u16, u16) {
        (at(self.x, size.width), at(self.y, size.height))
    }

    /// The middle of a pixel, in a picture of this size.
    pub const fn of_pixel(x: u16, y: u16, size: Size) -> Self {
        Self {
            x: middle(x, size.width),
            y: middle(y, size.height),
        }
    }
}

const fn at(coordinate: u16, side: u16) -> u16 {
    let pixel = coordinate as u32 * side as u32 / u16::MAX as u32;
    let last = side as u32 - 1;
    // At most 8,191.
    (if pixel < last { pixel } else { last }) as u16
}

const fn middle(pixel: u16, side: u16) -> u16 {
    let pixel = if pixel < side { pixel } else { side - 1 } as u32;
    // At most 65,535, since the pixel is one of the side's.
    ((2 * pixel + 1) * u16::MAX as u32 / (2 * side as u32)) as u16
}

/// What is in a clipboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clipboard {
    /// `text/plain;charset=utf-8`.
    Text(String),
    /// `image/png`, as it is in a file; not looked into here.
    Png(Bytes),
}

impl Clipboard {
    /// The MIME type of text.
    pub const TEXT: &str = "text/plain;charset=utf-8";
    /// The MIME type of pictures.
    pub const PNG: &str = "image/png";

    /// Its MIME type.
    pub const fn mime(&self) -> &'static str {
        match self {
            Self::Text(_) => Self::TEXT,
            Self::Png(_) => Self::PNG,
        }
    }

    /// What is in it.
    pub fn content(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Png(png) => png,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_middle_of_a_pixel_is_in_that_pixel(
            width in 1..=MAX_SIDE, height in 1..=MAX_SIDE, x in 0..MAX_SIDE, y in 0..MAX_SIDE,
        ) {
            let size = Size::new(width, height).unwrap();
            let (x, y) = (x % width, y % height);
            prop_assert_eq!(Point::of_pixel(x, y, size).pixel(size), (x, y));
        }

        #[test]
        fn every_place_is_in_the_picture(x: u16, y: u16, width in 1..=MAX_SIDE) {
            let size = Size::new(width, 1).unwrap();
            let (left, top) = Point { x, y }.pixel(size);
            prop_assert!(left < width && top == 0);
        }
    }

    #[test]
    fn sizes_have_bounds() {
        for (width, height) in [(0, 1), (1, 0), (MAX_SIDE + 1, 1), (1, u16::MAX)] {
            assert_eq!(Size::new(width, height), None);
        }
        assert_eq!(Size::new(MAX_SIDE, 1).map(Size::pixels), Some(8_192));
    }
}
