//! `cargo xtask bench NAME`: measurements against named peers.

pub(crate) mod agents;
pub(crate) mod gateway;
pub(crate) mod isolation;
mod programs;
mod report;
pub(crate) mod stream;
pub(crate) mod tunnel;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Agents at work: from what one writes to who looks on, and back.
    Agents(agents::Arguments),
    /// The path of a request through the control plane, beside vllm-router,
    /// LiteLLM and no gateway at all.
    Gateway(gateway::Arguments),
    /// Sandboxes, beside runc and Docker.
    Isolation(isolation::Arguments),
    /// A desktop in a browser, beside noVNC and Selkies.
    Stream(stream::Arguments),
    /// A tunnel, beside rathole and no tunnel at all.
    Tunnel(tunnel::Arguments),
}

/// Runs one of them.
pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> Result<()> {
    match bench {
        Bench::Agents(arguments) => agents::run(workspace, arguments),
        Bench::Gateway(arguments) => gateway::run(workspace, arguments),
        Bench::Isolation(arguments) => isolation::run(workspace, arguments),
        Bench::Stream(arguments) => stream::run(workspace, arguments),
        Bench::Tunnel(arguments) => tunnel::run(workspace, arguments),
    }
}
