//! What must be on the machine before anything can run.

pub(crate) mod agents;
pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod python;
pub(crate) mod tools;

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

pub(crate) use node::node;

use crate::{process::run, workspace::Workspace};

/// Installs the web app's packages exactly as its lock file says, unless they
/// are there.
pub(crate) fn web_packages(workspace: &Workspace) -> Result<()> {
    let lock = fs::read(workspace.web().join("package-lock.json"))
        .context("reading the web app's package-lock.json")?;
    let installed = workspace.web().join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|copy| copy == lock) {
        println!("as the lock file says");
        return Ok(());
    }
    let mut npm = node(workspace)?.npm(workspace);
    npm.args(["ci", "--no-audit", "--no-fund"]);
    run(workspace, &mut npm, Duration::from_secs(600))?;
    fs::write(&installed, lock).context("noting which lock file was installed")
}

/// What the web app is built from, in its folder.
const WEB_INPUTS: &[&str] = &[
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
];

/// Builds the web app into `helix-server/web/dist`, unless nothing that it is built from has
/// changed since: the control plane carries it, and is built again with it.
pub(crate) fn build_web(workspace: &Workspace) -> Result<()> {
    // A build that was broken off leaves a part of the web app, and not this.
    let whole = workspace.tools().join("web-app-is-built");
    if is_newer(&whole, &workspace.web()) {
        println!("as it was built");
        return Ok(());
    }
    let mut npm = node(workspace)?.npm(workspace);
    run(
        workspace,
        npm.args(["run", "build"]),
        Duration::from_secs(600),
    )?;
    fs::create_dir_all(workspace.tools())
        .and_then(|()| fs::write(&whole, ""))
        .with_context(|| format!("writing {}", whole.display()))
}

/// Whether the web app is there, and was whole after everything in `folder` that it is built
/// from had changed.
fn is_newer(whole: &Path, folder: &Path) -> bool {
    let built = fs::metadata(whole).and_then(|whole| whole.modified());
    let newest = WEB_INPUTS
        .iter()
        .map(|input| newest(&folder.join(input)))
        .collect::<io::Result<Vec<_>>>();
    match (built, newest) {
        (Ok(built), Ok(newest)) => {
            folder.join("dist/assets").is_dir() && newest.into_iter().all(|it| it < built)
        }
        _ => false,
    }
}

/// When a file, or anything in a folder, was changed last; a folder also changes when something
/// in it is gone. What is not there was never changed.
fn newest(path: &Path) -> io::Result<SystemTime> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(SystemTime::UNIX_EPOCH);
        }
        metadata => metadata?,
    };
    let mut latest = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            latest = latest.max(newest(&entry?.path())?);
        }
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_app_is_built_again_when_something_is_newer_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let at = |name: &str, seconds: u64| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            fs::File::open(path(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        let newer = || is_newer(&path("whole"), folder.path());
        fs::create_dir_all(path("src/pages")).unwrap();
        fs::create_dir(path("dist")).unwrap();
        for file in ["whole", "src/pages/one.ts", "index.html"] {
            fs::write(path(file), "").unwrap();
            at(file, 100);
        }
        let folders_at = |seconds| {
            at("src/pages", seconds);
            at("src", seconds);
        };
        folders_at(100);
        at("whole", 200);
        assert!(!newer(), "it is not there");
        fs::create_dir(path("dist/assets")).unwrap();
        assert!(newer());
        at("src/pages/one.ts", 300);
        assert!(!newer());
        fs::remove_file(path("src/pages/one.ts")).unwrap();
        assert!(!newer(), "one is gone");
        folders_at(100);
        assert!(newer());
    }
}
