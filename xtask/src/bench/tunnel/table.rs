//! What the rounds measured, as rows.

use super::{
    rig::{Network, Target},
    rounds::{Figure, Samples},
};
use crate::bench::report::Row;

/// Whether a ratio is good enough.
type Reached = fn(f64) -> bool;

type Goal = Option<(&'static str, Reached)>;

const FASTER: Goal = Some(("ratio at least 1", |ratio| ratio >= 1.0));
const TWICE: Goal = Some(("ratio at least 2", |ratio| ratio >= 2.0));
const CHEAPER: Goal = Some(("ratio at most 1", |ratio| ratio <= 1.0));
const SOON: Goal = Some(("ratio below 1.3", |ratio| ratio < 1.3));
const ONE_ROUND_TRIP: Goal = Some(("ratio at most 1.1", |ratio| ratio <= 1.1));
const BESIDE: Goal = Some(("ratio at most 1.4", |ratio| ratio <= 1.4));

const FIGURES: [(Figure, &str, &str); 12] = [
    (Figure::DownRate, "to the server", "Gbit/s"),
    (Figure::UpRate, "to the agent", "Gbit/s"),
    (Figure::DownCpu, "to the server, CPU", "s/GB"),
    (Figure::UpCpu, "to the agent, CPU", "s/GB"),
    (Figure::IdleP50, "round trip p50", "µs"),
    (Figure::IdleP99, "round trip p99", "µs"),
    (Figure::BesideP50, "round trip beside bulk p50", "µs"),
    (Figure::BesideP99, "round trip beside bulk p99", "µs"),
    (
        Figure::OtherLaneP50,
        "round trip beside bulk on another lane p50",
        "µs",
    ),
    (
        Figure::OtherLaneP99,
        "round trip beside bulk on another lane p99",
        "µs",
    ),
    (Figure::OpenP50, "new stream p50", "µs"),
    (Figure::OpenP99, "new stream p99", "µs"),
];

/// Our two shapes beside each peer on one network.
pub(super) fn rows(network: Network, samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for (ours, shape) in [
        (Target::Forwarder, "forwarder"),
        (Target::Embedded, "embedded"),
    ] {
        let prefix = match network {
            Network::Slow => format!("slow line: {shape}"),
            Network::Loopback | Network::Cut => shape.to_owned(),
        };
        for (figure, name, unit) in FIGURES {
            let (unit, scale) = scaled(network, unit);
            let compare = |peer: (Target, Figure), called: &'static str, goal: Goal| {
                let ratio = samples.ratio((ours, figure), peer)?;
                Some(Row {
                    peer: Some(called),
                    peer_value: samples.median(peer.0, peer.1).map(|value| value * scale),
                    ratio: Some(ratio),
                    target: goal.map(|(text, _)| text.to_owned()),
                    met: goal.map(|(_, reached)| reached(ratio)),
                    ..Row::reported(
                        format!("{prefix}: {name}"),
                        samples.median(ours, figure)? * scale,
                        unit,
                    )
                })
            };
            for (peer, called) in [
                (Target::Rathole, "rathole"),
                (Target::DirectTcp, "direct TCP"),
                (Target::DirectHttp, "direct HTTP/1.1"),
            ] {
                // Each shape beside what a client of its kind would do without a tunnel.
                if ours == Target::Forwarder && peer == Target::DirectHttp {
                    continue;
                }
                let beside = same_in_peer(figure);
                rows.extend(compare(
                    (peer, beside),
                    called,
                    goal(network, ours, figure, peer),
                ));
            }
            if let Some(goal) = goal_beside_the_path(network, ours, figure) {
                let path = (Target::DirectTcp, Figure::IdleP50);
                rows.extend(compare(path, "the line's own round trip", Some(goal)));
            }
        }
    }
    rows
}

/// A slow line's figures in units of its own.
fn scaled(network: Network, unit: &'static str) -> (&'static str, f64) {
    match (network, unit) {
        (Network::Slow, "Gbit/s") => ("Mbit/s", 1e3),
        (Network::Slow, "µs") => ("ms", 1e-3),
        _ => (unit, 1.0),
    }
}

/// Peers have no lanes: each of their connections is its own.
const fn same_in_peer(figure: Figure) -> Figure {
    match figure {
        Figure::OtherLaneP50 => Figure::BesideP50,
        Figure::OtherLaneP99 => Figure::BesideP99,
        other => other,
    }
}

/// Behind a slow line all fill it; what differs there is time.
const fn goal(network: Network, ours: Target, figure: Figure, peer: Target) -> Goal {
    match (network, ours, figure, peer) {
        (
            Network::Loopback,
            Target::Forwarder,
            Figure::DownRate | Figure::UpRate,
            Target::Rathole,
        ) => FASTER,
        (
            Network::Loopback,
            Target::Forwarder,
            Figure::DownCpu | Figure::UpCpu,
            Target::Rathole,
        ) => CHEAPER,
        (
            Network::Loopback,
            Target::Embedded,
            Figure::DownRate | Figure::UpRate,
            Target::Rathole,
        ) => TWICE,
        (Network::Loopback, Target::Embedded, Figure::OpenP50, Target::DirectHttp) => SOON,
        _ => None,
    }
}

const fn goal_beside_the_path(network: Network, ours: Target, figure: Figure) -> Goal {
    match (network, ours, figure) {
        (Network::Slow, Target::Embedded, Figure::OpenP50) => ONE_ROUND_TRIP,
        (Network::Slow, Target::Embedded | Target::Forwarder, Figure::BesideP50) => BESIDE,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(rows: &'a [Row], metric: &str, peer: &str) -> &'a Row {
        let mut found = rows
            .iter()
            .filter(|row| row.metric == metric && row.peer == Some(peer));
        found.next().unwrap()
    }

    #[test]
    fn a_round_is_compared_with_its_own_round() {
        let mut samples = Samples::default();
        for (ours, peer) in [(4.0, 2.0), (40.0, 10.0), (3.0, 1.0)] {
            samples.push(Target::Embedded, Figure::UpRate, ours);
            samples.push(Target::Rathole, Figure::UpRate, peer);
        }
        let rows = rows(Network::Loopback, &samples);
        let row = row(&rows, "embedded: to the agent", "rathole");
        assert_eq!((row.ours, row.peer_value), (4.0, Some(2.0)));
        assert_eq!((row.ratio, row.met), (Some(3.0), Some(true)));
    }

    #[test]
    fn behind_a_slow_line_times_are_judged_by_its_round_trip() {
        let mut samples = Samples::default();
        samples.push(Target::DirectTcp, Figure::IdleP50, 50_000.0);
        samples.push(Target::Embedded, Figure::OpenP50, 60_000.0);
        samples.push(Target::Forwarder, Figure::BesideP50, 60_000.0);
        let rows = rows(Network::Slow, &samples);
        let path = "the line's own round trip";
        let opened = row(&rows, "slow line: embedded: new stream p50", path);
        assert_eq!((opened.ours, opened.met), (60.0, Some(false)));
        let beside = "slow line: forwarder: round trip beside bulk p50";
        assert_eq!(row(&rows, beside, path).met, Some(true));
    }
}
