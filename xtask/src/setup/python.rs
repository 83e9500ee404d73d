//! Python environments of our own, under the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{process::run_quietly, workspace::Workspace};

/// A virtual environment with what a requirements file lists; made anew when
/// that file changed.
pub(crate) fn environment(
    workspace: &Workspace,
    name: &str,
    requirements: &Path,
) -> Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    let folder = workspace.tools().join(format!("python-{name}"));
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    fs::create_dir_all(workspace.tools()).context("making the folder for tools")?;
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing an outdated Python environment")?;
    }
    println!("making a Python environment for {name}");
    let log = workspace.tools().join(format!("python-{name}.log"));
    let limit = Duration::from_secs(600);
    let mut venv = Command::new("python3");
    run_quietly(
        workspace,
        venv.args(["-m", "venv"]).arg(&folder),
        limit,
        &log,
    )
    .context("making a Python environment (Debian: apt-get install python3-venv)")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args([
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    run_quietly(workspace, pip.arg(requirements), limit, &log)
        .with_context(|| format!("installing what {} lists", requirements.display()))?;
    fs::write(&stamp, wanted).context("noting what was installed")?;
    Ok(folder)
}
