//! Where things are, and whether someone asked to stop.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand};

/// The checkout that this command works on.
#[derive(Debug)]
pub(crate) struct Workspace {
    metadata: Metadata,
    stop: Arc<AtomicBool>,
}

impl Workspace {
    /// Asks cargo, and from now on notes Ctrl-C and the signals that ask a
    /// process to end instead of dying of them.
    pub(crate) fn find() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .other_options(vec!["--locked".to_owned()])
            .exec()
            .context("reading the workspace with `cargo metadata`")?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            signal_hook::flag::register(signal, stop.clone()).context("listening for signals")?;
        }
        Ok(Self { metadata, stop })
    }

    /// What cargo knows about the workspace and everything it depends on.
    pub(crate) const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The repository's root.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Where tools are kept that are not the machine's own.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// The web app's sources.
    pub(crate) fn web(&self) -> PathBuf {
        self.root().join("helix-server/web")
    }

    /// Whether someone asked to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A command that runs in the repository's root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root());
        command
    }

    /// `cargo`, the one that runs this.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }
}
