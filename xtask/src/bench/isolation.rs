//! Sandboxes, measured beside `runc run` and `docker run` on the same root file system,
//! all in one run, in turns.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::report::{self, Row, machine, median};
use crate::{process::run_lines, setup::packages, workspace::Workspace};

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

type Samples = BTreeMap<String, Vec<f64>>;

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
        crate::process::run(workspace, &mut cargo, Duration::from_secs(3_600))?;
    }
    let samples = measure(workspace, arguments)?;
    let rows = rows(&samples, arguments)?;
    report::write(
        workspace,
        "isolation",
        "Isolation",
        &introduction(arguments),
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

fn rows(samples: &Samples, arguments: &Arguments) -> Result<Vec<Row>> {
    let crowd = arguments.crowd;
    let mut rows = vec![
        faster(
            samples,
            ("create to the end of `true`, p50", 0.5),
            "runc_alone_ms",
            Some(0.25),
        )?,
        faster(
            samples,
            ("create to the end of `true`, p99", 0.99),
            "runc_alone_ms",
            None,
        )?,
        faster(
            samples,
            ("create to the end of `true`, p50", 0.5),
            "docker_alone_ms",
            None,
        )?,
    ];
    let (p50, p99) = (
        percentile(samples, "ours_alone_ms", 0.5)?,
        percentile(samples, "ours_alone_ms", 0.99)?,
    );
    rows.push(Row {
        target: Some("below 3".to_owned()),
        met: Some(p99 / p50 < 3.0),
        ..Row::reported(
            "create to the end of `true`, p99 over p50",
            p99 / p50,
            "times",
        )
    });
    for peer in ["runc", "docker"] {
        let ours = middle(samples, "ours_crowd_ms")?;
        let theirs = middle(samples, &format!("{peer}_crowd_ms"))?;
        rows.push(Row {
            peer: Some(peer),
            peer_value: Some(theirs),
            ratio: Some(ours / theirs),
            target: (peer == "runc").then(|| "below 1500".to_owned()),
            met: (peer == "runc").then_some(ours < 1_500.0),
            ..Row::reported(format!("{crowd} at once"), ours, "ms")
        });
    }
    let (ours, theirs) = (
        middle(samples, "ours_row_ms")?,
        middle(samples, "runc_row_ms")?,
    );
    rows.push(Row {
        peer: Some("runc"),
        peer_value: Some(theirs),
        ratio: Some(ours / theirs),
        ..Row::reported(format!("{crowd} in a row, removed too"), ours, "ms")
    });
    for (metric, name, share, unit) in [
        ("stop and remove, p50", "ours_remove_ms", 0.5, "ms"),
        (
            "exec round trip on the host, p50",
            "ours_exec_ms",
            0.5,
            "ms",
        ),
        (
            "exec round trip on the host, p99",
            "ours_exec_ms",
            0.99,
            "ms",
        ),
    ] {
        rows.push(Row::reported(
            metric,
            percentile(samples, name, share)?,
            unit,
        ));
    }
    let idle = middle(samples, "ours_idle_bytes")? / f64::from(1 << 20);
    rows.push(Row::reported("memory of an idle sandbox", idle, "MiB"));
    Ok(rows)
}

/// A percentile of ours beside a peer's.
fn faster(
    samples: &Samples,
    (metric, share): (&str, f64),
    peer: &str,
    most: Option<f64>,
) -> Result<Row> {
    let ours = percentile(samples, "ours_alone_ms", share)?;
    let theirs = percentile(samples, peer, share)?;
    let ratio = ours / theirs;
    Ok(Row {
        peer: Some(if peer.starts_with("runc") {
            "runc"
        } else {
            "docker"
        }),
        peer_value: Some(theirs),
        ratio: Some(ratio),
        target: most.map(|most| format!("ratio at most {most}")),
        met: most.map(|most| ratio <= most),
        ..Row::reported(metric, ours, "ms")
    })
}

fn of<'a>(samples: &'a Samples, name: &str) -> Result<&'a Vec<f64>> {
    samples
        .get(name)
        .with_context(|| format!("{name} was not measured"))
}

fn middle(samples: &Samples, name: &str) -> Result<f64> {
    median(of(samples, name)?.clone())
}

/// The smallest sample that so large a share of all does not exceed.
fn percentile(samples: &Samples, name: &str, share: f64) -> Result<f64> {
    let mut sorted = of(samples, name)?.clone();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among few samples"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .with_context(|| format!("{name} has no samples"))
}

fn introduction(arguments: &Arguments) -> String {
    format!(
        "`cargo xtask bench isolation --rounds {} --crowd {}`, on {}.\n\n\
         Everything runs on one root file system of one static program, in turns, in a network \
         namespace of the bench's own. *Ours* is the library's `namespaces` backend with all of its \
         isolation: user, mount, pid, ipc, uts, network and cgroup namespaces, ids of its own, the \
         system call filter, limits, a disk of its own, a veth pair with NAT and egress policy, \
         and a resolver; then `true` run through the guest, and its exit code back. `runc run` has \
         the default specification of `runc spec`, which has no user namespace, no limits, no \
         network but loopback, and shares the root file system; `docker run --rm` has its bridge. \
         Both are started as programs, as people do. *At once*: until the last one's `true` has \
         ended. Every fifth round measures docker.",
        arguments.rounds,
        arguments.crowd,
        machine(),
    )
}
