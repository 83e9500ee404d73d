//! How often a picture that stays is encoded again.

/// Pictures of less than this add next to nothing.
const NEXT_TO_NOTHING: usize = 600;
/// So many of them in a row are taken for it. One alone may be all that the rate had left after
/// what came before: x264 then writes 24 bytes for a picture that is another from top to bottom.
const IN_A_ROW: u8 = 4;
/// The most, however large they are.
const MOST: u8 = 12;

/// How often a picture that stays was encoded again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refinement {
    times: u8,
    small: u8,
}

impl Refinement {
    /// The same picture was encoded again, to so many bytes.
    pub(crate) const fn encoded(&mut self, bytes: usize) {
        self.times += 1;
        self.small = if bytes < NEXT_TO_NOTHING {
            self.small + 1
        } else {
            0
        };
    }

    /// Whether that may make it better once more.
    pub(crate) const fn goes_on(self) -> bool {
        self.small < IN_A_ROW && self.times < MOST
    }
}
