//! Where a picture differs from the one before.

use helix_proto::desktop::{MAX_PATCH, Piece, Size};

/// Pieces at most; what is in more is much.
const MOST: usize = 64;

/// Where a picture differs from the one before, as far as that is little.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pieces: Vec<Area>,
    much: bool,
}

/// From the first to before the last, in pixels.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Area {
    const fn pixels(self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }

    const fn with(self, other: Self) -> Self {
        const fn least(one: usize, other: usize) -> usize {
            if one < other { one } else { other }
        }
        const fn most(one: usize, other: usize) -> usize {
            if one > other { one } else { other }
        }
        Self {
            left: least(self.left, other.left),
            right: most(self.right, other.right),
            top: least(self.top, other.top),
            bottom: most(self.bottom, other.bottom),
        }
    }
}

/// What is compared of a plane: rows of `stride` bytes, of which each is so many pixels wide and
/// high, within a picture of this size and from this row of it on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) stride: usize,
    pub(super) scale: usize,
    pub(super) size: Size,
    pub(super) from: usize,
}

impl Changes {
    /// Of a picture that has nothing in common with the one before.
    pub(super) const fn all() -> Self {
        Self {
            pieces: Vec::new(),
            much: true,
        }
    }

    /// Whether there is no use in looking for more.
    pub(super) const fn is_much(&self) -> bool {
        self.much
    }

    /// Puts a band of the new picture in the place of the old one, and finds where they differ.
    pub(super) fn replace<'a>(
        &mut self,
        planes: impl IntoIterator<Item = (&'a [u8], &'a mut [u8], Rows)>,
    ) {
        let mut band: Option<Area> = None;
        for (new, old, rows) in planes {
            let each = new.chunks(rows.stride).zip(old.chunks_mut(rows.stride));
            for (number, (new, old)) in each.enumerate() {
                if new == old {
                    continue;
                }
                let area = rows.area(number, new, old);
                band = Some(band.map_or(area, |band| band.with(area)));
                old.copy_from_slice(new);
            }
        }
        if let Some(band) = band {
            self.add(band);
        }
    }

    fn add(&mut self, area: Area) {
        match self.pieces.last_mut() {
            // What goes on below is one piece, unless most of that would be the same as before.
            Some(last)
                if last.bottom == area.top
                    && last.with(area).pixels() <= 2 * (last.pixels() + area.pixels()) =>
            {
                *last = last.with(area);
            }
            _ => self.pieces.push(area),
        }
        let pixels: usize = self.pieces.iter().map(|piece| piece.pixels()).sum();
        self.much = self.pieces.len() > MOST || pixels > MAX_PATCH;
    }

    /// None where it is much.
    pub(super) fn into_pieces(self) -> Option<Vec<Piece>> {
        if self.much {
            return None;
        }
        let side = |pixels: usize| u16::try_from(pixels).ok();
        let piece = |area: Area| {
            let (width, height) = (area.right - area.left, area.bottom - area.top);
            Some(Piece {
                x: side(area.left)?,
                y: side(area.top)?,
                size: Size::new(side(width)?, side(height)?)?,
            })
        };
        self.pieces.into_iter().map(piece).collect()
    }
}

impl Rows {
    /// Where a row differs, which it does.
    fn area(self, number: usize, new: &[u8], old: &[u8]) -> Area {
        let differs = |(new, old): (&u8, &u8)| new != old;
        let left = new.iter().zip(old).position(differs).unwrap_or(0);
        let right = new.iter().zip(old).rposition(differs).unwrap_or(left) + 1;
        let top = self.from + number * self.scale;
        let (width, height) = (self.size.width().into(), self.size.height().into());
        Area {
            left: (left * self.scale).min(width - 1),
            right: (right * self.scale).min(width),
            top,
            bottom: (top + self.scale).min(height),
        }
    }
}
