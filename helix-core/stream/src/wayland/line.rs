//! A connection to a compositor, read by whoever waits for something of it.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};
use wayland_client::{
    Connection, Dispatch, EventQueue,
    backend::WaylandError,
    globals::{GlobalList, GlobalListContents, registry_queue_init},
    protocol::wl_registry::WlRegistry,
};

use crate::{Error, ErrorKind};

/// How long a compositor may take to say what it has.
const WITHIN: Duration = Duration::from_secs(5);

/// A connection with what it has been told.
pub(super) struct Line<S> {
    queue: EventQueue<S>,
    fd: AsyncFd<OwnedFd>,
    /// What events change.
    pub(super) state: S,
}

/// A connection that has said nothing yet.
pub(super) struct Fresh<S> {
    pub(super) globals: GlobalList,
    pub(super) queue: EventQueue<S>,
    pub(super) connection: Connection,
    fd: OwnedFd,
}

fn gone(why: impl std::fmt::Display) -> Error {
    let why = format!("the connection to the compositor is gone: {why}");
    Error::new(ErrorKind::Ended, why)
}

/// Connects to the compositor's socket.
///
/// # Errors
///
/// Where nobody listens there, or says within five seconds what it has.
pub(super) async fn connect<S>(socket: &Path) -> Result<Fresh<S>, Error>
where
    S: Dispatch<WlRegistry, GlobalListContents> + 'static,
{
    let path = socket.to_owned();
    let connect = tokio::task::spawn_blocking(move || connect_blocking(&path));
    match timeout(WITHIN, connect).await {
        Ok(Ok(fresh)) => fresh,
        Ok(Err(why)) => Err(gone(why)),
        Err(_) => {
            let why = format!(
                "the compositor at {} says nothing for 5 s",
                socket.display()
            );
            Err(Error::new(ErrorKind::Timeout, why))
        }
    }
}

fn connect_blocking<S>(path: &PathBuf) -> Result<Fresh<S>, Error>
where
    S: Dispatch<WlRegistry, GlobalListContents> + 'static,
{
    let at = |why: &dyn std::fmt::Display| {
        let why = format!(
            "cannot connect to the compositor at {}: {why}",
            path.display()
        );
        Error::new(ErrorKind::Ended, why)
    };
    let stream = UnixStream::connect(path).map_err(|why| at(&why))?;
    let connection = Connection::from_socket(stream).map_err(|why| at(&why))?;
    let (globals, queue) = registry_queue_init(&connection).map_err(|why| at(&why))?;
    let fd = connection.backend().poll_fd().try_clone_to_owned();
    let fd = fd.map_err(|why| at(&why))?;
    Ok(Fresh {
        globals,
        queue,
        connection,
        fd,
    })
}

/// What a compositor does not have.
pub(super) fn lacks(protocol: &str) -> Error {
    let why = format!("the compositor has no {protocol}");
    Error::new(ErrorKind::Unsupported, why)
}

impl<S: 'static> Fresh<S> {
    /// A line with this state.
    pub(super) fn with(self, state: S) -> Result<Line<S>, Error> {
        // SAFETY: an owned descriptor is the same and open for as long as it lives, which is as
        // long as what it is registered with.
        let fd = unsafe { AsyncFd::register_with_interest(self.fd, Interest::READABLE) };
        Ok(Line {
            queue: self.queue,
            fd: fd.map_err(gone)?,
            state,
        })
    }
}

impl<S> Line<S> {
    fn flush(&self) -> Result<(), Error> {
        flushed(self.queue.flush())
    }

    /// Waits for events, and lets them change the state. Dropping this loses none.
    pub(super) async fn dispatch(&mut self) -> Result<(), Error> {
        loop {
            if self.queue.dispatch_pending(&mut self.state).map_err(gone)? > 0 {
                return Ok(());
            }
            self.flush()?;
            let mut readable = self.fd.readable().await.map_err(gone)?;
            let Some(guard) = self.queue.prepare_read() else {
                continue;
            };
            match guard.read() {
                Ok(_) => {}
                Err(WaylandError::Io(why)) if is_empty(&why) => readable.clear_ready(),
                Err(why) => return Err(gone(why)),
            }
        }
    }
}

/// What a connection was asked to say, said as far as the compositor takes it now.
pub(super) fn flush(connection: &Connection) -> Result<(), Error> {
    flushed(connection.flush())
}

fn flushed(outcome: Result<(), WaylandError>) -> Result<(), Error> {
    match outcome {
        Ok(()) => Ok(()),
        // It will be said with what comes next.
        Err(WaylandError::Io(why)) if is_empty(&why) => Ok(()),
        Err(why) => Err(gone(why)),
    }
}

fn is_empty(why: &std::io::Error) -> bool {
    why.raw_os_error() == Some(Errno::AGAIN.raw_os_error())
        || why.kind() == std::io::ErrorKind::WouldBlock
}
