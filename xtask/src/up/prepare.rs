//! Installing and building what `up` runs.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::data::Data;
use crate::{
    process::run,
    setup::{self, packages},
    workspace::Workspace,
};

/// The daemons' programs.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) server: PathBuf,
    pub(crate) runner: PathBuf,
}

/// Installs system packages, builds web app and daemons, installs an engine.
pub(crate) fn everything(
    workspace: &Workspace,
    data: &Data,
    yes: bool,
    dev: bool,
) -> Result<Built> {
    step(1, "system packages");
    system_packages(workspace, yes)?;
    step(2, "the web app");
    setup::web_packages(workspace)?;
    setup::build_web(workspace)?;
    step(3, "the daemons");
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--locked",
        "--package",
        "helix-server",
        "--package",
        "helix-runner",
    ]);
    cargo
        .args(["--bins"])
        .args(if dev { None } else { Some("--release") });
    run(workspace, &mut cargo, Duration::from_secs(3600))?;
    let built = built_before(workspace, dev)?;
    step(4, "llama.cpp's server");
    let mut install = workspace.command(&built.runner);
    install
        .args(["engine", "install", "llamacpp", "--data-dir"])
        .arg(data.runner());
    run(workspace, &mut install, Duration::from_secs(900))?;
    Ok(built)
}

/// What an earlier run built.
pub(crate) fn built_before(workspace: &Workspace, dev: bool) -> Result<Built> {
    let folder = workspace
        .target()
        .join(if dev { "debug" } else { "release" });
    let built = Built {
        server: folder.join("helix-server"),
        runner: folder.join("helix-runner"),
    };
    for program in [&built.server, &built.runner] {
        ensure!(
            program.exists(),
            "{} is not built: run without --no-setup",
            program.display()
        );
    }
    Ok(built)
}

fn step(number: u8, what: &str) {
    println!("[{number}/4] {what}");
}

fn system_packages(workspace: &Workspace, yes: bool) -> Result<()> {
    let missing = packages::missing(workspace, packages::FOR_UP);
    if missing.is_empty() {
        println!("all there");
        return Ok(());
    }
    println!("missing: {}", missing.join(" "));
    if !packages::may_install(workspace) {
        println!("neither root nor sudo without a password: going on with what is there");
        return Ok(());
    }
    ensure!(
        yes || agreed()?,
        "not installed; install them, or say --yes"
    );
    packages::install(workspace, &missing)
}

fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("install them now? [Y/n] ");
    std::io::stdout().flush().context("asking")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("reading the answer")?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}
