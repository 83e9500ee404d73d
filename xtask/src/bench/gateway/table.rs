//! Our paths beside the peers.

use anyhow::Result;

use super::{
    load::{Case, Measured},
    rig::Target,
};
use crate::{
    bench::report::{self, Row, machine, median},
    workspace::Workspace,
};

/// Whether a ratio is good enough.
type Reached = fn(f64) -> bool;

/// What is looked at in a measurement.
struct Figure {
    name: &'static str,
    unit: &'static str,
    of: fn(&Measured) -> f64,
    /// Less what no gateway at all takes.
    added: bool,
    /// What our provider path is to reach beside vllm-router.
    target: Option<(&'static str, Reached)>,
}

const FIGURES: [Figure; 3] = [
    Figure {
        name: "requests per second",
        unit: "1/s",
        of: |measured| measured.per_second,
        added: false,
        target: Some(("ratio at least 1", |ratio| ratio >= 1.0)),
    },
    Figure {
        name: "p50 added",
        unit: "µs",
        of: |measured| measured.p50_us,
        added: true,
        target: Some(("ratio at most 1", |ratio| ratio <= 1.0)),
    },
    Figure {
        name: "p99 added",
        unit: "µs",
        of: |measured| measured.p99_us,
        added: true,
        target: None,
    },
];

/// Our two paths beside each peer, in every case.
pub(super) fn compare(measured: &[(Target, Case, Measured)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (ours, path) in [(Target::Provider, "provider"), (Target::Tunnel, "tunnel")] {
        for case in Case::ALL {
            for figure in &FIGURES {
                for (peer, name) in [
                    (Target::VllmRouter, "vllm-router"),
                    (Target::LiteLlm, "LiteLLM"),
                    (Target::Direct, "direct"),
                ] {
                    let value = |target| of(measured, target, case, figure);
                    let (Some(ours_value), Some(peer_value)) = (value(ours), value(peer)) else {
                        continue;
                    };
                    if figure.added && peer == Target::Direct {
                        continue;
                    }
                    let ratio = (peer_value != 0.0).then(|| ours_value / peer_value);
                    let judged = ours == Target::Provider && peer == Target::VllmRouter;
                    let target = figure.target.filter(|_| judged);
                    rows.push(Row {
                        metric: format!("{path}: {case}: {}", figure.name),
                        ours: ours_value,
                        peer: Some(name),
                        peer_value: Some(peer_value),
                        ratio,
                        unit: figure.unit,
                        target: target.map(|(text, _)| text.to_owned()),
                        met: target.zip(ratio).map(|((_, met), ratio)| met(ratio)),
                    });
                }
            }
        }
    }
    rows
}

/// The median of a figure over all rounds.
fn of(
    measured: &[(Target, Case, Measured)],
    target: Target,
    case: Case,
    figure: &Figure,
) -> Option<f64> {
    let over_rounds = |target| {
        let these = measured
            .iter()
            .filter(|(it, at, _)| *it == target && *at == case);
        median(these.map(|(_, _, it)| (figure.of)(it)).collect()).ok()
    };
    let value = over_rounds(target)?;
    Some(if figure.added {
        value - over_rounds(Target::Direct)?
    } else {
        value
    })
}

/// Writes `target/bench/gateway.json` and the section of `docs/benchmarks.md`.
pub(super) fn write(
    workspace: &Workspace,
    rows: &[Row],
    seconds: f64,
    rounds: usize,
) -> Result<()> {
    let introduction = format!(
        "`cargo xtask bench gateway --seconds {seconds} --rounds {rounds}`, on {}.\n\n\
         A mock engine, every gateway and the load generator share the machine, and everything is \
         measured in turns in one run; figures are medians over the rounds. The engine answers at \
         once: with one JSON object, or with 36 events. `provider` is the control plane with the \
         engine as a provider by URL, `tunnel` the control plane with the engine behind a runner. \
         *Added* is what a gateway takes beyond asking the engine directly. LiteLLM runs with one \
         worker. Differences under 20 % are noise.",
        machine()
    );
    report::write(workspace, "gateway", "Gateway", &introduction, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(per_second: f64, p50_us: f64) -> Measured {
        Measured {
            answered: 1,
            failed: 0,
            reason: None,
            per_second,
            p50_us,
            p99_us: p50_us * 2.0,
        }
    }

    #[test]
    fn a_target_is_met_or_missed_by_the_ratio_to_the_peer() {
        let case = Case::ALL[0];
        let rows = compare(&[
            (Target::Direct, case, measured(1_000.0, 10.0)),
            (Target::Provider, case, measured(200.0, 110.0)),
            (Target::VllmRouter, case, measured(100.0, 60.0)),
        ]);
        let found = |name: &str| {
            let row = rows
                .iter()
                .find(|row| row.metric.ends_with(name) && row.peer == Some("vllm-router"));
            let row = row.unwrap();
            (row.ratio.unwrap(), row.met)
        };
        assert_eq!(found("requests per second"), (2.0, Some(true)));
        assert_eq!(found("p50 added"), (2.0, Some(false)));
        assert_eq!(found("p99 added").1, None);
    }
}
