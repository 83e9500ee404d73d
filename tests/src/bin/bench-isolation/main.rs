//! What `cargo xtask bench isolation` measures with: sandboxes of the library beside
//! `runc run` and `docker run` on the same root file system, in turns, in a network
//! namespace of its own.
//!
//! `bench-isolation FOLDER ROUNDS CROWD` prints one line of JSON: samples by name.

mod ours;
mod peers;
mod rootfs;

use std::{
    collections::BTreeMap, future::Future, io::Write as _, path::Path, process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use ours::{Kind, Ours};
use peers::{Docker, Runc};

/// How often a sandbox with a Docker daemon is made.
const DOCKERS: usize = 15;

const USAGE: &str = "bench-isolation FOLDER ROUNDS CROWD";

/// Samples by name, in the unit that the name ends with.
type Samples = BTreeMap<&'static str, Vec<f64>>;

fn main() -> ExitCode {
    // This program is also what builds a sandbox around itself.
    if let Some(ended) = helix_isolation::namespaces::launch_main(std::env::args_os()) {
        return ended;
    }
    match measure() {
        Ok(samples) => {
            let text = serde_json::to_string(&samples).unwrap_or_default();
            let said = writeln!(std::io::stdout(), "{text}");
            if said.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<Samples> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rounds, crowd] = arguments.as_slice() else {
        anyhow::bail!("{USAGE}");
    };
    let (rounds, crowd) = (
        rounds.parse().context(USAGE)?,
        crowd.parse().context(USAGE)?,
    );
    // SAFETY: this process has one thread, and only its network changes.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .context("leaving the machine's network")?;
    let up = std::process::Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()?;
    ensure!(up.success(), "ip link set lo up failed");
    helix_base::limits::raise_open_files();
    tokio::runtime::Runtime::new()?.block_on(all(Path::new(folder), rounds, crowd))
}

async fn all(folder: &Path, rounds: usize, crowd: usize) -> Result<Samples> {
    let rootfs = rootfs::make(folder)?;
    let ours = Ours::start(folder, &rootfs).await?;
    let runc = Runc::new(folder, &rootfs)?;
    let docker = Docker::start(folder, &rootfs).await?;
    let mut samples = Samples::new();
    // Caches are warm for everybody.
    ours.alone().await?;
    runc.run(0).await?;
    docker.run().await?;
    for round in 1..=rounds {
        let (run, removed) = ours.alone().await?;
        keep(&mut samples, "ours_alone_ms", run);
        keep(&mut samples, "ours_remove_ms", removed);
        keep(&mut samples, "runc_alone_ms", timed(runc.run(round)).await?);
        // Slow, and as steady as it is slow.
        if round % 5 == 0 {
            keep(&mut samples, "docker_alone_ms", timed(docker.run()).await?);
        }
    }
    for _ in 0..3 {
        keep(&mut samples, "ours_crowd_ms", ours.crowd(crowd).await?);
        keep(
            &mut samples,
            "runc_crowd_ms",
            timed(runc.crowd(crowd)).await?,
        );
        keep(&mut samples, "ours_row_ms", timed(ours.row(crowd)).await?);
        keep(&mut samples, "runc_row_ms", timed(runc.row(crowd)).await?);
    }
    keep(
        &mut samples,
        "docker_crowd_ms",
        timed(docker.crowd(crowd)).await?,
    );
    for _ in 0..DOCKERS {
        let (ready, removed) = ours.with_docker().await?;
        keep(&mut samples, "ours_docker_ready_ms", ready);
        keep(&mut samples, "ours_docker_remove_ms", removed);
    }
    for (name, kind, count) in [
        ("ours_idle_bytes", Kind::Small, 20),
        ("ours_host_idle_bytes", Kind::Host { docker: false }, 20),
        ("ours_docker_idle_bytes", Kind::Host { docker: true }, 5),
    ] {
        samples.insert(name, ours.idle_bytes(kind, count).await?);
    }
    samples.insert("ours_exec_ms", ours.exec(200).await?);
    ours.end().await?;
    docker.end().await?;
    Ok(samples)
}

fn keep(samples: &mut Samples, name: &'static str, took: Duration) {
    samples
        .entry(name)
        .or_default()
        .push(took.as_secs_f64() * 1e3);
}

async fn timed(what: impl Future<Output = Result<()>>) -> Result<Duration> {
    let began = Instant::now();
    what.await?;
    Ok(began.elapsed())
}
