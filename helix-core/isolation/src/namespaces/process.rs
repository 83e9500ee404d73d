//! A process that another process started: found again after a restart, never mistaken.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

/// What says for ever which process is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: i32,
    /// In the kernel's ticks since it was started.
    started: u64,
    /// The kernel's own start.
    boot: String,
}

impl Identity {
    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    /// A descriptor of the process, if it lives, or has just ended.
    pub(super) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        if boot()? != self.boot {
            return Ok(None);
        }
        let fd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            other => other?,
        };
        // The descriptor is of the process whose start is read after it was opened, as
        // long as that process lives.
        let is_it = started(self.pid).is_ok_and(|started| started == self.started);
        Ok(is_it.then_some(fd))
    }
}

/// A hold of a process that lives, or lived when it was taken.
#[derive(Debug, Clone)]
pub(super) struct Process {
    identity: Identity,
    fd: Arc<AsyncFd<OwnedFd>>,
}

impl Process {
    /// A process that is known by its descriptor.
    pub(super) fn new(pid: i32, fd: OwnedFd) -> io::Result<Self> {
        let identity = Identity {
            pid,
            started: started(pid)?,
            boot: boot()?,
        };
        Ok(Self {
            identity,
            fd: watched(fd)?,
        })
    }

    /// Finds a process again, if it lives.
    pub(super) fn find(identity: &Identity) -> io::Result<Option<Self>> {
        let Some(fd) = identity.open()? else {
            return Ok(None);
        };
        let process = Self {
            identity: identity.clone(),
            fd: watched(fd)?,
        };
        Ok(process.lives().then_some(process))
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Kills it. As process 1 of its namespace, all others in it with it.
    pub(super) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(self.fd.get_ref().as_fd(), Signal::KILL) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => result.map_err(Into::into),
        }
    }

    /// Whether it has not ended.
    pub(super) fn lives(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(self.fd.get_ref(), PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        !matches!(poll(&mut fds, Some(&now)), Ok(1..))
    }

    /// Waits until it ended; all processes of its namespace ended before it.
    pub(super) async fn ended(&self) {
        // An error means that the runtime is being shut down, and nobody waits any more.
        let _ = self.fd.readable().await;
    }
}

fn watched(fd: OwnedFd) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
    // SAFETY: an `OwnedFd` is the same open descriptor for as long as it lives.
    let watched = unsafe { AsyncFd::register(fd)? };
    Ok(Arc::new(watched))
}

fn boot() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

fn started(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, which may hold anything, is in the last brackets; the start is field 22.
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no start time")))
}
