//! What becomes of a tunnel in bad times: readers that stall, connections that are
//! cut, and one that falls silent.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    control::Control,
    rig::{Lane, Network, Resume, Rig, Target, tcp},
    rounds::Times,
};
use crate::{
    bench::report::{Row, median},
    workspace::Workspace,
};

/// Streams that nobody reads.
const STALLED: u64 = 64;

/// A round trip that takes longer beside them is frozen, to a person.
const FROZEN_MS: f64 = 100.0;

/// Bytes of a transfer that is cut.
const TRANSFER: u64 = 1 << 30;

/// Cuts of a transfer, one every 10 MiB.
const CUTS: u64 = 100;
const EVERY: u64 = 10 << 20;

/// How often the transfer is made, with and without cuts.
const TRANSFERS: usize = 3;

/// A silent connection is to be replaced within this.
const REPLACED_WITHIN: f64 = 20.0;

/// What is reported of a stream that never went on: longer than it was waited for.
const NEVER: u32 = 60;

/// Round trips beside readers that stall.
pub(super) fn stalled(workspace: &Workspace, seconds: f64) -> Result<Vec<Row>> {
    let mut rig = Rig::start(workspace, "stalled")?;
    let rathole = rig.rathole(Network::Loopback)?;
    let (mut ours, _) = rig.ours(Network::Loopback, Resume::Yes)?;
    let mut rows = Vec::new();
    for (target, name) in [
        (Target::Embedded, "embedded"),
        (Target::Forwarder, "forwarder"),
        (Target::Rathole, "rathole"),
    ] {
        let way = match target {
            Target::Rathole => tcp(rathole.port),
            _ => ours.way(target, Lane::Control),
        };
        let control = match target {
            Target::Embedded => &mut ours.control,
            _ => &mut rig.load,
        };
        let (idle, beside) = beside_stalled(control, &way, seconds)
            .with_context(|| format!("measuring {name} beside stalled readers"))?;
        let metric = format!("{name}: round trip beside {STALLED} stalled readers");
        rows.push(Row {
            peer: Some("itself without them"),
            peer_value: Some(idle.p50_us),
            ratio: Some(beside.p50_us / idle.p50_us),
            ..Row::reported(format!("{metric}, p50"), beside.p50_us, "µs")
        });
        let (metric, slowest) = (format!("{metric}, slowest"), beside.max_us / 1e3);
        rows.push(if target == Target::Rathole {
            Row::reported(metric, slowest, "ms")
        } else {
            Row::below(metric, slowest, "ms", FROZEN_MS)
        });
    }
    rig.programs.stop();
    Ok(rows)
}

fn beside_stalled(control: &mut Control, way: &Value, seconds: f64) -> Result<(Times, Times)> {
    let ping = json!({"do": "ping", "way": way, "ms": (seconds * 1_000.0) as u64});
    let idle = control.ask(&ping)?;
    let hold = json!({"do": "hold", "way": way, "count": STALLED, "unread": true});
    let _: Value = control.ask(&hold)?;
    // Until all that can be in their way is.
    std::thread::sleep(Duration::from_secs(1));
    let beside = control.ask(&ping)?;
    let _: Value = control.ask(&json!({"do": "release"}))?;
    Ok((idle, beside))
}

#[derive(Debug, Deserialize)]
struct Exact {
    seconds: f64,
}

#[derive(Debug, Deserialize)]
struct Cuts {
    cuts: u64,
    gaps_seconds: Vec<f64>,
}

/// A transfer with and without cuts.
pub(super) fn cuts(workspace: &Workspace) -> Result<Vec<Row>> {
    let mut rig = Rig::start(workspace, "cuts")?;
    let (mut ours, line) = rig.ours(Network::Cut, Resume::Yes)?;
    let mut line = Control::connect("the line", line.context("a line that cuts")?)?;
    let way = ours.way(Target::Embedded, Lane::Control);
    let transfer = json!({"do": "exact", "way": way, "bytes": TRANSFER});
    let (mut ratios, mut gaps, mut complete) = (Vec::new(), Vec::new(), 0);
    for _ in 0..TRANSFERS {
        let whole: Exact = ours.control.ask(&transfer)?;
        let _: Value = line.ask(&json!({"do": "cut_every", "bytes": EVERY, "times": CUTS}))?;
        let cut: Result<Exact> = ours.control.ask(&transfer);
        let told: Cuts = line.ask(&json!({"do": "cuts"}))?;
        let cut = cut.and_then(|cut| {
            ensure!(told.cuts == CUTS, "there were {} cuts of {CUTS}", told.cuts);
            Ok(cut)
        });
        let cut = match cut {
            Ok(cut) => cut,
            Err(error) => {
                println!("after {} cuts: {error:#}", told.cuts);
                break;
            }
        };
        complete += 1;
        let aside: f64 = told.gaps_seconds.iter().sum();
        println!(
            "{TRANSFER} bytes: {:.2} s; with {CUTS} cuts {:.2} s, of which {aside:.2} s without a connection",
            whole.seconds, cut.seconds
        );
        ratios.push((cut.seconds - aside) / whole.seconds);
        gaps.extend(told.gaps_seconds);
    }
    rig.programs.stop();
    let metric = format!("1 GiB with {CUTS} cuts: byte-exact transfers of {TRANSFERS}");
    let mut rows = vec![Row::at_least(
        metric,
        f64::from(complete),
        "transfers",
        TRANSFERS as f64,
    )];
    if let (Ok(ratio), Ok(gap)) = (median(ratios), median(gaps)) {
        let metric = format!("1 GiB with {CUTS} cuts: time without the gaps, to an uncut one");
        rows.push(Row::below(metric, ratio, "times", 1.05));
        rows.push(Row::reported(
            "from a cut until bytes come again, median",
            gap * 1e3,
            "ms",
        ));
    }
    Ok(rows)
}

/// From the moment at which a connection falls silent until the stream on it goes on.
pub(super) fn half_open(workspace: &Workspace) -> Result<Vec<Row>> {
    let mut rig = Rig::start(workspace, "half-open")?;
    let (mut ours, line) = rig.ours(Network::Cut, Resume::Yes)?;
    let mut line = Control::connect("the line", line.context("a line that falls silent")?)?;
    let way = ours.way(Target::Embedded, Lane::Control);
    let ping = json!({"do": "ping", "way": way, "ms": 60_000, "until_slow_ms": 1_000});
    let pinged = std::thread::scope(|scope| {
        let pinged = scope.spawn(|| ours.control.ask::<Times>(&ping));
        std::thread::sleep(Duration::from_secs(1));
        let frozen: Result<Value> = line.ask(&json!({"do": "freeze"}));
        let pinged = pinged.join().unwrap_or_else(|_| bail!("asking panicked"));
        frozen.and(pinged)
    });
    rig.programs.stop();
    let metric = "a connection that falls silent: its streams go on after";
    let seconds = match pinged {
        Ok(times) => times.max_us / 1e6,
        Err(error) => {
            println!("{metric}: never: {error:#}");
            f64::from(NEVER)
        }
    };
    Ok(vec![Row {
        target: Some(format!("at most {REPLACED_WITHIN}")),
        met: Some(seconds <= REPLACED_WITHIN),
        ..Row::reported(metric, seconds, "s")
    }])
}
