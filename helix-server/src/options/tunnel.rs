//! Runners' tunnels.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire;

/// How runners' tunnels are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunnelOptions {
    /// How long a runner whose connection broke may take to come back, before what is
    /// in flight on it ends with an error. At most an hour; with zero it ends at once.
    #[serde(rename = "grace_ms", with = "wire::millis")]
    pub grace: Duration,
    /// How often each connection is asked whether it lives; two questions without an
    /// answer end it. At least 100 ms, and at most 15 s.
    #[serde(rename = "heartbeat_interval_ms", with = "wire::millis")]
    pub heartbeat_interval: Duration,
}

impl Default for TunnelOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(5),
        }
    }
}

impl TunnelOptions {
    /// The option that cannot work, and why, if there is one.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let heartbeats = Duration::from_millis(100)..=Duration::from_secs(15);
        if self.grace > Duration::from_secs(3_600) {
            Some(("tunnel.grace_ms", "it is at most 3600000, an hour"))
        } else if !heartbeats.contains(&self.heartbeat_interval) {
            let why = "it is from 100 to 15000: proxies cut connections that are idle for longer";
            Some(("tunnel.heartbeat_interval_ms", why))
        } else {
            None
        }
    }
}
