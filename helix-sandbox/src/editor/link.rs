//! The way to the sandbox's host: a Unix socket, called again and again.

use std::{path::PathBuf, time::Duration};

use helix_base::{Backoff, BackoffPolicy};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixStream, unix::OwnedReadHalf},
    sync::mpsc,
    time::timeout,
};

use crate::agents::editors::wire::{Asked, LONGEST, Told};

/// What comes from the host and is not taken, at most.
const TOLD: usize = 16;
/// What the host is told and has not taken, at most: then it is called anew.
const ASKED: usize = 1_024;
/// How long the host may take to take a message.
const WRITE: Duration = Duration::from_secs(30);

const AGAIN: BackoffPolicy = BackoffPolicy {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};

/// The host, from the desk's side.
#[derive(Debug)]
pub(super) enum Heard {
    /// It can be told something.
    Connected(mpsc::Sender<Asked>),
    /// It said something.
    Told(Box<Told>),
    /// It is gone.
    Disconnected,
}

/// Where what the host says comes out.
pub(super) fn channel() -> (mpsc::Sender<Heard>, mpsc::Receiver<Heard>) {
    mpsc::channel(TOLD)
}

/// Calls, and calls again, until nobody listens.
pub(super) async fn keep(socket: PathBuf, to: mpsc::Sender<Heard>) {
    let mut again = Backoff::new(AGAIN);
    while !to.is_closed() {
        if let Ok(stream) = UnixStream::connect(&socket).await {
            match talk(stream, &to).await {
                Ok(()) => return,
                Err(heard) => {
                    if heard {
                        again.succeeded();
                    }
                }
            }
            if to.send(Heard::Disconnected).await.is_err() {
                return;
            }
        }
        let delay = again.next_delay(&mut rand::rng());
        tokio::time::sleep(delay).await;
    }
}

/// Until the connection breaks, or nobody listens any more. The error is whether the host said
/// anything on it.
async fn talk(stream: UnixStream, to: &mpsc::Sender<Heard>) -> Result<(), bool> {
    let (read, mut write) = stream.into_split();
    let (ask, mut asked) = mpsc::channel::<Asked>(ASKED);
    if to.send(Heard::Connected(ask)).await.is_err() {
        return Ok(());
    }
    let mut lines = BufReader::new(read);
    let mut heard = false;
    let reading = async {
        while let Some(told) = line(&mut lines).await {
            heard = true;
            if to.send(Heard::Told(Box::new(told))).await.is_err() {
                return Ok(());
            }
        }
        Err(())
    };
    let writing = async {
        while let Some(asked) = asked.recv().await {
            let Ok(mut line) = serde_json::to_string(&asked) else {
                continue;
            };
            line.push('\n');
            match timeout(WRITE, write.write_all(line.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Err(())
    };
    let ended = tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    };
    ended.map_err(|()| heard)
}

/// The next message; none where the connection broke.
async fn line(lines: &mut BufReader<OwnedReadHalf>) -> Option<Told> {
    let mut line = Vec::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    let read = lines.take(most).read_until(b'\n', &mut line).await;
    match read {
        Ok(0) | Err(_) => None,
        Ok(_) => serde_json::from_slice(&line).ok(),
    }
}
