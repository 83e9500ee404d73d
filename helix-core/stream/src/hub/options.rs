//! How a desktop is watched.

use serde::{Deserialize, Serialize};

use crate::pacing;

/// How a desktop is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How pictures are paced.
    pub pacing: pacing::Options,
    /// Pictures in a second at most; 1 to 240.
    pub fps: u16,
    /// Whether the clipboard is passed on, both ways.
    pub clipboard: bool,
    /// Whether viewers can listen, where there is sound.
    pub audio: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pacing: pacing::Options::default(),
            fps: 60,
            clipboard: true,
            audio: true,
        }
    }
}
