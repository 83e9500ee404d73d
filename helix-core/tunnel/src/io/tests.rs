//! How the last words of the other side are heard.

use std::collections::VecDeque;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::transport::{Message, TransportError, memory};

/// A connection whose other side has said its last words and hung up: nothing can be
/// written, and the words are read only after that was tried.
#[derive(Debug)]
struct HungUp {
    words: VecDeque<Message>,
    tried: bool,
}

impl HungUp {
    fn refuse(&mut self) -> TransportError {
        self.tried = true;
        io::Error::from(io::ErrorKind::BrokenPipe).into()
    }
}

impl Transport for HungUp {
    fn poll_receive(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, TransportError>>> {
        if self.tried {
            Poll::Ready(self.words.pop_front().map(Ok))
        } else {
            Poll::Pending
        }
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Err(self.refuse()))
    }

    fn start_send(&mut self, _message: Message) -> Result<(), TransportError> {
        Err(self.refuse())
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Err(self.refuse()))
    }

    fn poll_discard(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// What another end sends that writes these bytes.
fn data(bytes: &[u8]) -> Message {
    let mut link = Link::new(Window {
        bytes: 1 << 10,
        resumable: true,
    });
    link.write(bytes);
    link.seal();
    Message::Binary(link.pop().unwrap())
}

fn goodbye() -> Message {
    Message::Close(CloseCode::GOING_AWAY, "the agent is shutting down".into())
}

fn stream(transport: impl Transport) -> (LinkIo, Arc<Handle>) {
    let handle = Arc::new(Handle::new());
    let policy = Policy {
        heartbeat: HeartbeatPolicy::default(),
        grace: Duration::from_secs(60),
        window: 1 << 10,
    };
    let (stream, _) = LinkIo::new(Box::new(transport), None, policy, Arc::clone(&handle));
    (stream, handle)
}

fn heard(handle: &Handle) -> bool {
    matches!(
        handle.ended(),
        Some(CloseReason::Peer {
            code: CloseCode::GOING_AWAY,
            ..
        })
    )
}

#[tokio::test]
async fn a_goodbye_is_read_before_a_failed_write_counts() {
    let (mut stream, handle) = stream(HungUp {
        words: VecDeque::from([data(b"last"), goodbye()]),
        tried: false,
    });
    // The answer to what is read is what fails.
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"last");
    assert!(handle.last_break().is_none(), "seen as broken");
    stream.read_u8().await.unwrap_err();
    assert!(heard(&handle), "{:?}", handle.ended());
}

#[tokio::test]
async fn a_connection_that_only_fails_is_broken_and_not_ended() {
    let (mut stream, handle) = stream(HungUp {
        words: VecDeque::new(),
        tried: false,
    });
    assert!(
        stream.read_u8().now_or_never().is_none(),
        "it goes on waiting"
    );
    assert!(handle.last_break().is_some());
    assert!(!handle.has_ended());
}

#[tokio::test]
async fn a_goodbye_behind_bytes_that_nobody_reads_is_heard() {
    let (here, mut there) = memory::pair();
    there.start_send(data(b"unread")).unwrap();
    there.start_send(goodbye()).unwrap();
    let (mut stream, handle) = stream(here);
    stream.write_all(b"crosses it").await.unwrap();
    drop(there);
    stream.flush().await.unwrap();
    drop(stream);
    assert!(handle.last_break().is_none(), "seen as broken");
    assert!(heard(&handle), "{:?}", handle.ended());
}
