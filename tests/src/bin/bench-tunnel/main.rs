//! What `cargo xtask bench tunnel` measures with: both ends of a tunnel, a TCP
//! backend, a load generator and a slow line, each a process of its own.
//!
//! `bench-tunnel ROLE ARGUMENTS…`; ports are on loopback. Every role but the agent
//! and the backend is steered over its control port: a line of JSON in, a line of
//! JSON out (see `control`).

mod agent;
mod backend;
mod control;
mod measure;
mod pattern;
mod ping;
mod relay;
mod server;
mod way;

use std::time::Instant;

use anyhow::{Context as _, bail};
use tokio::runtime::{Builder, Runtime};

const USAGE: &str = "bench-tunnel backend PORT
bench-tunnel load CONTROL_PORT
bench-tunnel relay CONTROL_PORT PORT TARGET_PORT DELAY_MS MBIT_PER_SECOND
bench-tunnel server CONTROL_PORT PORT GRACE_MS BACKEND_PORT FORWARD_PORT BULK_FORWARD_PORT
bench-tunnel agent SERVER_PORT HTTP_PORT FIRST COUNT";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (role, numbers) = arguments.split_first().context(USAGE)?;
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
    let numbers = numbers.context(USAGE)?;
    // A thousand streams take two thousand sockets.
    helix_base::limits::raise_open_files();
    // As daemons do. A line is one thing after the other.
    match (role.as_str(), numbers.as_slice()) {
        ("backend", &[port]) => many_threads()?.block_on(backend::run(as_port(port)?)),
        ("load", &[control]) => many_threads()?.block_on(measure::run(as_port(control)?, None)),
        ("relay", &[control, port, target, delay_ms, mbit]) => {
            let options = relay::Options {
                control: as_port(control)?,
                port: as_port(port)?,
                target: as_port(target)?,
                delay_ms,
                mbit,
            };
            one_thread()?.block_on(relay::run(&options))
        }
        ("server", &[control, port, grace_ms, backend, forward, bulk_forward]) => {
            let options = server::Options {
                control: as_port(control)?,
                port: as_port(port)?,
                grace_ms,
                backend: as_port(backend)?,
                forward: as_port(forward)?,
                bulk_forward: as_port(bulk_forward)?,
            };
            many_threads()?.block_on(server::run(options))
        }
        ("agent", &[server, http, first, count]) => {
            let agents = first..first + count;
            many_threads()?.block_on(agent::run(as_port(server)?, as_port(http)?, agents))
        }
        _ => bail!("{USAGE}"),
    }
}

fn as_port(number: u64) -> anyhow::Result<u16> {
    u16::try_from(number).context("a port is at most 65535")
}

fn one_thread() -> anyhow::Result<Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    built.context("starting a runtime")
}

fn many_threads() -> anyhow::Result<Runtime> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.context("starting a runtime")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures by the machine's clock"
)]
fn now() -> Instant {
    Instant::now()
}
