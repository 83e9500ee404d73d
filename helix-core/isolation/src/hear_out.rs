//! A connection to a server that may answer and hang up before it was told everything.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Keeps a refused write to itself until all is read that the other side said before: an
/// answer may be among it. What is written in between goes nowhere.
///
/// HTTP lets a server answer before it has read the request (RFC 9112, section 9.3), as one
/// does that needs no body, while clients give a failed write precedence over the answer.
#[derive(Debug)]
pub struct HearOut<S> {
    stream: S,
    /// The other side takes no more.
    refused: bool,
    /// The other side has said all.
    heard: bool,
}

impl<S> HearOut<S> {
    /// Bytes over `stream`.
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            refused: false,
            heard: false,
        }
    }

    /// What is said of a write, of which `all` bytes are taken if it was refused too early to
    /// say so.
    fn written<T>(&mut self, outcome: io::Result<T>, all: T) -> io::Result<T> {
        match outcome {
            Err(why) if !self.heard && is_hang_up(why.kind()) => {
                self.refused = true;
                Ok(all)
            }
            outcome => outcome,
        }
    }

    const fn is_deaf(&self) -> bool {
        self.refused && !self.heard
    }
}

const fn is_hang_up(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for HearOut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if read.is_err() || (room > 0 && buf.remaining() == room) {
            self.heard = true;
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HearOut<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf() {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.written(outcome, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.is_deaf() {
            return Poll::Ready(Ok(all));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(self.written(outcome, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.written(outcome, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        Poll::Ready(self.written(outcome, ()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
    };

    use super::*;

    #[tokio::test]
    async fn what_was_said_before_a_hang_up_is_read_and_then_writes_fail() {
        let (mut server, client) = UnixStream::pair().unwrap();
        let mut client = HearOut::new(client);
        client.write_all(b"a question").await.unwrap();
        server.write_all(b"an answer").await.unwrap();
        drop(server);
        client.write_all(b" and more of it").await.unwrap();
        client.flush().await.unwrap();
        let mut answer = [0; 9];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"an answer");
        // What it did not read makes the end of a local socket a reset.
        let end = client.read(&mut [0; 1]).await;
        assert!(!matches!(end, Ok(1..)), "{end:?}");
        assert!(client.write_all(b"too late").await.is_err());
    }
}
