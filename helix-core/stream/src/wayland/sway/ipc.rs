//! Sway's own socket, which is i3's: `i3-ipc`, the length and the kind of what follows, as the
//! machine has its numbers, and JSON.

use std::{io, path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use crate::{Error, ErrorKind};

const MAGIC: &[u8; 6] = b"i3-ipc";
/// Runs a command.
const COMMAND: u32 = 0;
/// Tells of everything that is on the desktop.
const TREE: u32 = 4;
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// What an answer has at most.
const MOST: u32 = 8 << 20;

/// Sway's own socket. Each command has a connection of its own.
#[derive(Debug)]
pub(super) struct Ipc {
    path: PathBuf,
}

/// How one command went.
#[derive(Debug, Deserialize)]
struct Outcome {
    success: bool,
    error: Option<String>,
}

impl Ipc {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Runs a command.
    pub(super) async fn command(&self, command: &str) -> Result<(), Error> {
        let answer = self.answer(COMMAND, command).await?;
        let outcomes: Vec<Outcome> = serde_json::from_slice(&answer)
            .map_err(|why| Error::failed(format!("sway answers `{command}` with nonsense"), why))?;
        match outcomes.into_iter().find(|outcome| !outcome.success) {
            None => Ok(()),
            Some(outcome) => {
                let why = outcome.error.unwrap_or_default();
                Err(Error::failed(format!("sway refuses `{command}`"), why))
            }
        }
    }

    /// Everything that is on the desktop, as JSON.
    pub(super) async fn tree(&self) -> Result<Vec<u8>, Error> {
        self.answer(TREE, "").await
    }

    async fn answer(&self, kind: u32, command: &str) -> Result<Vec<u8>, Error> {
        let answer = timeout(WITHIN, self.ask(kind, command)).await;
        let answer = answer.map_err(|_| {
            let why = format!("sway does not answer `{command}` within 5 s");
            Error::new(ErrorKind::Timeout, why)
        })?;
        answer.map_err(|why| {
            let why = format!("cannot tell sway `{command}`: {why}");
            Error::new(ErrorKind::Ended, why)
        })
    }

    async fn ask(&self, kind: u32, command: &str) -> io::Result<Vec<u8>> {
        let mut socket = UnixStream::connect(&self.path).await?;
        let length = u32::try_from(command.len()).map_err(io::Error::other)?;
        let mut message = MAGIC.to_vec();
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(command.as_bytes());
        socket.write_all(&message).await?;
        let mut head = [0; 14];
        socket.read_exact(&mut head).await?;
        let length = [head[6], head[7], head[8], head[9]];
        let length = u32::from_ne_bytes(length);
        if head[..6] != *MAGIC || length > MOST {
            return Err(io::Error::other("no answer of sway's"));
        }
        let mut answer = Vec::new();
        socket.take(length.into()).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}
