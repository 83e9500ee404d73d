//! Figures beside each other, as JSON for programs and as a table for people.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    load::{Case, Measured},
    median,
    rig::Target,
};
use crate::workspace::Workspace;

/// One figure beside another.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    metric: String,
    ours: f64,
    peer: Option<&'static str>,
    peer_value: Option<f64>,
    /// Ours divided by the peer's.
    ratio: Option<f64>,
    unit: &'static str,
    target: Option<String>,
    /// Absent: only reported.
    met: Option<bool>,
}

impl Row {
    /// A figure that is to stay below a bound.
    pub(super) fn bound(metric: &str, ours: f64, unit: &'static str, most: f64) -> Self {
        let target = Some(format!("below {most}"));
        Self::alone(metric.to_owned(), ours, unit, target, ours < most)
    }

    /// A figure that is to reach another.
    pub(super) fn at_least(metric: String, ours: f64, unit: &'static str, least: f64) -> Self {
        Self::alone(
            metric,
            ours,
            unit,
            Some(format!("at least {least}")),
            ours >= least,
        )
    }

    fn alone(
        metric: String,
        ours: f64,
        unit: &'static str,
        target: Option<String>,
        met: bool,
    ) -> Self {
        Self {
            metric,
            ours,
            peer: None,
            peer_value: None,
            ratio: None,
            unit,
            target,
            met: Some(met),
        }
    }
}

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

/// Writes `target/bench/gateway.json` and `docs/benchmarks.md`.
pub(super) fn write(
    workspace: &Workspace,
    rows: &[Row],
    seconds: f64,
    rounds: usize,
) -> Result<()> {
    let folder = workspace.target().join("bench");
    fs::create_dir_all(&folder).context("making target/bench")?;
    let json = serde_json::to_string_pretty(rows).context("writing the figures")?;
    fs::write(folder.join("gateway.json"), json + "\n").context("writing gateway.json")?;
    let docs = workspace.root().join("docs");
    fs::create_dir_all(&docs).context("making docs")?;
    let page = page(rows, seconds, rounds);
    fs::write(docs.join("benchmarks.md"), &page).context("writing docs/benchmarks.md")?;
    println!("{page}");
    let missed = rows.iter().filter(|row| row.met == Some(false)).count();
    println!(
        "{missed} of {} targets missed",
        rows.iter().filter(|row| row.met.is_some()).count()
    );
    Ok(())
}

fn page(rows: &[Row], seconds: f64, rounds: usize) -> String {
    use std::fmt::Write as _;

    let mut text = format!(
        "# Benchmarks\n\n## Gateway\n\n`cargo xtask bench gateway --seconds {seconds} --rounds {rounds}`, on {}.\n\n\
         A mock engine, every gateway and the load generator share the machine, and everything is \
         measured in turns in one run; figures are medians over the rounds. The engine answers at \
         once: with one JSON object, or with 36 events. `provider` is the control plane with the \
         engine as a provider by URL, `tunnel` the control plane with the engine behind a runner. \
         *Added* is what a gateway takes beyond asking the engine directly. LiteLLM runs with one \
         worker. Differences under 20 % are noise.\n\n\
         | | ours | peer | its figure | ratio | target | met |\n|---|---:|---|---:|---:|---|---|\n",
        machine()
    );
    for row in rows {
        let figure = |value: f64| {
            if value.abs() < 1_000.0 {
                format!("{value:.1}")
            } else {
                format!("{value:.0}")
            }
        };
        let met = row.met.map_or("", |met| if met { "yes" } else { "**no**" });
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {}, {} | {} | {} | {} | {} | {} | {met} |",
            row.metric,
            row.unit,
            figure(row.ours),
            row.peer.unwrap_or_default(),
            row.peer_value.map(figure).unwrap_or_default(),
            row.ratio
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
            row.target.as_deref().unwrap_or_default(),
        );
    }
    text
}

/// The machine's size, for people.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let kib = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let gib = kib.unwrap_or_default() >> 20;
    format!("{cores} cores of {cpu}, {gib} GiB of memory")
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
