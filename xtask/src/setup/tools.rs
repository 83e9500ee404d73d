//! Cargo tools of our own, under the target folder.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Result;

use crate::{
    process::{output, run},
    workspace::Workspace,
};

const CARGO_DENY: &str = "0.20.2";

/// `cargo-deny` in the version this project uses: the machine's own if it is
/// that one, else built once.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let own = workspace.tools().join("bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), own.clone()] {
        let mut command = Command::new(&candidate);
        let version = output(workspace, command.arg("--version"), Duration::from_secs(30));
        if version.is_ok_and(|text| text.trim() == format!("cargo-deny {CARGO_DENY}")) {
            return Ok(candidate);
        }
    }
    println!("building cargo-deny {CARGO_DENY}, once");
    // Unoptimised: it runs for seconds, and optimising it takes minutes.
    let mut install = workspace.cargo();
    install.args([
        "install",
        "--quiet",
        "--locked",
        "--no-default-features",
        "--profile",
        "dev",
    ]);
    install.arg("--root").arg(workspace.tools());
    install
        .arg("--target-dir")
        .arg(workspace.tools().join("build"));
    install.arg("--version").arg(CARGO_DENY).arg("cargo-deny");
    run(workspace, &mut install, Duration::from_secs(1200))?;
    Ok(own)
}
