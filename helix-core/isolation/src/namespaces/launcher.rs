//! The daemon's side of stage 0: who forks it, and what it says.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::net::Shutdown;
use serde::de::DeserializeOwned;
use tokio::{
    io::Interest,
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

use super::launch::{ARGUMENT, Report, channel};
use crate::{Error, ErrorKind};

/// How long each part may take: a machine that is slower than this is not usable.
pub(super) const PART: Duration = Duration::from_secs(30);

/// How long a part takes to say that it failed.
const SOON: Duration = Duration::from_secs(1);

/// Forks stages 0. Runs from the first one on, for as long as this lives.
#[derive(Debug)]
pub(super) struct Launcher {
    program: PathBuf,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    requests: OwnedFd,
    /// Killed when it is dropped. What it forked goes on.
    _child: Child,
}

impl Launcher {
    /// Starts nothing yet.
    pub(super) fn new(program: PathBuf) -> Self {
        Self {
            program,
            process: Mutex::default(),
        }
    }

    /// Forks a stage 0, and gives it these. Blocks; in a runtime.
    pub(super) fn fork(&self, fds: [BorrowedFd<'_>; 3]) -> io::Result<Stage> {
        let (ours, theirs) = channel::pair()?;
        let [plan, listener, disk] = fds;
        let fds = [theirs.as_fd(), plan, listener, disk];
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = process
            .as_ref()
            .is_some_and(|process| channel::send(&process.requests, &(), &fds).is_ok());
        if !asked {
            // The first, or the one before has ended.
            let new = self.start()?;
            channel::send(&new.requests, &(), &fds)?;
            *process = Some(new);
        }
        drop(process);
        let ours = std::os::unix::net::UnixStream::from(ours);
        ours.set_nonblocking(true)?;
        Ok(Stage {
            control: UnixStream::from_std(ours)?,
        })
    }

    fn start(&self) -> io::Result<Process> {
        let (requests, theirs) = channel::pair()?;
        let child = Command::new(&self.program)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            // What is typed at the daemon's terminal is not for the sandboxes.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process {
            requests,
            _child: child,
        })
    }
}

/// A process 1 that waits for its network.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its id.
    pub(super) pid: i32,
    /// A hold of it.
    pub(super) pidfd: OwnedFd,
    /// A socket to it. It ends when this is closed before it was told.
    pub(super) network: OwnedFd,
}

/// A stage 0. It ends when this does, unless its sandbox runs by then.
#[derive(Debug)]
pub(super) struct Stage {
    control: UnixStream,
}

impl Stage {
    /// Waits for the sandbox's process 1.
    pub(super) async fn prepared(&self) -> Result<Prepared, Error> {
        match self.hear().await? {
            (Report::Prepared { pid }, fds) => {
                let [pidfd, network] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| out_of_order())?;
                Ok(Prepared {
                    pid,
                    pidfd,
                    network,
                })
            }
            (Report::Failed(why), _) => Err(Error::new(ErrorKind::Failed, why)),
            (Report::Started { .. }, _) => Err(out_of_order()),
        }
    }

    /// Waits until process 1 is about to become the guest; how long each part took.
    pub(super) async fn started(&self) -> Result<Vec<(String, u64)>, Error> {
        match self.hear().await?.0 {
            Report::Started { times } => Ok(times),
            Report::Failed(why) => Err(Error::new(ErrorKind::Failed, why)),
            Report::Prepared { .. } => Err(out_of_order()),
        }
    }

    /// What it failed of, where it did: whoever waits for it fails then, too.
    pub(super) async fn cause(&self) -> Option<Error> {
        match timeout(SOON, self.receive()).await {
            Ok(Ok((Report::Failed(why), _))) => Some(Error::new(ErrorKind::Failed, why)),
            _ => None,
        }
    }

    /// Ends it where it is, and waits for that.
    pub(super) async fn end(&self) -> Result<(), Error> {
        // It may have ended already.
        let _ = rustix::net::shutdown(&self.control, Shutdown::Write);
        let last_words = async {
            while !matches!(self.receive::<Report>().await, Err(error) if is_end(&error)) {}
        };
        timeout(PART, last_words)
            .await
            .map_err(|_| late("stage 0 does not end"))
    }

    async fn hear(&self) -> Result<(Report, Vec<OwnedFd>), Error> {
        timeout(PART, self.receive())
            .await
            .map_err(|_| late("stage 0 does not answer"))?
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::new(
                    ErrorKind::Failed,
                    "stage 0 ended before it was through: its last words are in this daemon's log",
                ),
                _ => Error::io("listening to stage 0", error),
            })
    }

    async fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        loop {
            self.control.readable().await?;
            let control = &self.control;
            match control.try_io(Interest::READABLE, || channel::receive(control)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

/// Nothing comes after it.
fn is_end(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || error.kind() == io::ErrorKind::UnexpectedEof
}

pub(super) fn late(what: &str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} within {PART:?}"))
}

fn out_of_order() -> Error {
    Error::new(ErrorKind::Failed, "stage 0 spoke out of order")
}
