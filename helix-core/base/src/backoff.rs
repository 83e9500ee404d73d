//! Exponential backoff with full jitter, capped, and reset only when told.
//!
//! The formula is "full jitter" of Marc Brooker's *Exponential Backoff And
//! Jitter*: a uniform draw from zero to `min(cap, base * 2^attempt)`, here with
//! a floor so that a draw near zero does not hammer the other side.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// How delays grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackoffPolicy {
    /// The first delay's upper bound, and every delay's lower bound is half of it.
    pub base: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        }
    }
}

/// Counts attempts and says how long to wait. Not reset by an attempt that
/// merely began well: call [`Backoff::succeeded`] when success is proven.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: BackoffPolicy,
    attempt: u32,
}

impl Backoff {
    /// Starts with no failed attempt.
    pub const fn new(policy: BackoffPolicy) -> Self {
        Self { policy, attempt: 0 }
    }

    /// Failed attempts since the last proven success.
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Notes a failed attempt and says how long to wait before the next.
    pub fn next_delay(&mut self, random: &mut impl Rng) -> Duration {
        let ceiling = self
            .policy
            .base
            .saturating_mul(1_u32.checked_shl(self.attempt.min(31)).unwrap_or(u32::MAX))
            .min(self.policy.cap);
        self.attempt = self.attempt.saturating_add(1);
        let floor = (self.policy.base / 2).min(ceiling);
        floor + (ceiling - floor).mul_f64(random.random::<f64>())
    }

    /// Starts over: the thing that was retried is proven to work.
    pub const fn succeeded(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delays_stay_between_half_the_base_and_the_cap(
            base in 1_u64..5_000, cap in 1_u64..60_000, attempts in 1_usize..70,
        ) {
            let policy = BackoffPolicy {
                base: Duration::from_millis(base),
                cap: Duration::from_millis(cap),
            };
            let mut backoff = Backoff::new(policy);
            for _ in 0..attempts {
                let delay = backoff.next_delay(&mut rand::rng());
                prop_assert!(delay <= policy.cap);
                prop_assert!(delay >= (policy.base / 2).min(policy.cap));
            }
        }
    }

    #[test]
    fn only_proven_success_starts_over() {
        let mut backoff = Backoff::new(BackoffPolicy::default());
        backoff.next_delay(&mut rand::rng());
        backoff.next_delay(&mut rand::rng());
        assert_eq!(backoff.attempts(), 2);
        backoff.succeeded();
        assert_eq!(backoff.attempts(), 0);
    }
}
