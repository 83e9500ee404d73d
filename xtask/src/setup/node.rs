//! Node.js: the machine's own where it is new enough, else one of our own.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::python;
use crate::{process::output, workspace::Workspace};

/// The oldest version that the web app's tools run on.
const OLDEST: (u32, u32) = (20, 19);

/// A Node.js installation.
#[derive(Debug)]
pub(crate) struct Node {
    /// The folder with `node` and `npm` in it, if it is not on the search path.
    folder: Option<PathBuf>,
}

impl Node {
    /// `npm`, in the web app's folder.
    pub(crate) fn npm(&self, workspace: &Workspace) -> Command {
        let mut command = self.program("npm");
        command
            .current_dir(workspace.web())
            .env("NO_UPDATE_NOTIFIER", "1");
        command
    }

    /// Puts `node` itself into a folder, where it is not the machine's own.
    ///
    /// # Errors
    ///
    /// It cannot be found or copied.
    pub(crate) fn carry(&self, workspace: &Workspace, to: &Path) -> Result<()> {
        if self.folder.is_none() {
            return Ok(());
        }
        let mut node = self.program("node");
        let own = output(
            workspace,
            node.args(["-p", "process.execPath"]),
            Duration::from_secs(30),
        )?;
        let copied = std::fs::copy(own.trim(), to.join("node"));
        copied.map(drop).context("copying Node.js")
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Command {
        match &self.folder {
            Some(folder) => {
                let mut command = Command::new(folder.join(name));
                command.env("PATH", prepended(folder));
                command
            }
            None => Command::new(name),
        }
    }
}

/// The machine's Node.js, or one from the Python package index, which carries
/// the project's own binaries, where the machine has none or too old a one.
pub(crate) fn node(workspace: &Workspace) -> Result<Node> {
    let mut command = Command::new("node");
    let version = output(workspace, command.arg("--version"), Duration::from_secs(30));
    if version.is_ok_and(|version| is_new_enough(&version)) {
        return Ok(Node { folder: None });
    }
    let requirements = workspace.root().join("xtask/requirements-node.txt");
    let environment = python::environment(workspace, "node", &requirements)
        .context("this machine has no Node.js of version 20.19 or later, and none could be got")?;
    Ok(Node {
        folder: Some(environment.join("bin")),
    })
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map(str::parse);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST)
}

fn prepended(folder: &Path) -> OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("v20.19.0\n", true),
            ("v22.1.0", true),
            ("v20.9.0", false),
            ("v18.19.0", false),
            ("", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }
}
