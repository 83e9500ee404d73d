use std::time::Duration;

use helix_base::BackoffPolicy;
use serde::{Deserialize, Serialize};

use helix_base::millis;

/// How instances are watched, restarted and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifeOptions {
    /// How often an engine is started again after it ended by itself, before
    /// the instance has failed for good.
    pub max_restarts: u32,
    /// How long to wait before the first of those; it doubles each time.
    #[serde(rename = "restart_delay_ms", with = "millis")]
    pub restart_delay: Duration,
    /// An instance that was ready for this long has proven itself: earlier
    /// restarts are forgotten.
    #[serde(rename = "proven_after_ms", with = "millis")]
    pub proven_after: Duration,
    /// How often a ready engine is asked how it is.
    #[serde(rename = "probe_interval_ms", with = "millis")]
    pub probe_interval: Duration,
    /// How many bad answers in a row make it unhealthy, and have it restarted.
    pub probe_failures: u32,
    /// How long requests in flight may go on once an instance is told to stop.
    #[serde(rename = "drain_timeout_ms", with = "millis")]
    pub drain_timeout: Duration,
    /// How long an engine may take to end after `SIGTERM`, before it is killed.
    #[serde(rename = "stop_grace_ms", with = "millis")]
    pub stop_grace: Duration,
    /// How many lines of an engine's output are kept.
    pub log_lines: usize,
    /// How many ended instances are remembered, with their logs.
    pub remembered: usize,
}

impl Default for LifeOptions {
    fn default() -> Self {
        Self {
            max_restarts: 3,
            restart_delay: Duration::from_secs(1),
            proven_after: Duration::from_secs(60),
            probe_interval: Duration::from_secs(5),
            probe_failures: 3,
            drain_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(10),
            log_lines: 500,
            remembered: 32,
        }
    }
}

impl LifeOptions {
    pub(super) const fn backoff(&self) -> BackoffPolicy {
        BackoffPolicy {
            base: self.restart_delay,
            cap: Duration::from_secs(60),
        }
    }
}
