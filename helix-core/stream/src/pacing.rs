//! When a viewer gets the next picture, and how large it may be. Pure.
//!
//! A viewer says which pictures it has *painted*. From that comes how long a picture takes to
//! the eye and how much the way there carries, and from both the **credit**: about one
//! bandwidth-delay product may be on its way, and as long as there is more, the next picture is
//! not even encoded. So what is sent is never thrown away, and what is shown is never older than
//! the way is long.
//!
//! The **rate** that the encoder aims at follows what arrives: where pictures begin to queue, it
//! falls to 0.85 of what was delivered, but by half at most where there was credit left; where they do
//! not, and the rate is used, it rises.
//!
//! A viewer that has not painted for [`Options::patience`] has fallen behind: it is sent nothing
//! until it has painted all it has, and then begins anew with one key frame. Recoveries of one
//! viewer come ever more seldom (up to 8 s apart), so that it cannot keep the others busy with
//! key frames.
//!
//! There is no clock and no socket in here: a driver says what happened and when.
//!
//! Sources: delivery rate and the two filters as in BBR (draft-cardwell-iccrg-bbr-congestion-
//! control-02, 4.1: the rate is the greatest of ten round trips, the delay the least of ten
//! seconds); the fall to 0.85 of what arrives and the rise of 8 % a second near the rate that
//! was too much as in Google's congestion control (draft-ietf-rmcat-gcc-02, 5.5).

mod filter;
mod options;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use self::filter::{Delay, Rate};
pub use self::options::{BitsPerSecond, Options};

/// Queueing of more than this, twice in a row, is too much: three refreshes of a screen, which
/// is what decoders and painting vary by.
const QUEUED: Duration = Duration::from_millis(50);
/// What takes less than this at the rate that is aimed at does not queue on its own account.
const LITTLE: Duration = Duration::from_millis(5);
/// What the rate falls to, of what is delivered.
const FALL: f64 = 0.85;
/// What is used of a way that carries no more, so that it empties what has queued.
const USE: f64 = 0.95;
/// What it rises to in a second near the rate that was too much.
const RISE_NEAR: f64 = 1.08;
/// And elsewhere.
const RISE: f64 = 1.4;
/// How long the rate that was too much is remembered.
const REMEMBER: Duration = Duration::from_secs(10);
/// Credit over the bandwidth-delay product: two refreshes of a screen, since pictures and
/// refreshes are not in step, and the way is to be busy meanwhile.
const SLACK: Duration = Duration::from_millis(34);
/// Credit that there always is.
const LEAST_WINDOW: usize = 24 << 10;
/// Bytes on their way that nobody is sent more than, whoever else has credit.
const HARD_WINDOW: usize = 4 << 20;
/// Pictures that may wait for the viewer's decoder.
const DECODER_QUEUE: u8 = 3;
/// Between two recoveries at most.
const MOST_BETWEEN: Duration = Duration::from_secs(8);

/// What a viewer may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The next picture is for it.
    Send,
    /// It has enough on its way; it takes a picture that is encoded for others.
    Hold,
    /// It has fallen behind, and takes nothing.
    Skip,
}

/// A picture on its way.
#[derive(Debug, Clone, Copy)]
struct OnItsWay {
    sequence: u32,
    bytes: usize,
    key: bool,
    sent: Instant,
    /// Bytes that had been painted when it was sent, and when the last of them were.
    delivered: u64,
    delivered_at: Instant,
    /// Whether there was more credit than pictures.
    idle: bool,
}

/// The pacing of one viewer.
#[derive(Debug)]
pub struct Pacing {
    options: Options,
    on_its_way: VecDeque<OnItsWay>,
    bytes: usize,
    delivered: u64,
    delivered_at: Instant,
    delay: Delay,
    rate: Rate,
    target: f64,
    asked: Option<BitsPerSecond>,
    /// Painted pictures in a row that had queued.
    queued: u8,
    /// When the rate fell, and what was too much.
    fell: Option<(Instant, f64)>,
    rose: Instant,
    decoder: u8,
    behind: bool,
    /// When it was last sent a key frame.
    recovered: Option<Instant>,
    between: Duration,
    /// When it may have the one that it needs because it fell behind.
    not_before: Option<Instant>,
    key: bool,
}

impl Pacing {
    /// Of a viewer that has been sent nothing: it begins with a key frame.
    pub fn new(options: Options, now: Instant) -> Self {
        Self {
            on_its_way: VecDeque::new(),
            bytes: 0,
            delivered: 0,
            delivered_at: now,
            delay: Delay::default(),
            rate: Rate::default(),
            target: options.start.0 as f64,
            asked: None,
            queued: 0,
            fell: None,
            rose: now,
            decoder: 0,
            behind: false,
            recovered: None,
            between: options.patience,
            not_before: None,
            key: true,
            options,
        }
    }

    /// What it may be sent now.
    pub fn verdict(&mut self, now: Instant) -> Verdict {
        self.settle(now);
        if self.behind || self.bytes > HARD_WINDOW || self.not_before.is_some() {
            return Verdict::Skip;
        }
        if self.on_its_way.is_empty() {
            return Verdict::Send;
        }
        let full = self.bytes >= self.window();
        if full || self.decoder > DECODER_QUEUE {
            Verdict::Hold
        } else {
            Verdict::Send
        }
    }

    /// Whether the next that it is sent has to be a key frame. Asked for once: it is until one
    /// is sent.
    pub const fn needs_key(&self) -> bool {
        self.key
    }

    /// The viewer says that it cannot go on without a key frame. So what is on its way will
    /// never be painted, unless there is a key frame in it already: then that is waited for.
    /// It gets one, [`Options::patience`] after the last at the earliest.
    pub fn lost(&mut self, now: Instant) {
        self.settle(now);
        if !self.behind && self.on_its_way.iter().any(|picture| picture.key) {
            return;
        }
        let behind = self.behind;
        self.forget();
        if behind {
            self.caught_up();
        }
    }

    /// It missed a picture that was encoded, or begins anew: the next has to be a key frame.
    pub const fn missed(&mut self) {
        self.key = true;
    }

    /// What is on its way will never be painted, since nobody looks: it is not waited for. What
    /// comes next begins anew, [`Options::patience`] after the last key frame at the earliest.
    pub fn forget(&mut self) {
        self.not_before = self.recovered.map(|at| at + self.options.patience);
        self.on_its_way.clear();
        self.bytes = 0;
        self.behind = false;
        self.decoder = 0;
        self.queued = 0;
        self.key = true;
    }

    /// A picture was sent.
    pub fn sent(&mut self, sequence: u32, bytes: usize, key: bool, now: Instant) {
        if key {
            self.key = false;
            self.recovered = Some(now);
            self.not_before = None;
        }
        if self.on_its_way.is_empty() {
            self.delivered_at = now;
        }
        self.on_its_way.push_back(OnItsWay {
            sequence,
            bytes,
            key,
            sent: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            // The first pictures are fewer than the way may carry.
            idle: self.bytes + bytes < self.window() || self.delay.least().is_none(),
        });
        self.bytes += bytes;
    }

    /// The viewer shows this picture, and everything before it is done with. `decoder` pictures
    /// wait at its side. One that is not on its way is ignored.
    pub fn painted(&mut self, sequence: u32, decoder: u8, now: Instant) {
        self.decoder = decoder;
        let mut newest = None;
        while let Some(first) = self.on_its_way.front()
            && first.sequence <= sequence
        {
            self.bytes -= first.bytes;
            self.delivered += first.bytes as u64;
            newest = self.on_its_way.pop_front();
        }
        let Some(newest) = newest else { return };
        self.delivered_at = now;
        let took = now.saturating_duration_since(newest.sent);
        self.delay.add(took, now);
        let over = now.saturating_duration_since(newest.delivered_at);
        let delivered = (self.delivered - newest.delivered) as f64 * 8.0;
        let rate = delivered / over.as_secs_f64().max(0.001);
        self.rate.add(rate, newest.idle, self.delay.least(), now);
        self.follow(took, (rate, delivered), newest.idle, now);
        if self.on_its_way.is_empty() && self.behind {
            self.caught_up();
        } else if self
            .recovered
            .is_some_and(|at| now.saturating_duration_since(at) > MOST_BETWEEN)
        {
            self.between = self.options.patience;
        }
    }

    /// The most that this viewer wants; 0 is no bound.
    pub const fn ask(&mut self, most: BitsPerSecond) {
        self.asked = if most.0 == 0 { None } else { Some(most) };
    }

    /// What an encoder for this viewer should aim at.
    pub fn target(&self) -> BitsPerSecond {
        let Options { least, most, .. } = self.options;
        let most = self.asked.map_or(most, |asked| asked.min(most));
        // Within the options, so it is neither negative nor beyond all numbers.
        BitsPerSecond(self.target as u64).clamp(least.min(most), most)
    }

    /// Whether it has fallen behind.
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    /// How long a picture takes from being sent to being painted and acknowledged, at the
    /// least; none before the first was painted.
    pub fn delay(&self) -> Option<Duration> {
        self.delay.least()
    }

    /// Bytes on their way.
    pub const fn on_its_way(&self) -> usize {
        self.bytes
    }

    /// When [`Self::verdict`] changes though nothing happens.
    pub fn wake(&self) -> Option<Instant> {
        if self.behind {
            return None;
        }
        let oldest = self.on_its_way.front();
        let late = oldest.map(|oldest| oldest.sent + self.options.patience);
        self.not_before.or(late)
    }

    /// Bytes that may be on their way: about one bandwidth-delay product.
    fn window(&self) -> usize {
        let (Some(rate), Some(delay)) = (self.rate.greatest(), self.delay.least()) else {
            // The first pictures show how long the way is.
            return self
                .options
                .start
                .bytes_in(Duration::from_millis(100))
                .max(LEAST_WINDOW);
        };
        let product = rate.max(self.target) / 8.0 * (delay + SLACK).as_secs_f64();
        // Not negative, and bounded by the encoder's rate and a second's delay.
        (product as usize).clamp(LEAST_WINDOW, HARD_WINDOW)
    }

    fn settle(&mut self, now: Instant) {
        self.not_before = self.not_before.filter(|at| *at > now);
        let late = self.wake().is_some_and(|at| at <= now);
        if late && !self.behind {
            self.behind = true;
            self.fall(self.target / 2.0, now);
            self.rate.forget();
        }
    }

    fn caught_up(&mut self) {
        self.behind = false;
        self.key = true;
        self.queued = 0;
        self.not_before = self.recovered.map(|at| at + self.between);
        self.between = (self.between * 2).min(MOST_BETWEEN);
    }

    /// `rate` is what was delivered per second, and `delivered` how much, both in bits.
    fn follow(&mut self, took: Duration, (rate, delivered): (f64, f64), idle: bool, now: Instant) {
        let queued = took.saturating_sub(self.delay.least().unwrap_or_default());
        if queued > QUEUED {
            // So little is late for another reason than that the way is full.
            if idle && delivered < self.target * LITTLE.as_secs_f64() {
                return;
            }
            self.queued = self.queued.saturating_add(1);
            let lately = |(at, _): (Instant, f64)| now.saturating_duration_since(at) < took;
            if self.queued >= 2 && !self.fell.is_some_and(lately) {
                // Where there was credit left, what arrived is what was sent, and not all that the
                // way carries: it may be the viewer's machine that is busy.
                if idle {
                    self.fall((rate * FALL).max(self.target / 2.0), now);
                } else {
                    self.rate.replace(rate, now);
                    self.fall(rate * FALL, now);
                }
            }
            return;
        }
        self.queued = 0;
        let since = now.saturating_duration_since(self.rose);
        self.rose = now;
        // All the credit was used, and less than the target arrives: the way carries no more.
        let carried = self.rate.greatest().unwrap_or(rate) * USE;
        if !idle && carried < self.target {
            self.fall(carried, now);
            return;
        }
        // A rate that nobody uses proves nothing.
        if idle && rate < self.target / 2.0 {
            return;
        }
        let near = self.fell.is_some_and(|(at, too_much)| {
            now.saturating_duration_since(at) < REMEMBER && self.target > too_much * 0.7
        });
        let rise: f64 = if near { RISE_NEAR } else { RISE };
        let risen = self.target * rise.powf(since.as_secs_f64().min(1.0));
        self.target = risen.min(self.options.most.0 as f64);
    }

    fn fall(&mut self, to: f64, now: Instant) {
        self.fell = Some((now, self.target));
        self.rose = now;
        self.target = to.min(self.target).max(self.options.least.0 as f64);
    }
}

#[cfg(test)]
mod tests;
