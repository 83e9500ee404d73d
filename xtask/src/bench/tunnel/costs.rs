//! What a tunnel takes: memory while it is idle, and time for being able to resume.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    control::Control,
    rig::{Lane, Network, Ours, Resume, Rig, Target, tcp},
    rounds::{Lengths, cpu_per_gigabyte},
};
use crate::{
    bench::{
        programs::{free_ports, resident_bytes},
        report::{Row, median},
    },
    workspace::Workspace,
};

/// Idle streams, and idle agents.
pub(super) const IDLE: u64 = 1_000;

/// Streams and agents that come before, so that what is allocated once is not counted.
const BEFORE: u64 = 20;

/// The most kilobytes that an idle HTTP stream may take on a side.
const STREAM_KB: f64 = 2.0;

/// The most kilobytes that an idle agent may take on a side.
const AGENT_KB: f64 = 64.0;

/// How long memory may take to settle.
const SETTLES: Duration = Duration::from_millis(500);

/// Memory per idle stream and per idle agent.
pub(super) fn memory(workspace: &Workspace) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut peer = None;
    for (target, name) in [
        (Target::Rathole, "rathole"),
        (Target::Forwarder, "forwarder"),
        (Target::Embedded, "embedded"),
    ] {
        let taken = streams(workspace, target)
            .with_context(|| format!("holding {IDLE} idle streams of {name}"))?;
        let Some(rathole) = peer else {
            peer = Some(taken);
            continue;
        };
        for (side, kilobytes, rathole) in [
            ("server", taken.0, rathole.0),
            ("agent", taken.1, rathole.1),
        ] {
            let metric = format!("{name}: memory per idle stream, {side}");
            let row = match target {
                Target::Embedded => Row::below(metric, kilobytes, "KB", STREAM_KB),
                _ => Row::reported(metric, kilobytes, "KB"),
            };
            rows.push(Row {
                peer: Some("rathole"),
                peer_value: Some(rathole),
                ratio: Some(kilobytes / rathole),
                ..row
            });
        }
    }
    let (server, agent) = agents(workspace).with_context(|| format!("holding {IDLE} agents"))?;
    rows.push(Row::below(
        "memory per idle agent, server",
        server,
        "KB",
        AGENT_KB,
    ));
    rows.push(Row::below(
        "memory per idle agent, agent",
        agent,
        "KB",
        AGENT_KB,
    ));
    Ok(rows)
}

/// Kilobytes per stream on both sides.
fn streams(workspace: &Workspace, target: Target) -> Result<(f64, f64)> {
    let mut rig = Rig::start(workspace, "memory")?;
    let taken = if target == Target::Rathole {
        let rathole = rig.rathole(Network::Loopback)?;
        let processes = (rathole.server, rathole.client);
        hold(&mut rig.load, &tcp(rathole.port), processes)?
    } else {
        let (mut ours, _) = rig.ours(Network::Loopback, Resume::Yes)?;
        let way = ours.way(target, Lane::Control);
        let processes = (ours.server, ours.agent);
        let control = match target {
            Target::Embedded => &mut ours.control,
            _ => &mut rig.load,
        };
        hold(control, &way, processes)?
    };
    rig.programs.stop();
    Ok(taken)
}

fn hold(control: &mut Control, way: &Value, (server, agent): (u32, u32)) -> Result<(f64, f64)> {
    let mut open = |count: u64| -> Result<(f64, f64)> {
        let command = json!({"do": "hold", "way": way, "count": count, "unread": false});
        let _: Value = control.ask(&command)?;
        std::thread::sleep(SETTLES);
        Ok((resident_bytes(server)?, resident_bytes(agent)?))
    };
    let (before, after) = (open(BEFORE)?, open(IDLE)?);
    let each = |before: f64, after: f64| (after - before) / IDLE as f64 / 1e3;
    Ok((each(before.0, after.0), each(before.1, after.1)))
}

/// Kilobytes per agent on both sides.
fn agents(workspace: &Workspace) -> Result<(f64, f64)> {
    let mut rig = Rig::start(workspace, "agents")?;
    let (mut ours, _) = rig.ours(Network::Loopback, Resume::Yes)?;
    let few = many_agents(&mut rig, &mut ours, "few", BEFORE)?;
    let server = resident_bytes(ours.server)?;
    let many = many_agents(&mut rig, &mut ours, "many", IDLE)?;
    let server = (resident_bytes(ours.server)? - server) / IDLE as f64;
    let agent = (many - few) / (IDLE - BEFORE) as f64;
    rig.programs.stop();
    Ok((server / 1e3, agent / 1e3))
}

/// The memory of a process with so many more agents.
fn many_agents(rig: &mut Rig<'_>, ours: &mut Ours, name: &str, count: u64) -> Result<f64> {
    let [http] = free_ports()?;
    let first = 10_000 + count;
    let process = rig.agents(name, ours.carrier.dial, http, first, count)?;
    // The first agent of all was there before, and so may be those of an earlier call.
    let earlier = if count == IDLE { BEFORE + 1 } else { 1 };
    ours.await_agents(usize::try_from(earlier + count)?)?;
    std::thread::sleep(SETTLES);
    resident_bytes(process)
}

/// CPU per gigabyte of tunnels that resume beside that of tunnels that do not.
pub(super) fn resume(workspace: &Workspace, seconds: f64, rounds: usize) -> Result<Vec<Row>> {
    let mut rig = Rig::start(workspace, "resume")?;
    let (mut with, _) = rig.ours(Network::Loopback, Resume::Yes)?;
    let (mut without, _) = rig.ours(Network::Loopback, Resume::No)?;
    let mut rows = Vec::new();
    for (direction, name) in [("down", "to the server"), ("up", "to the agent")] {
        let command = Lengths::of(Network::Loopback, seconds)
            .bulk(&with.way(Target::Embedded, Lane::Control), direction);
        let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let cost = |end: &mut Ours| {
                let processes = [end.server, end.agent];
                cpu_per_gigabyte(&mut end.control, &processes, &command)
            };
            let (a, b) = (cost(&mut with)?, cost(&mut without)?);
            ours.push(a);
            plain.push(b);
            ratios.push(a / b);
        }
        let ratio = median(ratios)?;
        rows.push(Row {
            peer: Some("no resuming"),
            peer_value: Some(median(plain)?),
            ratio: Some(ratio),
            target: Some("ratio at most 1.15".to_owned()),
            met: Some(ratio <= 1.15),
            ..Row::reported(
                format!("embedded: {name}, CPU with resuming"),
                median(ours)?,
                "s/GB",
            )
        });
    }
    rig.programs.stop();
    Ok(rows)
}
