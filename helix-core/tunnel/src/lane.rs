//! Lanes: connections of one tunnel, by what they carry.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::CloseReason;

/// What a request carries. Each lane is a connection of its own, so that large things
/// never sit in front of small ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lane {
    /// Commands, events, answers of models: what somebody waits for. It is there for as
    /// long as the tunnel is.
    Control,
    /// Files and other bulk.
    Bulk,
    /// Pictures and sound, as they happen.
    Media,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 3] = [Self::Control, Self::Bulk, Self::Media];

    /// Its name on the wire and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
            Self::Media => "media",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no lane of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such lane: it is one of control, bulk and media")]
pub struct UnknownLane;

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(name: &str) -> Result<Self, UnknownLane> {
        let found = Self::ALL.into_iter().find(|lane| lane.name() == name);
        found.ok_or(UnknownLane)
    }
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LaneState {
    /// Nobody has asked for it, or it has ended.
    Closed,
    /// It has a connection.
    Connected,
    /// Its connection broke; the agent is expected back, and everything on it waits.
    Resuming,
}

/// A lane as it is now. Counts begin with the lane's link: a resumption keeps them, a
/// new link starts them over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Which.
    pub lane: Lane,
    /// Where it stands.
    pub state: LaneState,
    /// The last measured heartbeat.
    pub round_trip: Option<Duration>,
    /// Bytes of the stream from the agent, each counted once.
    pub bytes_in: u64,
    /// Bytes of the stream to the agent, each counted once.
    pub bytes_out: u64,
    /// How often its connection was replaced.
    pub resumes: u64,
    /// Bytes that were sent and are not acknowledged.
    pub replay_depth: usize,
    /// Requests under way.
    pub in_flight: usize,
    /// Why the last connection of this lane ended.
    pub last_close: Option<CloseReason>,
}

impl LaneStatus {
    pub(crate) const fn closed(lane: Lane, last_close: Option<CloseReason>) -> Self {
        Self {
            lane,
            state: LaneState::Closed,
            round_trip: None,
            bytes_in: 0,
            bytes_out: 0,
            resumes: 0,
            replay_depth: 0,
            in_flight: 0,
            last_close,
        }
    }
}
