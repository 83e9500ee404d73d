//! The daemons, as processes.

use std::{
    fs::OpenOptions,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::{data::Data, prepare::Built};
use crate::{
    process::{Group, tail},
    workspace::Workspace,
};

/// How long a daemon may take to stop: longer than its own shutdown may take.
const STOPS_WITHIN: Duration = Duration::from_secs(40);

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    group: Group,
    log: PathBuf,
}

impl Daemon {
    /// Starts the control plane.
    pub(crate) fn server(
        workspace: &Workspace,
        built: &Built,
        data: &Data,
        port: u16,
        database: Option<&str>,
    ) -> Result<Self> {
        let mut command = workspace.command(&built.server);
        command
            .arg("--data-dir")
            .arg(data.folder())
            .args(["--listen", &format!("127.0.0.1:{port}")])
            // Browsers take every name below it to this machine.
            .env("HELIX_SERVER_SANDBOXES__PORTS_DOMAIN", "localhost");
        if let Some(database) = database {
            // Not as an argument: it carries a password, and everyone on the
            // machine can read the arguments of a process.
            command.env("HELIX_SERVER_DATABASE_URL", database);
        }
        Self::start("control plane", command, data.logs().join("server.log"))
    }

    /// Starts the runner.
    pub(crate) fn runner(
        workspace: &Workspace,
        built: &Built,
        data: &Data,
        url: &str,
    ) -> Result<Self> {
        let mut command = workspace.command(&built.runner);
        command
            .args(["--server", url])
            .arg("--data-dir")
            .arg(data.runner());
        command.arg("--credential-file").arg(data.credential_file());
        Self::start("runner", command, data.logs().join("runner.log"))
    }

    /// Starts the sandbox host.
    pub(crate) fn sandbox(
        workspace: &Workspace,
        program: &Path,
        data: &Data,
        url: &str,
    ) -> Result<Self> {
        let mut command = workspace.command(program);
        command
            .args(["run", "--stop-sandboxes", "--server", url])
            .arg("--data-dir")
            .arg(data.sandbox());
        Self::start("sandbox host", command, data.logs().join("sandbox.log"))
    }

    fn start(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        if log.exists() {
            std::fs::rename(&log, log.with_extension("log.1"))
                .context("setting the last log aside")?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&log);
        let file = file.with_context(|| format!("opening {}", log.display()))?;
        command.stderr(
            file.try_clone()
                .context("sharing the log between two streams")?,
        );
        command.stdout(file);
        // The runner reaches the control plane on this machine: no proxy leads there.
        for variable in ["NO_PROXY", "no_proxy"] {
            let exempt = std::env::var(variable).unwrap_or_default();
            command.env(
                variable,
                format!("127.0.0.1,{exempt}").trim_end_matches(','),
            );
        }
        // SAFETY: between fork and exec this makes one system call, which is
        // async-signal-safe, and touches no memory of this process.
        unsafe {
            // Should this process be killed, nobody else would stop the daemon.
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
        }
        Ok(Self {
            name,
            group: Group::spawn(&mut command)?,
            log,
        })
    }

    /// Why it ended, if it did, with the last lines of its log.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        let status = self.group.poll()?;
        Ok(status
            .map(|status| format!("the {} ended ({status}); {}", self.name, self.last_words())))
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        format!(
            "the last lines of {}:\n{}",
            self.log.display(),
            tail(&self.log, 20)
        )
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.group.id()
    }

    /// Asks it to end, and ends it if it will not.
    pub(crate) fn stop(&mut self) {
        self.group.stop(STOPS_WITHIN);
    }
}
