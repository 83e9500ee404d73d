//! How machines are reached: where each one's tunnel stands, and for how long.

use std::time::Duration;

use helix_proto::tunnel::{
    RunnerTunnel, TunnelClose, TunnelLane, TunnelLaneState, TunnelLaneStatus, TunnelState,
};
use helix_tunnel::{CloseReason, Lane, LaneState, LaneStatus, Tunnel};

/// What is remembered of a machine's connections, the ended ones too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    away: bool,
    changed_at_ms: Option<u64>,
    last_close: Option<(CloseReason, u64)>,
}

impl Reach {
    /// A tunnel began.
    pub(super) fn began(&mut self, now_ms: u64) {
        self.away = false;
        self.changed_at_ms = Some(now_ms);
    }

    /// The tunnel's connection broke.
    pub(super) fn broke(&mut self, why: Option<CloseReason>, now_ms: u64) {
        self.away = true;
        self.ended(why, now_ms);
    }

    /// The tunnel's connection was replaced.
    pub(super) fn resumed(&mut self, now_ms: u64) {
        self.began(now_ms);
    }

    /// The tunnel, or its connection, ended.
    pub(super) fn ended(&mut self, why: Option<CloseReason>, now_ms: u64) {
        self.changed_at_ms = Some(now_ms);
        if let Some(why) = why {
            self.last_close = Some((why, now_ms));
        }
    }

    /// Where a machine stands that has a tunnel, or has none.
    pub(super) const fn state(&self, has_tunnel: bool) -> TunnelState {
        match (has_tunnel, self.away) {
            (false, _) => TunnelState::Disconnected,
            (true, true) => TunnelState::Reconnecting,
            (true, false) => TunnelState::Connected,
        }
    }

    /// All of it, for people.
    pub(super) fn shown(&self, tunnel: Option<&Tunnel>) -> RunnerTunnel {
        let lanes = tunnel.iter().flat_map(|tunnel| tunnel.status());
        RunnerTunnel {
            state: self.state(tunnel.is_some()),
            changed_at_ms: self.changed_at_ms,
            lanes: lanes.filter_map(|lane| shown_lane(&lane)).collect(),
            last_close: self.last_close.as_ref().map(|(why, _)| shown_close(why)),
            last_close_at_ms: self.last_close.as_ref().map(|(_, at_ms)| *at_ms),
        }
    }
}

/// Why the control lane's last connection ended.
pub(super) fn last_close(tunnel: &Tunnel) -> Option<CloseReason> {
    let [control, ..] = tunnel.status();
    control.last_close
}

fn shown_close(why: &CloseReason) -> TunnelClose {
    TunnelClose {
        code: why.code().map(|code| code.0),
        reason: why.to_string(),
    }
}

/// Nothing for a lane that this API does not know yet.
fn shown_lane(status: &LaneStatus) -> Option<TunnelLaneStatus> {
    let lane = match status.lane {
        Lane::Control => TunnelLane::Control,
        Lane::Bulk => TunnelLane::Bulk,
        Lane::Media => TunnelLane::Media,
        _ => return None,
    };
    let state = match status.state {
        LaneState::Connected => TunnelLaneState::Connected,
        LaneState::Resuming => TunnelLaneState::Resuming,
        _ => TunnelLaneState::Closed,
    };
    let micros = |trip: Duration| u64::try_from(trip.as_micros()).unwrap_or(u64::MAX);
    Some(TunnelLaneStatus {
        lane,
        state,
        round_trip_us: status.round_trip.map(micros),
        received_bytes: status.bytes_in,
        sent_bytes: status.bytes_out,
        resumes: status.resumes,
        replay_bytes: status.replay_depth as u64,
        in_flight: u32::try_from(status.in_flight).unwrap_or(u32::MAX),
        last_close: status.last_close.as_ref().map(shown_close),
    })
}
