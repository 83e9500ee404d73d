//! What is measured on one network, as processes on this machine.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    control::Control,
    rathole::{Carrier, Rathole},
};
use crate::{
    bench::programs::{Programs, free_ports},
    process::{now, run},
    workspace::Workspace,
};

/// How long agents may take to connect.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// What lies between the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// Nothing.
    Loopback,
    /// A round trip of 50 ms, and 100 Mbit/s each way.
    Slow,
    /// A program that copies, and cuts on demand.
    Cut,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A TCP connection to the backend.
    DirectTcp,
    /// HTTP/1.1 to the agent's router, a connection per request.
    DirectHttp,
    /// rathole, which forwards to the backend.
    Rathole,
    /// Our tunnel, which forwards to the backend.
    Forwarder,
    /// Our tunnel, with the client in the server and the router in the agent.
    Embedded,
}

/// One of a tunnel's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Control,
    Bulk,
}

/// Our two ends.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) control: Control,
    pub(super) server: u32,
    pub(super) agent: u32,
    pub(super) carrier: Carrier,
    forward: [u16; 2],
    http: u16,
}

/// What our tunnel is to do with a connection that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// Go on, as by default.
    Yes,
    /// End, without a replay buffer.
    No,
}

/// What runs.
pub(super) struct Rig<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) programs: Programs,
    binary: PathBuf,
    pub(super) load: Control,
    backend: u16,
}

/// Builds what is measured and what measures.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--release"]);
    cargo.args(["--package", "helix-tests", "--bin", "bench-tunnel"]);
    run(workspace, &mut cargo, Duration::from_secs(3_600))
}

impl<'a> Rig<'a> {
    /// Starts the backend and the load generator; `name` is that of a folder.
    pub(super) fn start(workspace: &'a Workspace, name: &str) -> Result<Self> {
        let mut programs = Programs::new(workspace, &format!("tunnel/{name}"))?;
        let binary = workspace.target().join("release/bench-tunnel");
        let [backend, load] = free_ports()?;
        let port = backend.to_string();
        programs.start(workspace, "backend", &binary, ["backend", &port], backend)?;
        let port = load.to_string();
        programs.start(workspace, "load", &binary, ["load", &port], load)?;
        Ok(Self {
            workspace,
            programs,
            binary,
            load: Control::connect("the load generator", load)?,
            backend,
        })
    }

    fn role(&mut self, name: &str, role: &str, numbers: &[u64], ready: u16) -> Result<u32> {
        let arguments =
            std::iter::once(role.to_owned()).chain(numbers.iter().map(ToString::to_string));
        self.programs
            .start(self.workspace, name, &self.binary, arguments, ready)
    }

    /// Puts a network in front of a port; the port to dial, and the control port of what
    /// lies between, if anything does.
    pub(super) fn line(&mut self, network: Network, target: u16) -> Result<(u16, Option<u16>)> {
        let (delay_ms, mbit) = match network {
            Network::Loopback => return Ok((target, None)),
            Network::Slow => (25, 100),
            Network::Cut => (0, 0),
        };
        let [control, port] = free_ports()?;
        let numbers = [control.into(), port.into(), target.into(), delay_ms, mbit];
        self.role(&format!("line-{target}"), "relay", &numbers, control)?;
        Ok((port, Some(control)))
    }

    /// Where the backend is, behind a network.
    pub(super) fn direct(&mut self, network: Network) -> Result<u16> {
        Ok(self.line(network, self.backend)?.0)
    }

    /// Starts rathole across a network.
    pub(super) fn rathole(&mut self, network: Network) -> Result<Rathole> {
        let [listen] = free_ports()?;
        let (dial, _) = self.line(network, listen)?;
        let carrier = Carrier { listen, dial };
        let programs = &mut self.programs;
        Rathole::start(self.workspace, programs, "rathole", carrier, self.backend)
    }

    /// Starts our two ends across a network; and the control port of that network.
    pub(super) fn ours(&mut self, network: Network, resume: Resume) -> Result<(Ours, Option<u16>)> {
        let [control, listen, http, forward, bulk_forward] = free_ports()?;
        let grace_ms = match resume {
            Resume::Yes => 60_000,
            Resume::No => 0,
        };
        let name = format!("{network:?}-{resume:?}").to_lowercase();
        let numbers = [
            control.into(),
            listen.into(),
            grace_ms,
            self.backend.into(),
            forward.into(),
            bulk_forward.into(),
        ];
        let server = self.role(&format!("server-{name}"), "server", &numbers, control)?;
        let (dial, line) = self.line(network, listen)?;
        let carrier = Carrier { listen, dial };
        let agent = self.agents(&format!("agent-{name}"), dial, http, 0, 1)?;
        let mut ours = Ours {
            control: Control::connect("our server", control)?,
            server,
            agent,
            carrier,
            forward: [forward, bulk_forward],
            http: self.line(network, http)?.0,
        };
        ours.await_agents(1)?;
        Ok((ours, line))
    }

    /// Starts agents, `count` of them, numbered from `first`.
    pub(super) fn agents(
        &mut self,
        name: &str,
        dial: u16,
        http: u16,
        first: u64,
        count: u64,
    ) -> Result<u32> {
        let numbers = [dial.into(), http.into(), first, count];
        self.role(name, "agent", &numbers, http)
    }
}

#[derive(Debug, Deserialize)]
struct Agents {
    agents: usize,
}

impl Ours {
    /// Waits until so many agents are connected.
    pub(super) fn await_agents(&mut self, wanted: usize) -> Result<()> {
        let deadline = now() + CONNECTED_WITHIN;
        loop {
            let Agents { agents } = self.control.ask(&json!({"do": "agents"}))?;
            if agents >= wanted {
                return Ok(());
            }
            ensure!(
                now() < deadline,
                "{agents} of {wanted} agents connected within {} s",
                CONNECTED_WITHIN.as_secs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How a load generator reaches the other end.
    pub(super) fn way(&self, target: Target, lane: Lane) -> Value {
        match target {
            Target::Forwarder => tcp(self.forward[usize::from(lane == Lane::Bulk)]),
            Target::DirectHttp => json!({"http": format!("127.0.0.1:{}", self.http)}),
            _ => json!({"tunnel": if lane == Lane::Bulk { "bulk" } else { "control" }}),
        }
    }
}

/// The way to a TCP port.
pub(super) fn tcp(port: u16) -> Value {
    json!({"tcp": format!("127.0.0.1:{port}")})
}
