//! How many questions a sandbox may ask: pure.

use std::time::Instant;

/// Questions a second, over time.
const PER_SECOND: f64 = 500.0;
/// Questions at once.
const BURST: f64 = 1_000.0;

/// A bucket that fills with time.
#[derive(Debug)]
pub(super) struct Rate {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            at: now,
        }
    }

    /// Whether one more may be asked now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = passed.mul_add(PER_SECOND, self.left).min(BURST);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use helix_base::Clock as _;

    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_burst_and_then_to_the_rate() {
        let clock = helix_base::ManualClock::new(0);
        let mut rate = Rate::new(clock.now());
        let passed = (0..5_000).filter(|_| rate.take(clock.now())).count();
        assert_eq!(passed, 1_000);
        clock.advance(Duration::from_secs(1));
        let passed = (0..5_000).filter(|_| rate.take(clock.now())).count();
        assert_eq!(passed, 500);
    }
}
