//! What a supervisor process does. It runs in a process of its own, below the
//! runner and above one engine.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
};

use super::tree;

/// The exit code when the engine could not be started at all.
pub(crate) const EXIT_CANNOT_START: u8 = 127;

/// Supervises one command, and says with which code to exit.
pub(super) fn run(command: &[OsString]) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(supervise(command)));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let name = command
                .first()
                .map(|name| name.to_string_lossy())
                .unwrap_or_default();
            // This goes to the engine's log.
            let _ = writeln!(io::stderr(), "cannot start {name}: {error}");
            ExitCode::from(EXIT_CANNOT_START)
        }
    }
}

async fn supervise(command: &[OsString]) -> io::Result<u8> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // Whoever asks the supervisor to end asks the engine through it, and only
    // the end of the engine ends the supervisor.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut child_changed = signal(SignalKind::child())?;
    let mut lifeline = pipe::Receiver::from_owned_fd(rustix::io::dup(io::stdin())?)?;
    let engine = start(command)?;
    let mut state = Supervised {
        engine,
        ended: None,
        killing: false,
    };
    let mut again = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = child_changed.recv() => {}
            // Nothing is ever written to it: it closes when the runner lets go.
            _ = lifeline.read_u8(), if !state.killing => state.killing = true,
            _ = terminate.recv() => state.ask_to_end(),
            _ = interrupt.recv() => state.ask_to_end(),
            _ = hangup.recv() => state.ask_to_end(),
            // A process that forks while it is being killed is found again.
            _ = again.tick(), if state.killing => {}
        }
        if let Some(code) = state.step() {
            return Ok(code);
        }
    }
}

/// Starts the engine so that it dies with the supervisor's main thread, which
/// is the one that runs this.
fn start(command: &[OsString]) -> io::Result<Pid> {
    let (program, args) = command
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command was given"))?;
    let supervisor = rustix::process::getpid();
    let mut engine = Command::new(program);
    engine.args(args).stdin(Stdio::null());
    // The runner's own settings, its credential among them, are not the engine's.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HELIX_") {
            engine.env_remove(name);
        }
    }
    let die_with_supervisor = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() == Some(supervisor) {
            Ok(())
        } else {
            Err(io::Error::other("the supervisor ended meanwhile"))
        }
    };
    // SAFETY: the closure runs between fork and exec and makes only two system
    // calls; it neither allocates (on the path that execs) nor takes a lock.
    unsafe { engine.pre_exec(die_with_supervisor) };
    let child = engine.spawn()?;
    Ok(Pid::from_child(&child))
}

struct Supervised {
    engine: Pid,
    ended: Option<WaitStatus>,
    killing: bool,
}

impl Supervised {
    fn ask_to_end(&self) {
        if self.ended.is_none() {
            // It may have ended a moment ago; then there is no one to ask.
            let _ = rustix::process::kill_process(self.engine, Signal::TERM);
        }
    }

    /// Reaps who ended, and kills the rest once the engine itself ended or the
    /// runner is gone. Says the exit code when nobody is left.
    fn step(&mut self) -> Option<u8> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.engine => {
                    self.ended = Some(status);
                    self.killing = true;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Nobody is left.
                Err(_) => return Some(self.code()),
            }
        }
        if self.killing {
            for pid in tree::descendants(std::process::id()) {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
                // It may have ended a moment ago.
                let _ = pid.map(|pid| rustix::process::kill_process(pid, Signal::KILL));
            }
        }
        None
    }

    fn code(&self) -> u8 {
        let code = self.ended.map_or(128 + 9, |status| {
            status
                .exit_status()
                .or_else(|| status.terminating_signal().map(|s| 128 + s))
                .unwrap_or(1)
        });
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}
