//! When to ask the other side whether it lives, and when to believe that it does not.
//!
//! Pure: it takes the time and says what to do. The driver sends pings as WebSocket
//! control frames, outside HTTP/2 and its flow control.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Proxies cut idle connections from 30 s on, so pings come at least this often.
const MAX_INTERVAL: Duration = Duration::from_secs(15);

/// How often to ask, and how often to be patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeartbeatPolicy {
    /// From one ping to the next; more than 15 s means 15 s.
    #[serde(with = "crate::options::millis", rename = "interval_ms")]
    pub interval: Duration,
    /// Intervals in a row without an answer, after which the other side is dead.
    pub missed: u32,
}

impl Default for HeartbeatPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            missed: 2,
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping with this payload, then ask again.
    Ping([u8; 8]),
    /// Nothing before this time.
    Wait(Instant),
    /// The other side has not answered for too long.
    Dead,
}

/// The state of one connection's heartbeat.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    policy: HeartbeatPolicy,
    due: Instant,
    sent: u64,
    sent_at: Instant,
    answered: u64,
    missed: u32,
}

impl Heartbeat {
    /// The first ping is due at once, so that a new connection is proven soon.
    pub fn new(policy: HeartbeatPolicy, now: Instant) -> Self {
        let interval = policy
            .interval
            .clamp(Duration::from_millis(1), MAX_INTERVAL);
        let policy = HeartbeatPolicy {
            interval,
            missed: policy.missed.max(1),
        };
        Self {
            policy,
            due: now,
            sent: 0,
            sent_at: now,
            answered: 0,
            missed: 0,
        }
    }

    /// What to do at `now`. Many intervals slept through at once, as on a suspended
    /// machine, count as one.
    pub fn poll(&mut self, now: Instant) -> Beat {
        if now < self.due {
            return Beat::Wait(self.due);
        }
        if self.sent > self.answered {
            self.missed += 1;
            if self.missed >= self.policy.missed {
                return Beat::Dead;
            }
        }
        self.sent += 1;
        self.sent_at = now;
        self.due = now + self.policy.interval;
        Beat::Ping(self.sent.to_be_bytes())
    }

    /// Takes an answer. The round trip, if it answers the last ping; a late answer to
    /// an earlier one still proves life; anything else proves nothing.
    pub fn pong(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        let number = u64::from_be_bytes(payload.try_into().ok()?);
        if number <= self.answered || number > self.sent {
            return None;
        }
        self.answered = number;
        self.missed = 0;
        (number == self.sent).then(|| now.saturating_duration_since(self.sent_at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary zero for a virtual clock"
    )]
    fn start() -> (Heartbeat, Instant) {
        let now = Instant::now();
        (Heartbeat::new(HeartbeatPolicy::default(), now), now)
    }

    fn ping(number: u64) -> Beat {
        Beat::Ping(number.to_be_bytes())
    }

    #[test]
    fn pings_at_once_and_then_every_interval_while_answered() {
        let (mut heartbeat, mut now) = start();
        for number in 1..100_u64 {
            assert_eq!(heartbeat.poll(now), ping(number));
            assert_eq!(heartbeat.poll(now), Beat::Wait(now + INTERVAL));
            let answer = heartbeat.pong(&number.to_be_bytes(), now + Duration::from_millis(30));
            assert_eq!(answer, Some(Duration::from_millis(30)));
            now += INTERVAL;
        }
    }

    #[test]
    fn silence_for_two_intervals_is_death() {
        let (mut heartbeat, now) = start();
        assert_eq!(heartbeat.poll(now), ping(1));
        assert_eq!(heartbeat.poll(now + INTERVAL), ping(2));
        assert_eq!(heartbeat.poll(now + INTERVAL * 2), Beat::Dead);
    }

    #[test]
    fn a_late_answer_is_life() {
        let (mut heartbeat, now) = start();
        heartbeat.poll(now);
        heartbeat.poll(now + INTERVAL);
        assert_eq!(heartbeat.pong(&1_u64.to_be_bytes(), now + INTERVAL), None);
        assert_eq!(heartbeat.poll(now + INTERVAL * 2), ping(3));
    }

    #[test]
    fn answers_that_were_never_asked_for_prove_nothing() {
        let (mut heartbeat, now) = start();
        heartbeat.poll(now);
        for payload in [&b""[..], b"12345678", &2_u64.to_be_bytes(), &[0; 9]] {
            assert_eq!(heartbeat.pong(payload, now), None);
        }
        heartbeat.poll(now + INTERVAL);
        assert_eq!(heartbeat.poll(now + INTERVAL * 2), Beat::Dead);
    }

    #[test]
    fn a_machine_that_slept_for_hours_asks_before_it_gives_up() {
        let (mut heartbeat, now) = start();
        heartbeat.poll(now);
        let later = now + Duration::from_secs(7200);
        assert_eq!(heartbeat.poll(later), ping(2));
        assert_eq!(heartbeat.poll(later), Beat::Wait(later + INTERVAL));
    }

    #[test]
    fn an_interval_longer_than_proxies_bear_is_shortened() {
        let (_, now) = start();
        let policy = HeartbeatPolicy {
            interval: Duration::from_secs(600),
            missed: 0,
        };
        let mut heartbeat = Heartbeat::new(policy, now);
        heartbeat.poll(now);
        assert_eq!(heartbeat.poll(now), Beat::Wait(now + MAX_INTERVAL));
        assert_eq!(heartbeat.poll(now + MAX_INTERVAL), Beat::Dead);
    }

    proptest! {
        #[test]
        fn the_dead_are_found_in_time_and_the_living_are_never_called_dead(
            delays in prop::collection::vec(0_u64..4_999, 1..50),
        ) {
            let (mut heartbeat, mut now) = start();
            for (number, delay) in (1_u64..).zip(&delays) {
                prop_assert_eq!(heartbeat.poll(now), ping(number));
                heartbeat.pong(&number.to_be_bytes(), now + Duration::from_millis(*delay));
                now += INTERVAL;
            }
            let last_sign_of_life = now;
            let mut dead_at = None;
            for _ in 0..5 {
                if heartbeat.poll(now) == Beat::Dead {
                    dead_at = Some(now);
                    break;
                }
                now += INTERVAL;
            }
            prop_assert_eq!(dead_at, Some(last_sign_of_life + INTERVAL * 2));
        }
    }
}
