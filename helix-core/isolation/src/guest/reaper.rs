//! Starts processes and collects them when they end.

use std::{
    collections::HashMap,
    io,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use helix_base::TaskGroup;
use helix_proto::sandbox::guest::ExecExit;
use rustix::process::{
    Pid, Signal as KillSignal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
    waitpid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    Role,
    failure::{Answer, Failed},
};

/// Starts processes and collects them. Nothing else in the guest may wait for a child.
/// Cheap to clone; all clones are one reaper.
#[derive(Debug, Clone)]
pub struct Reaper {
    role: Role,
    /// Held while a process is started, so that none is collected before it is known.
    children: Arc<Mutex<HashMap<Pid, watch::Sender<Option<ExecExit>>>>>,
}

/// A process that was started.
#[derive(Debug, Clone)]
pub struct Process {
    pid: Pid,
    exit: watch::Receiver<Option<ExecExit>>,
    reaper: Reaper,
}

impl Reaper {
    pub(super) fn start(role: Role, tasks: &TaskGroup) -> io::Result<Self> {
        let reaper = Self {
            role,
            children: Arc::default(),
        };
        let mut ended = signal(SignalKind::child())?;
        let this = reaper.clone();
        tasks.spawn("reaper", async move {
            loop {
                this.collect();
                if ended.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(reaper)
    }

    /// Starts a process. Blocks until its program runs: not for the thread that serves.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Process> {
        let mut children = self.lock();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let (exited, exit) = watch::channel(None);
        children.insert(pid, exited);
        Ok(Process {
            pid,
            exit,
            reaper: self.clone(),
        })
    }

    fn collect(&self) {
        let mut children = self.lock();
        match self.role {
            Role::Init => {
                while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                    if let Some(exited) = children.remove(&pid) {
                        exited.send_replace(Some(exit_of(status)));
                    }
                }
            }
            Role::Ordinary => children.retain(|pid, exited| {
                let Ok(Some((_, status))) = waitpid(Some(*pid), WaitOptions::NOHANG) else {
                    return true;
                };
                exited.send_replace(Some(exit_of(status)));
                false
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pid, watch::Sender<Option<ExecExit>>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for its end.
    pub async fn exited(&mut self) -> ExecExit {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(LOST),
            Err(_) => LOST,
        }
    }

    /// Sends a signal to it, or to its whole group. False where it has ended already: a
    /// number that the kernel may have given to another is never signalled.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses.
    pub fn signal(&self, signal: KillSignal, group: bool) -> io::Result<bool> {
        let children = self.reaper.lock();
        if !children.contains_key(&self.pid) {
            return Ok(false);
        }
        let send = if group {
            kill_process_group
        } else {
            kill_process
        };
        match send(self.pid, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it has not been collected yet.
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }
}

/// The end of a process whose reaper went away.
const LOST: ExecExit = ExecExit {
    code: None,
    signal: None,
    timed_out: false,
};

fn exit_of(status: WaitStatus) -> ExecExit {
    ExecExit {
        code: status.exit_status(),
        signal: status.terminating_signal(),
        timed_out: false,
    }
}

/// The signal with this name, with or without `SIG`, in any case, or number.
pub(super) fn signal_named(text: &str) -> Answer<KillSignal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, signal)| *signal);
    named
        .or_else(|| KillSignal::from_named_raw(text.parse().ok()?))
        .ok_or_else(|| {
            Failed::invalid(
                "signal",
                format!("{text:?} is no signal: try TERM, INT, KILL, HUP"),
            )
        })
}

const SIGNALS: [(&str, KillSignal); 28] = [
    ("HUP", KillSignal::HUP),
    ("INT", KillSignal::INT),
    ("QUIT", KillSignal::QUIT),
    ("ILL", KillSignal::ILL),
    ("TRAP", KillSignal::TRAP),
    ("ABRT", KillSignal::ABORT),
    ("BUS", KillSignal::BUS),
    ("FPE", KillSignal::FPE),
    ("KILL", KillSignal::KILL),
    ("USR1", KillSignal::USR1),
    ("SEGV", KillSignal::SEGV),
    ("USR2", KillSignal::USR2),
    ("PIPE", KillSignal::PIPE),
    ("ALRM", KillSignal::ALARM),
    ("TERM", KillSignal::TERM),
    ("CHLD", KillSignal::CHILD),
    ("CONT", KillSignal::CONT),
    ("STOP", KillSignal::STOP),
    ("TSTP", KillSignal::TSTP),
    ("TTIN", KillSignal::TTIN),
    ("TTOU", KillSignal::TTOU),
    ("URG", KillSignal::URG),
    ("XCPU", KillSignal::XCPU),
    ("XFSZ", KillSignal::XFSZ),
    ("VTALRM", KillSignal::VTALARM),
    ("PROF", KillSignal::PROF),
    ("WINCH", KillSignal::WINCH),
    ("IO", KillSignal::IO),
];
