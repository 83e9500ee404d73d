//! How pictures are paced.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Bits in a second.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BitsPerSecond(pub u64);

impl BitsPerSecond {
    /// From kbit/s, as on the wire.
    pub const fn from_kbits(kbits: u32) -> Self {
        Self(kbits as u64 * 1_000)
    }

    /// In kbit/s, as on the wire.
    pub fn kbits(self) -> u32 {
        u32::try_from(self.0 / 1_000).unwrap_or(u32::MAX)
    }

    /// How many bytes that is in some time.
    pub fn bytes_in(self, time: Duration) -> usize {
        let bytes = u128::from(self.0) * time.as_micros() / 8_000_000;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for BitsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.kbits())
    }
}

/// How pictures are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What an encoder aims at before anything is known of a viewer.
    pub start: BitsPerSecond,
    /// The least that it is made to aim at.
    pub least: BitsPerSecond,
    /// The most.
    pub most: BitsPerSecond,
    /// A viewer that has not painted a picture for this long has fallen behind.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: BitsPerSecond(6_000_000),
            least: BitsPerSecond(300_000),
            most: BitsPerSecond(20_000_000),
            patience: Duration::from_secs(1),
        }
    }
}
