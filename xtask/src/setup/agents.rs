//! The agents of npm that sandboxes are tested with, under the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::node;
use crate::{process::run_merged, workspace::Workspace};

/// How long npm may take: they are about 200 MB to load.
const INSTALL: Duration = Duration::from_secs(600);
/// What npm says of a package list that is at fault itself: everything else that it fails for is
/// the network's or the registry's.
const OURS: [&str; 3] = ["EUSAGE", "EJSONPARSE", "EINTEGRITY"];
/// Of these packages, the program is in the package that chose one of them.
const CHOSEN: &str = "opencode-linux-";

/// What tests are told of the agents.
#[derive(Debug, Clone)]
pub(crate) enum Agents {
    /// Where they are.
    In(PathBuf),
    /// Why they are not.
    Refused(String),
}

impl Agents {
    /// Those that are installed, and as the lock file says.
    pub(crate) fn installed(workspace: &Workspace) -> Self {
        let folder = folder(workspace);
        if is_current(workspace, &folder) {
            return Self::In(folder);
        }
        Self::Refused("they are not installed, and nothing was to be".to_owned())
    }

    /// Tells a program of tests.
    pub(crate) fn configure(&self, command: &mut Command) {
        match self {
            Self::In(folder) => command.env("HELIX_TEST_AGENTS", folder),
            Self::Refused(why) => command.env("HELIX_TEST_NO_AGENTS", why),
        };
    }
}

/// `cargo xtask agents`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut said = String::new();
    let agents = install(workspace, &mut said);
    eprint!("{said}");
    match agents? {
        Agents::In(folder) => {
            println!("{}", folder.display());
            Ok(())
        }
        Agents::Refused(why) => bail!("{why}"),
    }
}

/// Installs them as their lock file says, unless they are there. An installation that is refused
/// is no error: tests that need it say why they are skipped.
pub(crate) fn install(workspace: &Workspace, said: &mut String) -> Result<Agents> {
    let folder = folder(workspace);
    if is_current(workspace, &folder) {
        said.push_str("as the lock file says\n");
        return Ok(Agents::In(folder));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing outdated agents")?;
    }
    fs::create_dir_all(&folder).context("making the folder for agents")?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(list(workspace).join(name), folder.join(name))
            .with_context(|| format!("copying {name}"))?;
    }
    let node = match node(workspace) {
        Ok(node) => node,
        Err(why) => return Ok(Agents::Refused(format!("{why:#}"))),
    };
    // Of all their installation scripts one is needed, which is run below.
    let mut npm = node.npm(workspace);
    npm.current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    let mut words = String::new();
    let installed = run_merged(workspace, &mut npm, INSTALL, |line| {
        words.push_str(line);
        words.push('\n');
    });
    said.push_str(&words);
    if let Err(error) = installed {
        if workspace.stopped() || is_ours(&words) {
            return Err(error);
        }
        return Ok(Agents::Refused(format!("{error:#}: {}", reason(&words))));
    }
    let mut script = node.program("node");
    script.current_dir(folder.join("node_modules/opencode-ai"));
    run_merged(workspace, script.arg("postinstall.mjs"), INSTALL, |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    remove_chosen(&folder.join("node_modules"))?;
    node.carry(workspace, &folder.join("node_modules/.bin"))?;
    fs::copy(folder.join("package-lock.json"), stamp(&folder))
        .context("noting which lock file was installed")?;
    Ok(Agents::In(folder))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("agents")
}

/// Where it is said which they are.
fn list(workspace: &Workspace) -> PathBuf {
    workspace.root().join("tests/tests/agents/npm")
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join("installed-lock.json")
}

fn is_current(workspace: &Workspace, folder: &Path) -> bool {
    let installed = fs::read(stamp(folder));
    let wanted = fs::read(list(workspace).join("package-lock.json"));
    matches!((installed, wanted), (Ok(installed), Ok(wanted)) if installed == wanted)
}

/// Removes what was chosen from: 350 MB.
fn remove_chosen(packages: &Path) -> Result<()> {
    for entry in fs::read_dir(packages).context("reading what npm installed")? {
        let entry = entry.context("reading what npm installed")?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(CHOSEN) {
            fs::remove_dir_all(entry.path()).context("removing what is not needed any more")?;
        }
    }
    Ok(())
}

fn is_ours(words: &str) -> bool {
    let code = |line: &str| {
        let code = line.strip_prefix("npm error code ")?;
        OURS.contains(&code.trim()).then_some(())
    };
    words.lines().find_map(code).is_some()
}

/// What npm gives as its reason.
fn reason(words: &str) -> String {
    let errors = words
        .lines()
        .filter_map(|line| line.strip_prefix("npm error "));
    let errors: Vec<_> = errors.take(4).collect();
    errors.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_refuses_is_told_from_a_list_that_is_wrong() {
        let refused = "npm warn x\nnpm error code E403\nnpm error 403 Forbidden\n";
        assert!(!is_ours(refused));
        assert_eq!(reason(refused), "code E403; 403 Forbidden");
        assert!(!is_ours("npm error code ENOTFOUND\n"));
        assert!(is_ours("npm error code EUSAGE\nnpm error\n"));
        assert!(!is_ours(""));
    }
}
