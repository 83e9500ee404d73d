//! The figures, beside their targets.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::Arguments;
use crate::bench::report::{Row, machine, median};

/// What was measured, by name.
pub(super) type Samples = BTreeMap<String, Vec<f64>>;

/// The least that `runc run` is to take in the time of one of ours.
const TIMES_FASTER: f64 = 4.0;
/// Within this time as many as asked for are to be there.
const CROWD_MS: f64 = 1_500.0;
/// Within this time a Docker daemon is to answer.
const DOCKER_MS: f64 = 1_000.0;

pub(super) fn rows(samples: &Samples, arguments: &Arguments) -> Result<Vec<Row>> {
    let mut rows = alone(samples)?;
    rows.extend(many(samples, arguments.crowd)?);
    let (docker_p50, docker_p99) = (
        percentile(samples, "ours_docker_ready_ms", 0.5)?,
        percentile(samples, "ours_docker_ready_ms", 0.99)?,
    );
    let ready = "create to an answer of the sandbox's own Docker daemon";
    rows.push(Row::below(
        format!("{ready}, p50"),
        docker_p50,
        "ms",
        DOCKER_MS,
    ));
    rows.push(Row::reported(format!("{ready}, p99"), docker_p99, "ms"));
    for (metric, name) in [
        ("exec round trip on the host", "ours_exec_ms"),
        (
            "exec round trip through control plane, tunnel and host",
            "path_exec_ms",
        ),
        ("stop and remove", "ours_remove_ms"),
        (
            "stop and remove, with its Docker daemon",
            "ours_docker_remove_ms",
        ),
    ] {
        for (share, p) in [(0.5, "p50"), (0.99, "p99")] {
            let figure = percentile(samples, name, share)?;
            rows.push(Row::reported(format!("{metric}, {p}"), figure, "ms"));
        }
    }
    for (metric, name) in [
        ("memory of an idle sandbox", "ours_idle_bytes"),
        (
            "memory of an idle sandbox with the machine's system",
            "ours_host_idle_bytes",
        ),
        ("the same with its Docker daemon", "ours_docker_idle_bytes"),
    ] {
        let idle = median(of(samples, name)?.clone())? / f64::from(1 << 20);
        rows.push(Row::reported(metric, idle, "MiB"));
    }
    Ok(rows)
}

/// One at a time.
fn alone(samples: &Samples) -> Result<Vec<Row>> {
    let p50 = percentile(samples, "ours_alone_ms", 0.5)?;
    let p99 = percentile(samples, "ours_alone_ms", 0.99)?;
    let mut fast = beside(samples, 0.5, "runc")?;
    let ratio = fast.ratio.unwrap_or(f64::INFINITY);
    fast.target = Some(format!("ratio at most {}", 1.0 / TIMES_FASTER));
    fast.met = Some(ratio <= 1.0 / TIMES_FASTER);
    let steady = "create to the end of `true`, p99 over p50";
    Ok(vec![
        fast,
        beside(samples, 0.99, "runc")?,
        beside(samples, 0.5, "docker")?,
        Row::below(steady, p99 / p50, "times", 3.0),
    ])
}

/// A percentile of ours beside a peer's.
fn beside(samples: &Samples, share: f64, peer: &'static str) -> Result<Row> {
    let ours = percentile(samples, "ours_alone_ms", share)?;
    let theirs = percentile(samples, &format!("{peer}_alone_ms"), share)?;
    let metric = format!("create to the end of `true`, p{:.0}", share * 100.0);
    Ok(compared(metric, ours, peer, theirs))
}

/// Many at once, and many in a row.
fn many(samples: &Samples, crowd: usize) -> Result<Vec<Row>> {
    let middle = |name: &str| median(of(samples, name)?.clone());
    let at_once = middle("ours_crowd_ms")?;
    let metric = format!("{crowd} at once");
    let mut rows = vec![Row::below(&metric, at_once, "ms", CROWD_MS)];
    for peer in ["runc", "docker"] {
        let theirs = middle(&format!("{peer}_crowd_ms"))?;
        rows.push(compared(metric.clone(), at_once, peer, theirs));
    }
    rows.push(compared(
        format!("{crowd} in a row, removed too"),
        middle("ours_row_ms")?,
        "runc",
        middle("runc_row_ms")?,
    ));
    Ok(rows)
}

fn compared(metric: String, ours: f64, peer: &'static str, theirs: f64) -> Row {
    Row {
        peer: Some(peer),
        peer_value: Some(theirs),
        ratio: Some(ours / theirs),
        ..Row::reported(metric, ours, "ms")
    }
}

fn of<'a>(samples: &'a Samples, name: &str) -> Result<&'a Vec<f64>> {
    samples
        .get(name)
        .with_context(|| format!("{name} was not measured"))
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

pub(super) fn introduction(arguments: &Arguments) -> String {
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
