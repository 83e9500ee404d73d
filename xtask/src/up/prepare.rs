//! Installing and building what `up` runs.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Arguments, data::Data};
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
    /// None where no sandbox host is wanted.
    pub(crate) sandbox: Option<PathBuf>,
}

/// Installs system packages, builds web app and daemons, installs an engine.
pub(crate) fn everything(
    workspace: &Workspace,
    data: &Data,
    arguments: &Arguments,
) -> Result<Built> {
    step(1, "system packages");
    system_packages(workspace, arguments)?;
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
    if !arguments.no_sandbox {
        cargo.args(["--package", "helix-sandbox"]);
    }
    if arguments.desktop {
        cargo.args(["--package", "helix-media"]);
    }
    cargo.arg("--bins");
    if !arguments.dev {
        cargo.arg("--release");
    }
    run(workspace, &mut cargo, Duration::from_secs(3600))?;
    let built = built_before(workspace, arguments)?;
    step(4, "llama.cpp's server");
    let mut install = workspace.command(&built.runner);
    install
        .args(["engine", "install", "llamacpp", "--data-dir"])
        .arg(data.runner());
    run(workspace, &mut install, Duration::from_secs(900))?;
    Ok(built)
}

/// What an earlier run built.
pub(crate) fn built_before(workspace: &Workspace, arguments: &Arguments) -> Result<Built> {
    let folder = workspace
        .target()
        .join(if arguments.dev { "debug" } else { "release" });
    let built = Built {
        server: folder.join("helix-server"),
        runner: folder.join("helix-runner"),
        sandbox: (!arguments.no_sandbox).then(|| folder.join("helix-sandbox")),
    };
    let programs = [&built.server, &built.runner];
    for program in programs.into_iter().chain(&built.sandbox) {
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

fn system_packages(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut wanted = packages::FOR_UP.to_vec();
    if !arguments.no_sandbox {
        wanted.extend(packages::FOR_SANDBOXES);
    }
    if arguments.docker {
        wanted.extend(packages::FOR_DOCKER);
    }
    if arguments.desktop {
        wanted.extend(packages::FOR_DESKTOPS);
    }
    let missing = packages::missing(workspace, &wanted);
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
        arguments.yes || agreed()?,
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
