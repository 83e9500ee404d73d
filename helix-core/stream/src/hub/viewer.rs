//! One who watches.

use std::time::{Duration, Instant};

use helix_proto::desktop::{Codec, Greeting, Notice, Point};

use super::{controls::ABSENT_AFTER, held::Held};
use crate::pacing::{Options, Pacing};

/// Between two notices about refused input.
const BETWEEN_REFUSALS: Duration = Duration::from_secs(5);

/// One who watches.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) greeting: Greeting,
    pub(super) looks_on: bool,
    pub(super) codec: Codec,
    /// Whether it was sent the `Hello` of the encoder that is open.
    pub(super) greeted: bool,
    pub(super) visible: bool,
    /// Whether it wants to hear the sound.
    pub(super) listens: bool,
    /// The number of the piece of sound that it was sent last.
    pub(super) heard: u32,
    /// Whether it was told that there is no sound, since it wants to hear it.
    pub(super) told_of_silence: bool,
    pub(super) pacing: Pacing,
    pub(super) held: Held,
    /// Pictures a second that it wants at most.
    pub(super) fps: u16,
    /// Where its pointer is, if it is in the picture.
    pub(super) pointer: Option<Point>,
    /// The number of what it was sent last, or would have been.
    pub(super) sequence: u32,
    /// The picture that it was sent last.
    pub(super) seen: u64,
    pub(super) frames: u32,
    pub(super) dropped: u32,
    /// What it was sent since the last statistics.
    pub(super) bytes: usize,
    /// Whether it was told that it is too slow.
    pub(super) slow: bool,
    /// What it is told after its `Hello`.
    pub(super) notice: Option<Notice>,
    /// When it said something last.
    pub(super) said: Instant,
    refused: Option<Instant>,
}

impl Viewer {
    pub(super) fn new(greeting: &Greeting, pacing: Options, now: Instant) -> Self {
        Self {
            greeting: greeting.clone(),
            looks_on: greeting.looks_on,
            codec: Codec::Stills,
            greeted: false,
            visible: true,
            listens: false,
            heard: 0,
            told_of_silence: false,
            pacing: Pacing::new(pacing, now),
            held: Held::default(),
            fps: u16::MAX,
            pointer: None,
            sequence: 0,
            seen: 0,
            frames: 0,
            dropped: 0,
            bytes: 0,
            slow: false,
            notice: None,
            said: now,
            refused: None,
        }
    }

    /// When it is not there any more, unless it says something until then.
    pub(super) fn absent_from(&self) -> Instant {
        self.said + ABSENT_AFTER
    }

    /// Whether it takes pictures at all.
    pub(super) const fn watches(&self) -> bool {
        self.greeted && self.visible
    }

    /// Whether what has changed from the picture before this one is enough for it.
    pub(super) const fn takes_patch_to(&self, picture: u64) -> bool {
        self.greeting.patches && self.seen + 1 == picture && !self.pacing.needs_key()
    }

    /// Whether it may hear of refused input again.
    pub(super) fn may_be_told_of_input(&mut self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < BETWEEN_REFUSALS;
        if !self.greeted || self.refused.is_some_and(lately) {
            return false;
        }
        self.refused = Some(now);
        true
    }
}
