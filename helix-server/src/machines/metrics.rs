//! Machines' tunnels as metrics.

use std::time::Duration;

use helix_proto::tunnel::{
    RunnerTunnel, TunnelClose, TunnelLane, TunnelLaneState, TunnelLaneStatus, TunnelState,
};
use helix_tunnel::CloseCode;

use super::Role;
use crate::metrics::Metrics;

const LANE_STATES: [(TunnelLaneState, &str); 3] = [
    (TunnelLaneState::Closed, "closed"),
    (TunnelLaneState::Connected, "connected"),
    (TunnelLaneState::Resuming, "resuming"),
];

/// Says what the metrics of tunnels are.
pub(crate) fn describe(metrics: &Metrics) {
    let gauges = [
        (
            "helix_tunnel_up",
            "Whether the machine's tunnel has a connection.",
        ),
        (
            "helix_tunnel_lane_state",
            "1 for the state that the lane is in.",
        ),
        (
            "helix_tunnel_round_trip_seconds",
            "The last measured heartbeat.",
        ),
        (
            "helix_tunnel_replay_bytes",
            "Bytes sent and not acknowledged.",
        ),
        ("helix_tunnel_requests_in_flight", "Requests under way."),
        (
            "helix_tunnel_last_close",
            "1 for why the last connection ended.",
        ),
    ];
    for (name, help) in gauges {
        metrics.describe_gauge(name, help);
    }
    let counters = [
        (
            "helix_tunnel_received_bytes_total",
            "Bytes from the machine, each counted once.",
        ),
        (
            "helix_tunnel_sent_bytes_total",
            "Bytes to the machine, each counted once.",
        ),
        (
            "helix_tunnel_resumes_total",
            "How often the connection was replaced.",
        ),
    ];
    for (name, help) in counters {
        metrics.describe_counter(name, help);
    }
}

/// Which machine: its role and its id.
type Machine<'a> = (&'static str, &'a str);

/// The tunnel of one registered machine.
pub(crate) fn note(metrics: &Metrics, role: Role, id: &str, tunnel: &RunnerTunnel) {
    let machine = match role {
        Role::Runner => ("runner", id),
        Role::SandboxHost => ("sandbox_host", id),
    };
    let up = tunnel.state == TunnelState::Connected;
    metrics
        .gauge("helix_tunnel_up", &[machine])
        .set(f64::from(u8::from(up)));
    for lane in &tunnel.lanes {
        note_lane(metrics, machine, lane);
    }
    if tunnel.lanes.is_empty() {
        note_close(
            metrics,
            machine,
            TunnelLane::Control,
            tunnel.last_close.as_ref(),
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; a buffer is far smaller than 2^53"
)]
fn note_lane(metrics: &Metrics, machine: Machine<'_>, status: &TunnelLaneStatus) {
    let labels = [machine, ("lane", lane_name(status.lane))];
    for (state, name) in LANE_STATES {
        let labels = [labels[0], labels[1], ("state", name)];
        metrics
            .gauge("helix_tunnel_lane_state", &labels)
            .set(f64::from(u8::from(status.state == state)));
    }
    if let Some(micros) = status.round_trip_us {
        metrics
            .gauge("helix_tunnel_round_trip_seconds", &labels)
            .set(Duration::from_micros(micros).as_secs_f64());
    }
    metrics
        .gauge("helix_tunnel_replay_bytes", &labels)
        .set(status.replay_bytes as f64);
    metrics
        .gauge("helix_tunnel_requests_in_flight", &labels)
        .set(f64::from(status.in_flight));
    let counts = [
        ("helix_tunnel_received_bytes_total", status.received_bytes),
        ("helix_tunnel_sent_bytes_total", status.sent_bytes),
        ("helix_tunnel_resumes_total", status.resumes),
    ];
    for (name, count) in counts {
        metrics.counter(name, &labels).absolute(count);
    }
    note_close(metrics, machine, status.lane, status.last_close.as_ref());
}

fn note_close(
    metrics: &Metrics,
    machine: Machine<'_>,
    lane: TunnelLane,
    close: Option<&TunnelClose>,
) {
    if let Some(close) = close {
        let labels = [machine, ("lane", lane_name(lane)), ("why", why(close.code))];
        metrics.gauge("helix_tunnel_last_close", &labels).set(1.0);
    }
}

const fn lane_name(lane: TunnelLane) -> &'static str {
    match lane {
        TunnelLane::Control => "control",
        TunnelLane::Bulk => "bulk",
        TunnelLane::Media => "media",
    }
}

/// Few words for many codes: the other side chooses its own.
const fn why(code: Option<u16>) -> &'static str {
    let Some(code) = code else { return "lost" };
    match CloseCode(code) {
        CloseCode::NORMAL => "normal",
        CloseCode::GOING_AWAY | CloseCode::RESTARTING => "going_away",
        CloseCode::PROTOCOL | CloseCode::UNSUPPORTED | CloseCode::TOO_BIG => "protocol",
        CloseCode::SUPERSEDED => "superseded",
        CloseCode::REVOKED => "revoked",
        CloseCode::SILENT => "silent",
        _ => "other",
    }
}
