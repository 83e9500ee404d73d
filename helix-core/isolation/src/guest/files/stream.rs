//! Bytes between a body and the thread that works on files. Each wait is bounded, so that
//! who stops reading or sending does not hold a thread for ever.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

use crate::guest::failure::{Answer, Failed};

/// How much is sent at once.
pub(super) const CHUNK: usize = 64 * 1024;
/// How many chunks wait between the two sides.
const CHUNKS: usize = 4;
/// How long the other side may do nothing.
const PROGRESS_WITHIN: Duration = Duration::from_secs(120);

/// Where a thread writes what becomes a body.
pub(super) struct Outgoing {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    buffer: Vec<u8>,
}

/// Both ends of a body that a thread writes. Within the runtime. `kept` is dropped with
/// the body, when its reader has left.
pub(super) fn outgoing<T: Send + 'static>(kept: T) -> (Outgoing, Body) {
    let (chunks, read) = mpsc::channel(CHUNKS);
    let body = stream::unfold((read, kept), |(mut read, kept)| async {
        Some((read.recv().await?, (read, kept)))
    });
    let outgoing = Outgoing {
        chunks,
        runtime: Handle::current(),
        buffer: Vec::new(),
    };
    (outgoing, Body::from_stream(body))
}

impl Outgoing {
    pub(super) fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.push(Ok(bytes))
    }

    /// Cuts the body: what was sent is not all of it.
    pub(super) fn fail(&self, error: io::Error) {
        // The reader may be gone already.
        let _ = self.push(Err(error));
    }

    fn push(&self, chunk: io::Result<Bytes>) -> io::Result<()> {
        let sent = self
            .runtime
            .block_on(async { timeout(PROGRESS_WITHIN, self.chunks.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the reader has left",
            )),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the reader takes nothing",
            )),
        }
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK - self.buffer.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        if bytes.is_empty() {
            Ok(())
        } else {
            self.send(bytes.into())
        }
    }
}

/// Where a thread reads a body. It ends only where the body did: when the sender leaves
/// in the middle, reading fails.
pub(super) struct Incoming {
    chunks: mpsc::Receiver<io::Result<Option<Bytes>>>,
    runtime: Handle,
    current: Bytes,
    ended: bool,
}

/// Runs a job that reads `body`.
pub(super) async fn reading<T>(
    mut body: Body,
    job: impl AsyncFnOnce(Incoming) -> Answer<T>,
) -> Answer<T> {
    let (send, chunks) = mpsc::channel(CHUNKS);
    let feed = async move {
        while let Some(frame) = body.frame().await {
            let chunk = match frame.map(Frame::into_data) {
                Ok(Ok(bytes)) => Ok(Some(bytes)),
                Ok(Err(_)) => continue,
                Err(error) => Err(io::Error::new(io::ErrorKind::BrokenPipe, error)),
            };
            if send.send(chunk).await.is_err() {
                break;
            }
        }
        // The job may have ended without reading all of it.
        let _ = send.send(Ok(None)).await;
        std::future::pending::<std::convert::Infallible>().await
    };
    let incoming = Incoming {
        chunks,
        runtime: Handle::current(),
        current: Bytes::new(),
        ended: false,
    };
    tokio::select! {
        answer = job(incoming) => answer,
        never = feed => match never {},
    }
}

impl Incoming {
    fn next(&mut self) -> io::Result<()> {
        let next = self
            .runtime
            .block_on(async { timeout(PROGRESS_WITHIN, self.chunks.recv()).await });
        match next {
            Ok(Some(Ok(Some(bytes)))) => self.current = bytes,
            Ok(Some(Ok(None))) => self.ended = true,
            Ok(Some(Err(error))) => return Err(error),
            Ok(None) => {
                return Err(io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "the sender has left",
                ));
            }
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the sender sends nothing",
                ));
            }
        }
        Ok(())
    }
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            self.next()?;
        }
        let taken = self.current.len().min(into.len());
        into[..taken].copy_from_slice(&self.current[..taken]);
        self.current.advance(taken);
        Ok(taken)
    }
}

/// The error of reading a body.
pub(super) fn cut(error: &io::Error) -> Failed {
    Failed::new(
        helix_proto::ErrorCode::BadRequest,
        format!("the body ended before its end, nothing was changed: {error}"),
    )
}
