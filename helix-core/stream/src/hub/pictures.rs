//! Which pictures are encoded, and who is sent them.

use std::time::{Duration, Instant};

use helix_proto::desktop::{
    self, Codec, Down, Frame, FrameFlags, Micros, Notice, NoticeCode, Size, Stats, Still,
};

use super::{Action, Hub, ViewerId, refinement::Refinement};
use crate::{
    encode::Encoded,
    pacing::{BitsPerSecond, Verdict},
    patch::Patch,
};

/// How often viewers are told how it goes, while there is something to tell.
const STATS: Duration = Duration::from_secs(1);
/// No viewer makes the others' rate smaller than theirs by more than this.
const SHARE: u64 = 4;

/// A picture that stays is encoded again after this long.
const REFINE_AFTER: Duration = Duration::from_millis(120);
/// It is encoded so many times seldomer than one that moves, so that each may be that much
/// larger on the same line; and more than this rate is not needed for it. At the rate of a slow
/// line, what an encoder may spend on a picture is next to nothing, and it would stay coarse.
const ROOM: u64 = 7;
const ENOUGH: BitsPerSecond = BitsPerSecond(4_000_000);

/// What an encoder aims at a rate for ([`Encoder::set_rate`](crate::encode::Encoder::set_rate)).
const PICTURES_PER_SECOND: u64 = 60;

/// What is to be done next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be encoded of the picture that was captured last, now.
    pub work: Vec<Work>,
    /// Whether changes of the desktop are of interest to anybody. Where they are not, nothing
    /// is captured, and what was captured last is out of date.
    pub watched: bool,
    /// When to ask again, though nothing happens.
    pub wake: Option<Instant>,
}

/// How a picture differs from the one that was captured before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Not at all: the desktop was drawn again as it was.
    None,
    /// A patch says how.
    Patch {
        /// How large it is.
        bytes: usize,
    },
    /// In more than a patch may say, or it is not known how.
    Much,
}

/// One picture for all viewers of a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// By the encoder of this codec.
    pub codec: Codec,
    /// Whether it has to be a key frame.
    pub key: bool,
    /// What the encoder should aim at from now on.
    pub rate: BitsPerSecond,
    /// What has changed is to be sent by itself ([`Hub::patched`]): whoever it is for has the
    /// picture before. The encoder has nothing to do.
    pub patch: bool,
}

/// A picture that was encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// By the encoder of this codec.
    pub codec: Codec,
    /// What came out.
    pub encoded: Encoded,
    /// Whether encoding the same again may make it better.
    pub refines: bool,
    /// When it was captured, by the media process's clock.
    pub captured: Micros,
    /// How long capturing took.
    pub capture: Duration,
    /// How long encoding took.
    pub encode: Duration,
}

/// How it went lately.
#[derive(Debug)]
pub(super) struct Figures {
    told: Instant,
    any: bool,
    encode: Duration,
    capture: Duration,
}

impl Figures {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            told: now,
            any: false,
            encode: Duration::ZERO,
            capture: Duration::ZERO,
        }
    }
}

impl Hub {
    /// The desktop was captured anew. Where its size is another than the encoders', they are to be
    /// opened anew ([`Self::to_open`]).
    pub fn captured(&mut self, size: Size, change: Change) {
        if change == Change::None && self.newest > 0 && self.size == size {
            return;
        }
        self.newest += 1;
        self.patch = match change {
            Change::Patch { bytes } => Some(bytes),
            Change::None | Change::Much => None,
        };
        if self.size != size {
            self.size = size;
            self.open.clear();
        }
    }

    /// Whether anybody would take a patch.
    pub fn takes_patches(&self) -> bool {
        let mut viewers = self.viewers.values();
        viewers.any(|viewer| viewer.greeting.patches && viewer.codec != Codec::Stills)
    }

    /// What is to be done at this time, and tells viewers what is due.
    pub fn plan(&mut self, now: Instant) -> (Plan, Vec<Action>) {
        let mut plan = Plan::default();
        let mut actions = Vec::new();
        if self.mind_absence(now, &mut actions) {
            self.tell_presence(&mut actions);
        }
        self.tell_pointers(now, &mut actions);
        self.tell_stats(now, &mut actions);
        let mut wake = vec![self.presence_due(), self.stats_due(), self.absent_due(now)];
        let codecs: Vec<_> = self.open.keys().copied().collect();
        for codec in codecs {
            self.plan_codec(codec, now, &mut plan, &mut wake, &mut actions);
        }
        plan.wake = wake.into_iter().flatten().min();
        (plan, actions)
    }

    fn plan_codec(
        &mut self,
        codec: Codec,
        now: Instant,
        plan: &mut Plan,
        wake: &mut Vec<Option<Instant>>,
        actions: &mut Vec<Action>,
    ) {
        let newest = self.newest;
        let refine = self.open.get(&codec).and_then(|open| open.refine);
        let due = refine.is_some_and(|at| at <= now);
        let (mut wanted, mut fresh, mut key) = (false, false, false);
        let mut takes_patch = codec != Codec::Stills;
        let mut rates = Vec::new();
        let mut most_fps = 1;
        for (id, viewer) in &mut self.viewers {
            if viewer.codec != codec || !viewer.watches() {
                continue;
            }
            let verdict = viewer.pacing.verdict(now);
            wake.push(viewer.pacing.wake());
            tell_slow(*id, viewer.pacing.is_behind(), &mut viewer.slow, actions);
            if verdict == Verdict::Skip {
                continue;
            }
            plan.watched = true;
            rates.push(viewer.pacing.target());
            most_fps = most_fps.max(viewer.fps);
            let is_fresh = viewer.seen < newest || viewer.pacing.needs_key();
            takes_patch &= viewer.takes_patch_to(newest);
            if verdict == Verdict::Send && (is_fresh || due) && newest > 0 {
                wanted = true;
                fresh |= is_fresh;
                key |= viewer.pacing.needs_key();
            }
        }
        if plan.watched && !due {
            wake.push(refine);
        }
        let Some(open) = self.open.get(&codec).filter(|_| wanted) else {
            return;
        };
        // A frame earlier by a tenth than the rate says is not too early: clocks are not exact.
        let fps = u32::from(self.options.fps.clamp(1, 240).min(most_fps));
        let between = Duration::from_secs(1) / fps * 9 / 10;
        if let Some(later) = open.encoded.map(|at| at + between).filter(|at| *at > now) {
            wake.push(Some(later));
            return;
        }
        let rate = shared(&rates);
        // What is larger than a picture of the video should be would queue on its way.
        let fits = |bytes| bytes * 8 * PICTURES_PER_SECOND <= rate.0;
        let patch = self.patch.filter(|_| takes_patch).map(|bytes| bytes as u64);
        plan.work.push(Work {
            codec,
            key,
            patch: patch.is_some_and(fits),
            rate: if fresh {
                rate
            } else {
                rate.max(BitsPerSecond(rate.0 * ROOM).min(ENOUGH))
            },
        });
    }

    /// A picture was encoded, of what was captured last: who is sent it.
    pub fn encoded(&mut self, picture: &Picture, now: Instant) -> Vec<Action> {
        let Some(open) = self.open.get_mut(&picture.codec) else {
            return Vec::new();
        };
        // What counts is when it began: the next may come that much after it.
        open.encoded = now.checked_sub(picture.encode).or(Some(now));
        if open.of == self.newest && !picture.encoded.key {
            open.refinement.encoded(picture.encoded.picture.len());
        } else {
            open.refinement = Refinement::default();
        }
        open.of = self.newest;
        let again = picture.refines && open.refinement.goes_on();
        open.refine = again.then(|| now + REFINE_AFTER);
        let size = open.description.size;
        self.stats.encode = picture.encode;
        self.stats.capture = picture.capture;
        let Encoded {
            picture: bytes,
            key,
        } = &picture.encoded;
        let message = |sequence| message(picture, sequence, size);
        self.send(picture.codec, bytes.len(), *key, message, now)
    }

    /// The viewers of a codec are sent what has changed of the picture before, as they wanted
    /// ([`Work::patch`]).
    pub fn patched(
        &mut self,
        codec: Codec,
        patch: &Patch,
        captured: Micros,
        now: Instant,
    ) -> Vec<Action> {
        let Some(open) = self.open.get_mut(&codec) else {
            return Vec::new();
        };
        open.encoded = Some(now);
        let message = |sequence| {
            Down::Patch(desktop::Patch {
                sequence,
                captured,
                pieces: patch.pieces.clone(),
                qoi: patch.qoi.clone(),
            })
        };
        self.send(codec, patch.qoi.len(), false, message, now)
    }

    /// To whom of a codec can use it.
    fn send(
        &mut self,
        codec: Codec,
        bytes: usize,
        key: bool,
        message: impl Fn(u32) -> Down,
        now: Instant,
    ) -> Vec<Action> {
        self.stats.any = true;
        let mut actions = Vec::new();
        for (id, viewer) in &mut self.viewers {
            if viewer.codec != codec || !viewer.watches() {
                continue;
            }
            let skipped = viewer.pacing.verdict(now) == Verdict::Skip;
            if skipped || (viewer.pacing.needs_key() && !key) {
                viewer.pacing.missed();
                // What begins at 1 begins with what is sent.
                if viewer.sequence > 0 {
                    viewer.sequence = viewer.sequence.wrapping_add(1);
                    viewer.dropped = viewer.dropped.saturating_add(1);
                }
                continue;
            }
            viewer.sequence = viewer.sequence.wrapping_add(1);
            viewer.seen = self.newest;
            viewer.frames = viewer.frames.saturating_add(1);
            viewer.bytes += bytes;
            viewer.pacing.sent(viewer.sequence, bytes, key, now);
            actions.push(Action::Send(*id, message(viewer.sequence)));
        }
        actions
    }

    fn stats_due(&self) -> Option<Instant> {
        self.stats.any.then(|| self.stats.told + STATS)
    }

    fn tell_stats(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.stats_due().is_none_or(|due| due > now) {
            return;
        }
        let seconds = now.saturating_duration_since(self.stats.told).as_secs_f64();
        self.stats.told = now;
        self.stats.any = false;
        let viewers = u16::try_from(self.viewers.len()).unwrap_or(u16::MAX);
        let us = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        for (id, viewer) in &mut self.viewers {
            if !viewer.watches() {
                continue;
            }
            let kbits = std::mem::take(&mut viewer.bytes) as f64 * 8.0 / 1_000.0 / seconds.max(0.1);
            actions.push(Action::Send(
                *id,
                Down::Stats(Stats {
                    frames: viewer.frames,
                    dropped: viewer.dropped,
                    encode_us: us(self.stats.encode),
                    capture_us: us(self.stats.capture),
                    // Positive, and saturating.
                    kbits: kbits as u32,
                    target_kbits: viewer.pacing.target().kbits(),
                    viewers,
                }),
            ));
        }
    }
}

/// What an encoder aims at for viewers with these targets: the least, unless that is far less
/// than the greatest.
fn shared(rates: &[BitsPerSecond]) -> BitsPerSecond {
    let least = rates.iter().copied().min().unwrap_or_default();
    let greatest = rates.iter().copied().max().unwrap_or_default();
    least.max(BitsPerSecond(greatest.0 / SHARE))
}

fn tell_slow(id: ViewerId, behind: bool, told: &mut bool, actions: &mut Vec<Action>) {
    if behind == *told {
        return;
    }
    *told = behind;
    let (code, text) = if behind {
        (
            NoticeCode::Slow,
            "the way to this viewer is too slow: it sees fewer pictures",
        )
    } else {
        (NoticeCode::Well, "")
    };
    let text = text.to_owned();
    actions.push(Action::Send(id, Down::Notice(Notice { code, text })));
}

fn message(picture: &Picture, sequence: u32, size: Size) -> Down {
    let Encoded {
        picture: bytes,
        key,
    } = &picture.encoded;
    if picture.codec == Codec::Stills {
        return Down::Still(Still {
            sequence,
            captured: picture.captured,
            size,
            jpeg: bytes.clone(),
        });
    }
    Down::Frame(Frame {
        sequence,
        captured: picture.captured,
        flags: FrameFlags {
            key: *key,
            recovery: *key,
        },
        size,
        picture: bytes.clone(),
    })
}
