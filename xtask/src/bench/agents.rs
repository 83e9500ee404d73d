//! Agents at work: from what one writes to who looks on, and back; with the real daemons on one
//! machine. Where many sessions are measured, their host is scripted.

mod rig;
mod table;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    programs::{cpu_seconds, resident_bytes},
    report::{self, Row},
};
use crate::{
    process::{self, now, run_lines},
    workspace::Workspace,
};
use rig::{Rig, Tells};

/// What can be measured by itself.
const PARTS: [&str; 3] = ["path", "crowd", "replay"];

/// How often a long log is read.
const REPLAYS: u32 = 5;

/// For how many seconds statements are counted.
const COUNTED_SECONDS: u32 = 5;

/// What `cargo xtask bench agents` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Messages that an agent writes, one each 50 ms; twice as many as a fast model's tokens.
    #[arg(long, default_value_t = 400)]
    messages: u32,
    /// Prompts that are asked one after the other.
    #[arg(long, default_value_t = 200)]
    prompts: u32,
    /// Sessions that stream at once.
    #[arg(long, default_value_t = 200)]
    sessions: u32,
    /// Tokens per second of each of them.
    #[arg(long, default_value_t = 25)]
    tokens: u32,
    /// For how many seconds they stream.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Events of the log that is read from its beginning.
    #[arg(long, default_value_t = 100_000)]
    events: u32,
    /// Measure only the parts whose names contain this (path, crowd, replay), and write nothing.
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Measure what `cargo build` makes, and write nothing: for work on the bench itself.
    #[arg(long)]
    debug: bool,
    /// Build nothing: measure what is there.
    #[arg(long)]
    no_build: bool,
}

impl Arguments {
    fn profile(&self) -> &'static str {
        if self.debug { "debug" } else { "release" }
    }
}

/// What `bench-agents path` prints: milliseconds.
#[derive(Debug, Deserialize)]
struct Path {
    prompt_ms: Vec<f64>,
    alone_ms: Vec<f64>,
    token_ms: Vec<f64>,
    floor_ms: Vec<f64>,
    floor_token_ms: Vec<f64>,
}

/// What `bench-agents crowd` prints.
#[derive(Debug, Deserialize)]
struct Crowd {
    late_ms: Vec<f64>,
    tokens: f64,
    seconds: f64,
    /// What the control plane counted meanwhile.
    entries: f64,
    transactions: f64,
}

/// What `bench-agents replay` prints: milliseconds.
#[derive(Debug, Deserialize)]
struct Replay {
    socket_ms: Vec<f64>,
    sse_ms: Vec<f64>,
}

/// What a crowd took of the control plane.
#[derive(Debug, Default)]
struct Taken {
    /// Processors, on average.
    processors: f64,
    bytes: f64,
    /// Statements that the database was given.
    statements: f64,
}

/// Measures, and writes `target/bench/agents.json` and a section of `docs/benchmarks.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let counts = [
        arguments.messages,
        arguments.prompts,
        arguments.sessions,
        arguments.tokens,
        arguments.seconds,
        arguments.events,
    ];
    ensure!(counts.iter().all(|count| *count > 0), "nothing may be 0");
    ensure!(
        rustix::process::geteuid().is_root(),
        "sandboxes are made by root: run this as root"
    );
    let wanted = |part: &&str| {
        let pattern = arguments.only.as_deref();
        pattern.is_none_or(|pattern| part.contains(pattern))
    };
    let parts: Vec<_> = PARTS.into_iter().filter(wanted).collect();
    ensure!(
        !parts.is_empty(),
        "--only names none of {}",
        PARTS.join(", ")
    );
    if !arguments.no_build {
        build(workspace, arguments)?;
    }
    let mut rows = Vec::new();
    // Its log tells statements, which takes time: by itself.
    let statements = if parts.contains(&"crowd") {
        println!("measuring: statements");
        on(workspace, arguments, Tells::Statements, |rig| {
            let (crowd, taken) = crowd(workspace, rig, arguments, COUNTED_SECONDS)?;
            Ok(table::Statements::of(&crowd, &taken))
        })?
    } else {
        table::Statements::default()
    };
    on(workspace, arguments, Tells::Little, |rig| {
        for part in parts {
            println!("measuring: {part}");
            rows.extend(match part {
                "path" => path(workspace, rig, arguments)?,
                "crowd" => {
                    let (crowd, taken) = crowd(workspace, rig, arguments, arguments.seconds)?;
                    table::crowd(arguments.sessions, &crowd, &taken, &statements)?
                }
                _ => replay(workspace, rig, arguments)?,
            });
        }
        Ok(())
    })?;
    if arguments.only.is_some() || arguments.debug {
        println!("{}", report::table(&rows));
        report::print_verdict(&rows);
        return Ok(());
    }
    let introduction = table::introduction(arguments);
    report::write(workspace, "agents", "Agents", &introduction, &rows)
}

fn build(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked"]);
    if !arguments.debug {
        cargo.arg("--release");
    }
    cargo.args(["--package", "helix-tests", "--bin", "bench-agents"]);
    cargo.args(["--package", "helix-server", "--bin", "helix-server"]);
    cargo.args(["--package", "helix-sandbox", "--bin", "helix-sandbox"]);
    process::run(workspace, &mut cargo, Duration::from_secs(3_600))
}

/// Does something with daemons, which are stopped then.
fn on<T>(
    workspace: &Workspace,
    arguments: &Arguments,
    tells: Tells,
    measure: impl FnOnce(&Rig) -> Result<T>,
) -> Result<T> {
    let mut rig = Rig::start(workspace, arguments.profile(), tells)?;
    let measured = measure(&rig).with_context(|| rig.last_words());
    rig.stop(workspace);
    measured
}

fn path(workspace: &Workspace, rig: &Rig, arguments: &Arguments) -> Result<Vec<Row>> {
    let numbers = [arguments.messages, arguments.prompts];
    let path: Path = ask(workspace, rig, "path", &numbers, |_| Ok(()))?;
    table::path(&path)
}

fn crowd(
    workspace: &Workspace,
    rig: &Rig,
    arguments: &Arguments,
    seconds: u32,
) -> Result<(Crowd, Taken)> {
    let (mut began, mut taken) = (None, Taken::default());
    let numbers = [arguments.sessions, arguments.tokens, seconds];
    let crowd: Crowd = ask(workspace, rig, "crowd", &numbers, |line| {
        match (line, began) {
            ("begin", _) => began = Some((now(), cpu_seconds(rig.server)?, rig.statements()?)),
            ("end", Some((at, cpu, statements))) => {
                let cpu = cpu_seconds(rig.server)? - cpu;
                taken.processors = cpu / at.elapsed().as_secs_f64();
                taken.bytes = resident_bytes(rig.server)?;
                taken.statements = rig.statements()? - statements;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((crowd, taken))
}

fn replay(workspace: &Workspace, rig: &Rig, arguments: &Arguments) -> Result<Vec<Row>> {
    let numbers = [arguments.events, REPLAYS];
    let replay: Replay = ask(workspace, rig, "replay", &numbers, |_| Ok(()))?;
    table::replay(arguments.events, replay)
}

/// What `bench-agents` prints last, each line before it told as it comes.
fn ask<T: DeserializeOwned>(
    workspace: &Workspace,
    rig: &Rig,
    role: &str,
    numbers: &[u32],
    mut line: impl FnMut(&str) -> Result<()>,
) -> Result<T> {
    let mut command = rig.bench(workspace, role, numbers);
    let (mut answer, mut failed) = (None, None);
    run_lines(workspace, &mut command, Duration::from_secs(900), |text| {
        answer = serde_json::from_str(text).ok();
        if let Err(error) = line(text) {
            failed.get_or_insert(error);
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => answer.with_context(|| format!("bench-agents {role} said nothing")),
    }
}
