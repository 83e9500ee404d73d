//! Tunnels, measured beside direct TCP and rathole: both ends, the backend behind
//! them, the load generator and a slow line on one machine, all in one run, in turns.

mod control;
mod costs;
mod ends;
mod rathole;
mod rig;
mod rounds;
mod table;

use anyhow::{Result, ensure};

use super::report::{self, Row, machine};
use crate::workspace::Workspace;
use rig::{Network, Rig};
use rounds::{Samples, Turns};

/// What can be measured by itself.
const PARTS: [&str; 7] = [
    "loopback",
    "slow",
    "resume",
    "stalled",
    "cuts",
    "half-open",
    "memory",
];

/// What `cargo xtask bench tunnel` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of a transfer on loopback; everything else follows from it.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How often everything is measured; medians are reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure only the parts whose names contain this (loopback, slow, resume, stalled,
    /// cuts, half-open, memory), and write nothing.
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Build nothing: measure what is there.
    #[arg(long)]
    no_build: bool,
}

/// Measures, and writes `target/bench/tunnel.json` and a section of
/// `docs/benchmarks.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds > 0, "--rounds must be at least 1");
    ensure!(
        (0.1..=60.0).contains(&arguments.seconds),
        "--seconds must be between 0.1 and 60"
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
        rig::build(workspace)?;
    }
    rathole::install(workspace)?;
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for name in parts {
        println!("measuring: {name}");
        match part(workspace, name, arguments) {
            Ok(measured) => rows.extend(measured),
            Err(error) if workspace.stopped() => return Err(error),
            Err(error) => {
                println!("FAILED: {name}: {error:#}");
                failed.push(name);
            }
        }
    }
    if arguments.only.is_some() || !failed.is_empty() {
        println!("{}", report::table(&rows));
        report::print_verdict(&rows);
        ensure!(
            failed.is_empty(),
            "not measured, so nothing is written: {}",
            failed.join(", ")
        );
        return Ok(());
    }
    let introduction = introduction(arguments);
    report::write(workspace, "tunnel", "Tunnel", &introduction, &rows)
}

fn part(workspace: &Workspace, name: &str, arguments: &Arguments) -> Result<Vec<Row>> {
    let &Arguments {
        seconds, rounds, ..
    } = arguments;
    match name {
        "loopback" => in_turns(workspace, name, Network::Loopback, arguments),
        "slow" => in_turns(workspace, name, Network::Slow, arguments),
        "resume" => costs::resume(workspace, seconds, rounds),
        "stalled" => ends::stalled(workspace, seconds),
        "cuts" => ends::cuts(workspace),
        "half-open" => ends::half_open(workspace),
        _ => costs::memory(workspace),
    }
}

fn in_turns(
    workspace: &Workspace,
    name: &str,
    network: Network,
    arguments: &Arguments,
) -> Result<Vec<Row>> {
    let mut samples = Samples::default();
    let rig = Rig::start(workspace, name)?;
    let mut turns = Turns::start(rig, network, arguments.seconds)?;
    for round in 1..=arguments.rounds {
        turns.round(network, &mut samples)?;
        println!("{name}: round {round} of {}", arguments.rounds);
    }
    turns.stop();
    Ok(table::rows(network, &samples))
}

fn introduction(arguments: &Arguments) -> String {
    format!(
        "`cargo xtask bench tunnel --seconds {} --rounds {}`, on {}.\n\n\
         Both ends of each tunnel, the backend behind it, the load generator and the line between \
         are processes of their own on one machine, and everything is measured in turns in one \
         run. Figures are medians over the rounds, a ratio is the median of each round's own \
         ratio; differences under 20 % are noise. *forwarder*: a TCP port of the server leads \
         through one WebSocket to a TCP port behind the agent, as with rathole {} (plain TCP, no \
         encryption, as ours; its release build has link-time optimisation, ours has none). *embedded*: the HTTP client is in the server and the router in the \
         agent, so what it costs includes making and taking the bytes. *direct* is the same client \
         without a tunnel. *CPU* is user and system time of both ends; the load generator and the \
         backend are not in it. A round trip is 64 bytes there and back on an open stream; *beside \
         bulk* with a stream to the server that takes all it can, on the same lane or another. \
         *New stream* is a TCP connection until its first byte, or a request until its answer; \
         HTTP/1.1 opens a connection for each. *Slow line*: 25 ms each way and 100 Mbit/s, shared \
         fairly by its connections, 64 KiB of socket buffer for each at the bottleneck, and TCP's \
         handshake takes its round trip; there all fill the line, and it is times that are judged. \
         *Cuts*: the line resets every connection each 10 MiB, and the receiver compares each byte; \
         the gap is from a cut until 16 KiB came over a new connection. *Falls silent*: the line \
         stops carrying what is connected and closes nothing. *Memory* is what {} streams or agents \
         add to the resident memory of a process.",
        arguments.seconds,
        arguments.rounds,
        machine(),
        rathole::VERSION,
        costs::IDLE,
    )
}
