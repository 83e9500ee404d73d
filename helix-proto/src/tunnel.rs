//! Runners' tunnels as the control plane shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a runner's tunnel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelState {
    /// It has a connection.
    Connected,
    /// Its connection broke and is expected to be replaced; what is in flight on it
    /// waits, and is not lost.
    Reconnecting,
    /// There is none.
    Disconnected,
}

/// A connection of a tunnel, by what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelLane {
    /// Commands, events, answers of models. It is there for as long as the tunnel is.
    Control,
    /// Files and other bulk; there on demand.
    Bulk,
    /// Pictures and sound, as they happen; there on demand.
    Media,
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelLaneState {
    /// Nobody has asked for it, or it has ended.
    Closed,
    /// It has a connection.
    Connected,
    /// Its connection broke, and everything on it waits for the next one.
    Resuming,
}

/// A runner's tunnel as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerTunnel {
    /// Where it stands.
    pub state: TunnelState,
    /// When it came to that; absent for a runner that was not connected since the control plane
    /// started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at_ms: Option<u64>,
    /// Its lanes; none while it is disconnected.
    pub lanes: Vec<TunnelLaneStatus>,
    /// Why its last connection ended, if one has since the control plane started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_close: Option<TunnelClose>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_close_at_ms: Option<u64>,
}

/// A lane as it is now. Counts begin with the tunnel: a connection that was replaced
/// keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelLaneStatus {
    /// Which.
    pub lane: TunnelLane,
    /// Where it stands.
    pub state: TunnelLaneState,
    /// The last measured heartbeat, there and back, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// Bytes from the runner, each counted once.
    pub received_bytes: u64,
    /// Bytes to the runner, each counted once.
    pub sent_bytes: u64,
    /// How often its connection was replaced.
    pub resumes: u64,
    /// Bytes that were sent and are not acknowledged: kept, in case that the connection
    /// breaks.
    pub replay_bytes: u64,
    /// Requests under way.
    pub in_flight: u32,
    /// Why its last connection ended, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_close: Option<TunnelClose>,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelClose {
    /// The WebSocket's close code; absent if the connection broke without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// For people.
    pub reason: String,
}
