//! Sandboxes, measured beside `runc run` and `docker run` on the same root file system,
//! all in one run, in turns.

mod path;
mod table;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::report;
use crate::{process::run_lines, setup::packages, workspace::Workspace};
use table::Samples;

/// What the peers need.
const PACKAGES: [&str; 7] = [
    "runc",
    "docker.io",
    "containerd",
    "iptables",
    "nftables",
    "iproute2",
    "busybox-static",
];

/// How often a program is run through the whole path.
const ROUND_TRIPS: usize = 300;

/// What `cargo xtask bench isolation` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often one sandbox is made, alone; percentiles are of these.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// How many at once, and in a row.
    #[arg(long, default_value_t = 100)]
    crowd: usize,
    /// Build nothing: measure what is there.
    #[arg(long)]
    no_build: bool,
}

/// Measures, and writes `target/bench/isolation.json` and a section of
/// `docs/benchmarks.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds >= 10, "--rounds must be at least 10");
    ensure!(arguments.crowd > 0, "--crowd must be at least 1");
    ensure!(
        rustix::process::geteuid().is_root(),
        "sandboxes, and their peers, are made by root: run this as root"
    );
    packages::install(workspace, &packages::missing(workspace, &PACKAGES))?;
    if !arguments.no_build {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--locked", "--release"]);
        cargo.args(["--package", "helix-tests", "--bin", "bench-isolation"]);
        cargo.args(["--package", "helix-server", "--bin", "helix-server"]);
        cargo.args(["--package", "helix-sandbox", "--bin", "helix-sandbox"]);
        crate::process::run(workspace, &mut cargo, Duration::from_secs(3_600))?;
    }
    let mut samples = measure(workspace, arguments)?;
    let path = path::measure(workspace, ROUND_TRIPS)?;
    samples.insert("path_exec_ms".to_owned(), path);
    let rows = table::rows(&samples, arguments)?;
    report::write(
        workspace,
        "isolation",
        "Isolation",
        &table::introduction(arguments),
        &rows,
    )
}

fn measure(workspace: &Workspace, arguments: &Arguments) -> Result<Samples> {
    let folder = workspace.target().join("bench/isolation");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing what an earlier run left")?;
    }
    fs::create_dir_all(&folder).context("making the folder of the bench")?;
    let mut program = workspace.command(workspace.target().join("release/bench-isolation"));
    program.arg(&folder);
    program.args([arguments.rounds.to_string(), arguments.crowd.to_string()]);
    program.stdout(std::process::Stdio::piped());
    let mut answer = None;
    let limit = Duration::from_secs(1_800);
    run_lines(workspace, &mut program, limit, |line| {
        answer = serde_json::from_str(line).ok();
    })?;
    answer.context("bench-isolation ended without its samples")
}
