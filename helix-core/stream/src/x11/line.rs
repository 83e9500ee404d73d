//! A connection to an X server, read by whoever waits for something of it.

use std::{
    fmt,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};
use x11rb::{
    connection::Connection as _,
    protocol::{Event, xproto::Window},
    rust_connection::{DefaultStream, RustConnection},
};

use crate::{Error, ErrorKind};

/// How long the server may take to answer.
const WITHIN: Duration = Duration::from_secs(5);
/// The kind of secret by which servers know their clients.
const COOKIE: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// Where an X server listens, and the secret that lets clients in.
#[derive(Clone)]
pub struct Display {
    pub(super) socket: PathBuf,
    pub(super) cookie: [u8; 16],
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Display")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// A connection.
pub(super) type Connection = RustConnection<DefaultStream>;

/// A connection and its root window.
pub(super) struct Line {
    pub(super) connection: Arc<Connection>,
    pub(super) root: Window,
    fd: AsyncFd<OwnedFd>,
}

/// What went wrong with a connection: then the server is gone, or what was asked for is wrong.
pub(super) fn gone(why: impl fmt::Display) -> Error {
    let why = format!("the connection to the X server is gone: {why}");
    Error::new(ErrorKind::Ended, why)
}

/// What an X server does not have.
pub(super) fn lacks(extension: &str, why: impl fmt::Display) -> Error {
    let why = format!("the X server has no {extension}: {why}");
    Error::new(ErrorKind::Unsupported, why)
}

/// Does something that waits for the server where waiting is allowed.
pub(super) async fn ask<T: Send + 'static>(
    connection: &Arc<Connection>,
    question: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let connection = Arc::clone(connection);
    let answer = tokio::task::spawn_blocking(move || question(&connection));
    match timeout(WITHIN, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => Err(gone(why)),
        Err(_) => {
            let why = "the X server does not answer for 5 s";
            Err(Error::new(ErrorKind::Timeout, why))
        }
    }
}

impl Line {
    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or lets nobody in.
    pub(super) async fn connect(display: &Display) -> Result<Self, Error> {
        let display = display.clone();
        let connect = tokio::task::spawn_blocking(move || connect_blocking(&display));
        let Ok(connected) = timeout(WITHIN, connect).await else {
            let why = "the X server lets nobody in for 5 s";
            return Err(Error::new(ErrorKind::Timeout, why));
        };
        let connection = connected.map_err(gone)??;
        let fd = connection.stream().as_fd().try_clone_to_owned();
        let fd = fd.map_err(gone)?;
        // SAFETY: an owned descriptor is the same and open for as long as it lives, which is as
        // long as what it is registered with.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let root = connection.setup().roots.first().map(|screen| screen.root);
        Ok(Self {
            connection: Arc::new(connection),
            root: root.ok_or_else(|| gone("it has no screen"))?,
            fd: fd.map_err(gone)?,
        })
    }

    /// An event that is there already.
    pub(super) fn poll(&self) -> Result<Option<Event>, Error> {
        self.connection.poll_for_event().map_err(gone)
    }

    /// Waits for an event. Dropping this loses none.
    pub(super) async fn event(&self) -> Result<Event, Error> {
        self.connection.flush().map_err(gone)?;
        loop {
            // What came with an answer is there, although nothing is to be read any more.
            if let Some(event) = self.poll()? {
                return Ok(event);
            }
            let mut readable = self.fd.readable().await.map_err(gone)?;
            if let Some(event) = self.poll()? {
                return Ok(event);
            }
            readable.clear_ready();
        }
    }
}

fn connect_blocking(display: &Display) -> Result<Connection, Error> {
    let at = |why: &dyn fmt::Display| {
        let socket = display.socket.display();
        let why = format!("cannot connect to the X server at {socket}: {why}");
        Error::new(ErrorKind::Ended, why)
    };
    let stream = UnixStream::connect(&display.socket).map_err(|why| at(&why))?;
    let (stream, _) = DefaultStream::from_unix_stream(stream).map_err(|why| at(&why))?;
    let (name, data) = (COOKIE.to_vec(), display.cookie.to_vec());
    Connection::connect_to_stream_with_auth_info(stream, 0, name, data).map_err(|why| at(&why))
}
