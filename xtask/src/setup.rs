//! What must be on the machine before anything can run.

pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod python;
pub(crate) mod tools;

use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use node::node;

use crate::{process::run, workspace::Workspace};

/// Installs the web app's packages exactly as its lock file says, unless they
/// are there.
pub(crate) fn web_packages(workspace: &Workspace) -> Result<()> {
    let lock = std::fs::read(workspace.web().join("package-lock.json"))
        .context("reading the web app's package-lock.json")?;
    let installed = workspace.web().join("node_modules/.installed-lock.json");
    if std::fs::read(&installed).is_ok_and(|copy| copy == lock) {
        println!("as the lock file says");
        return Ok(());
    }
    let mut npm = node(workspace)?.npm(workspace);
    npm.args(["ci", "--no-audit", "--no-fund"]);
    run(workspace, &mut npm, Duration::from_secs(600))?;
    std::fs::write(&installed, lock).context("noting which lock file was installed")
}

/// Builds the web app into `helix-server/web/dist`.
pub(crate) fn build_web(workspace: &Workspace) -> Result<()> {
    let mut npm = node(workspace)?.npm(workspace);
    run(
        workspace,
        npm.args(["run", "build"]),
        Duration::from_secs(600),
    )
}
