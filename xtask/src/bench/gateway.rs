//! The path of a request through the control plane, measured.

use anyhow::Result;

use crate::workspace::Workspace;

/// What `cargo xtask bench gateway` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Measures.
pub(crate) fn run(_workspace: &Workspace, _arguments: &Arguments) -> Result<()> {
    anyhow::bail!("the gateway bench is not there yet")
}
