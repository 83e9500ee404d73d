//! One engine process as the runner sees it.

use std::{
    collections::BTreeMap, ffi::OsString, io, path::PathBuf, process::Stdio, time::Duration,
};

use helix_base::TaskGroup;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::{
    io::unix::AsyncFd,
    process::{Child, ChildStdin},
    task::JoinHandle,
};

use super::{Exit, LogBuffer, Supervisor};

/// How long the last words of an ended engine may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A command to run as an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables set for it on top of the runner's own environment, of which
    /// it does not see what begins with `HELIX_`.
    pub env: BTreeMap<String, String>,
}

/// A running engine process. Dropping it kills everything below it.
#[derive(Debug)]
pub struct Running {
    supervisor_pid: Pid,
    child: Child,
    ended: AsyncFd<std::os::fd::OwnedFd>,
    /// While this is open, the engine lives.
    lifeline: Option<ChildStdin>,
    reaped: bool,
    readers: Vec<JoinHandle<Option<()>>>,
}

impl Running {
    /// Starts a process under a supervisor; what it says goes to `log`.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be started. An engine that cannot be started
    /// is an [`Exit`] with the reason in the log.
    pub fn start(
        supervisor: &Supervisor,
        spec: &ProcessSpec,
        log: &LogBuffer,
        tasks: &TaskGroup,
    ) -> io::Result<Self> {
        let mut command = supervisor.command();
        command
            .arg(&spec.program)
            .args(&spec.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the runner, who stops engines itself.
            .process_group(0);
        command.envs(&spec.env);
        let mut child = command.spawn()?;
        let gone = || io::Error::other("the supervisor ended as soon as it started");
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let supervisor_pid = pid.ok_or_else(gone)?;
        let ended = rustix::process::pidfd_open(supervisor_pid, PidfdFlags::NONBLOCK)?;
        // SAFETY: the descriptor is owned, so it stays open and the same until
        // the registration, which owns it from here, is dropped.
        let ended = unsafe { AsyncFd::register(ended) }?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let stderr = child.stderr.take().ok_or_else(gone)?;
        let readers = vec![
            tasks.spawn("engine stdout", log.clone().follow(stdout)),
            tasks.spawn("engine stderr", log.clone().follow(stderr)),
        ];
        let lifeline = child.stdin.take();
        Ok(Self {
            supervisor_pid,
            child,
            ended,
            lifeline,
            reaped: false,
            readers,
        })
    }

    /// Asks the engine to end (`SIGTERM`). Idempotent.
    pub fn terminate(&mut self) {
        // The supervisor takes its own SIGTERM as an order to pass on. It is
        // not reaped before `wait` says so, so that the id is still its own.
        if !self.reaped {
            let _ = rustix::process::kill_process(self.supervisor_pid, Signal::TERM);
        }
    }

    /// Kills the engine and everything that it started. Idempotent.
    pub fn kill(&mut self) {
        self.lifeline = None;
    }

    /// The supervisor's process id; the engine's processes are those below it.
    pub fn supervisor(&self) -> u32 {
        u32::try_from(self.supervisor_pid.as_raw_pid()).unwrap_or_default()
    }

    /// Waits until the engine and everything below it is gone and its last
    /// words are in the log. Cancel safe.
    pub async fn wait(&mut self) -> Exit {
        // Readable means ended. The supervisor is not reaped yet, so that its
        // process group cannot be anyone else's when it is killed.
        let _ = self.ended.readable().await;
        if !self.reaped {
            let _ = rustix::process::kill_process_group(self.supervisor_pid, Signal::KILL);
            self.reaped = true;
        }
        let exit = match self.child.wait().await {
            Ok(status) => status.code().map_or_else(
                || {
                    Exit::Signal(
                        std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0),
                    )
                },
                Exit::from_shell_code,
            ),
            Err(_) => Exit::Signal(0),
        };
        for reader in self.readers.drain(..) {
            let _ = tokio::time::timeout(LAST_WORDS, reader).await;
        }
        exit
    }
}
