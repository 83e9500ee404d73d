//! The least delay and the greatest rate of a while, as BBR has them.

use std::time::{Duration, Instant};

/// Half of the while over which the least delay counts.
const HALF: Duration = Duration::from_secs(5);
/// Round trips over which the greatest rate counts, and that while at least.
const ROUNDS: u32 = 10;
const LEAST: Duration = Duration::from_millis(500);

/// The least delay of the last five to ten seconds.
#[derive(Debug, Default)]
pub(super) struct Delay {
    /// The half before, and the one that began then.
    before: Option<Duration>,
    current: Option<(Instant, Duration)>,
}

impl Delay {
    pub(super) fn add(&mut self, delay: Duration, now: Instant) {
        self.current = match self.current {
            Some((since, least)) if now.saturating_duration_since(since) < HALF => {
                Some((since, least.min(delay)))
            }
            old => {
                self.before = old.map(|(_, least)| least);
                Some((now, delay))
            }
        };
    }

    pub(super) fn least(&self) -> Option<Duration> {
        let (_, current) = self.current?;
        Some(self.before.map_or(current, |before| before.min(current)))
    }
}

/// The greatest rate of the last ten round trips, in bits per second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    before: f64,
    current: Option<(Instant, f64)>,
}

impl Rate {
    /// An `idle` rate is no more than what there was to send: it counts only where it is
    /// greater than what is known.
    pub(super) fn add(&mut self, rate: f64, idle: bool, delay: Option<Duration>, now: Instant) {
        if idle && self.greatest().is_some_and(|known| rate < known) {
            return;
        }
        let half = (delay.unwrap_or_default() * ROUNDS).max(LEAST) / 2;
        self.current = match self.current {
            Some((since, greatest)) if now.saturating_duration_since(since) < half => {
                Some((since, greatest.max(rate)))
            }
            old => {
                self.before = old.map_or(0.0, |(_, greatest)| greatest);
                Some((now, rate))
            }
        };
    }

    /// What was known does not hold any more; this does.
    pub(super) fn replace(&mut self, rate: f64, now: Instant) {
        self.before = 0.0;
        self.current = Some((now, rate));
    }

    /// Nothing is known.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn greatest(&self) -> Option<f64> {
        let (_, current) = self.current?;
        Some(self.before.max(current))
    }
}
