//! The path of a request through the control plane, measured beside
//! vllm-router, LiteLLM and no gateway at all: a mock engine, every gateway and
//! the load generator on one machine, all in one run, in turns.

mod load;
mod rig;
mod table;

use std::time::Duration;

use anyhow::{Result, ensure};

use super::report::Row;
use crate::workspace::Workspace;
use load::{Case, Measured};
use rig::{Rig, Target};

/// Streams that are held at once.
const HELD: u32 = 1_000;

/// The pause before each of the 36 events of a held stream.
const HELD_PAUSE_MS: u32 = 250;

/// The most memory that an idle control plane may take.
const IDLE_MB: f64 = 80.0;

/// What `cargo xtask bench gateway` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often everything is measured; medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Leave LiteLLM out: it takes a minute to install and start.
    #[arg(long)]
    without_litellm: bool,
    /// Build nothing: measure what is there.
    #[arg(long)]
    no_build: bool,
}

/// Measures, and writes `target/bench/gateway.json` and `docs/benchmarks.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    if !arguments.no_build {
        rig::build(workspace)?;
    }
    let mut rig = Rig::start(workspace, !arguments.without_litellm)?;
    std::thread::sleep(Duration::from_secs(5));
    let idle_mb = rig.control_plane_mb()?;
    println!("idle control plane: {idle_mb:.1} MB");
    let mut measured = Vec::new();
    for round in 1..=arguments.rounds {
        for case in Case::ALL {
            for target in rig.targets() {
                let sample = load::measure(workspace, &rig, target, case, arguments.seconds)?;
                println!("round {round}: {target:?} {case}: {sample}");
                measured.push((target, case, sample));
            }
        }
    }
    let mut rows = table::compare(&measured);
    rows.push(Row::below(
        "idle control plane: resident memory",
        idle_mb,
        "MB",
        IDLE_MB,
    ));
    for (target, path) in [(Target::Provider, "provider"), (Target::Tunnel, "tunnel")] {
        let held = hold(workspace, &rig, target)?;
        let mb = rig.control_plane_mb()?;
        println!(
            "{path}: {} of {HELD} slow streams answered whole; then {mb:.1} MB",
            held.answered
        );
        let metric = format!("{path}: {HELD} slow streams at once, answered whole");
        rows.push(Row::at_least(
            metric,
            held.answered as f64,
            "streams",
            f64::from(HELD),
        ));
    }
    rig.stop();
    table::write(workspace, &rows, arguments.seconds, arguments.rounds)
}

/// Holds many streams that take nine seconds each.
fn hold(workspace: &Workspace, rig: &Rig, target: Target) -> Result<Measured> {
    let body = format!(
        r#"{{"model":"{}","stream":true,"pause_ms":{HELD_PAUSE_MS},"messages":[{{"role":"user","content":"Hello"}}]}}"#,
        rig.model(target)
    );
    let held = load::ask(workspace, rig, target, HELD, 0.0, &body)?;
    if let Some(reason) = &held.reason {
        println!("{} streams failed, the first one: {reason}", held.failed);
    }
    Ok(held)
}
