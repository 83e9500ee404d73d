//! Bounds of a tunnel, alike on both sides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AgentOptions, HeartbeatPolicy};

/// Largest window that HTTP/2 knows (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What a tunnel may hold and wait for. The defaults are measured: windows of 1 MiB
/// keep the round trip beside bulk transfers short on slow lines, and the connection's
/// window is far larger, since unread streams eat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests at a time. One more gets [`crate::Error::Busy`].
    pub max_requests: u32,
    /// Bytes that one unread body may hold.
    pub stream_window: u32,
    /// Bytes that all unread bodies together may hold.
    pub connection_window: u32,
    /// Largest HTTP/2 frame.
    pub max_frame: u32,
    /// Largest set of headers, in bytes.
    pub max_headers: u32,
    /// Bytes that were sent and not yet acknowledged, which a link keeps in case that its
    /// connection breaks; when there are this many, senders wait. At least 256 KiB. The
    /// smaller of both sides' counts.
    pub replay: u32,
    /// Bytes that one body waiting to be sent may hold.
    pub send_buffer: usize,
    /// A body that nobody has read from for this long is reset.
    #[serde(with = "millis", rename = "stall_timeout_ms")]
    pub stall_timeout: Duration,
    /// Bodies that nobody has read from for this long count against
    /// [`Self::max_stalled`].
    #[serde(with = "millis", rename = "stall_grace_ms")]
    pub stall_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests: 1024,
            stream_window: 1 << 20,
            connection_window: 256 << 20,
            max_frame: 64 << 10,
            max_headers: 64 << 10,
            replay: 8 << 20,
            send_buffer: 512 << 10,
            stall_timeout: Duration::from_secs(60),
            stall_grace: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How many stalled bodies are left alone: as many as fill half of the connection's
    /// window, so that all others always share the other half. Beyond it, those that
    /// stalled first are reset.
    pub const fn max_stalled(&self) -> usize {
        let fit = self.connection_window() / self.stream_window() / 2;
        if fit == 0 { 1 } else { fit as usize }
    }

    pub(crate) const fn stream_window(&self) -> u32 {
        clamp(self.stream_window, 1 << 10, MAX_WINDOW)
    }

    pub(crate) const fn connection_window(&self) -> u32 {
        clamp(self.connection_window, 64 << 10, MAX_WINDOW)
    }

    pub(crate) const fn max_frame(&self) -> u32 {
        clamp(self.max_frame, 16 << 10, (1 << 24) - 1)
    }
}

const fn clamp(value: u32, low: u32, high: u32) -> u32 {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// How the control plane's side of a tunnel behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcceptOptions {
    /// Bounds.
    pub limits: Limits,
    /// When the other side counts as dead.
    pub heartbeat: HeartbeatPolicy,
    /// Longest wait for the headers of a response; none by default, since a model may
    /// think for long. The body has no limit of its own.
    pub headers_timeout: Option<Duration>,
    /// How long a link may be without a connection before what is on it ends. Zero means
    /// that a link ends with its first connection, and nothing is kept for another; it is
    /// at most an hour.
    #[serde(with = "millis", rename = "grace_ms")]
    pub grace: Duration,
    /// A bulk or media lane without a request for this long is closed; it is opened again
    /// when it is asked for.
    #[serde(with = "millis", rename = "lane_idle_ms")]
    pub lane_idle: Duration,
    /// Longest wait for a bulk or media lane to open.
    #[serde(with = "millis", rename = "lane_timeout_ms")]
    pub lane_timeout: Duration,
}

impl Default for AcceptOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            heartbeat: HeartbeatPolicy::default(),
            headers_timeout: None,
            grace: Duration::from_secs(60),
            lane_idle: Duration::from_secs(300),
            lane_timeout: Duration::from_secs(30),
        }
    }
}

impl AcceptOptions {
    pub(crate) fn grace(&self) -> Duration {
        self.grace.min(Duration::from_secs(3600))
    }
}

/// What an agent's machine can be told about its tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunnelOptions {
    /// How often the control plane is asked whether it lives; two questions without an
    /// answer, and it is dialled again. At least 100 ms, and at most 15 s.
    #[serde(rename = "heartbeat_interval_ms", with = "millis")]
    pub heartbeat_interval: Duration,
}

impl Default for TunnelOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
        }
    }
}

impl TunnelOptions {
    /// # Errors
    ///
    /// The heartbeats are too rare or too many: says so.
    pub fn check(&self) -> Result<(), &'static str> {
        let heartbeats = Duration::from_millis(100)..=Duration::from_secs(15);
        if heartbeats.contains(&self.heartbeat_interval) {
            return Ok(());
        }
        Err("it is from 100 to 15000: proxies cut connections that are idle for longer")
    }

    /// An agent with these options.
    pub fn agent(&self) -> AgentOptions {
        AgentOptions {
            heartbeat: HeartbeatPolicy {
                interval: self.heartbeat_interval,
                ..HeartbeatPolicy::default()
            },
            ..AgentOptions::default()
        }
    }
}

pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalled_bodies_can_fill_half_of_the_connection_window() {
        let limits = Limits::default();
        assert_eq!(limits.max_stalled(), 128);
        let tiny = Limits {
            connection_window: 0,
            stream_window: u32::MAX,
            ..limits
        };
        assert_eq!(tiny.max_stalled(), 1);
    }
}
