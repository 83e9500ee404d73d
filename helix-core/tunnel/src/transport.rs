//! What carries a tunnel: messages both ways, in order, and nothing of HTTP.

pub mod memory;
pub mod websocket;

use std::{
    fmt, io,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::CloseCode;

/// Largest message that is taken. What is sent stays well below.
pub const MAX_MESSAGE: usize = 1 << 20;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Bytes of the stream above.
    Binary(Bytes),
    /// A question whether the other side lives; the transport answers it by itself.
    Ping(Bytes),
    /// The answer to a ping.
    Pong(Bytes),
    /// Something that a tunnel never sends.
    Text,
    /// The other side's last message.
    Close(CloseCode, String),
}

/// Why a transport failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A message was larger than [`MAX_MESSAGE`].
    #[error("a message was larger than {MAX_MESSAGE} bytes")]
    TooBig,
    /// The other side does not follow the transport's own protocol.
    #[error("{0}")]
    Protocol(String),
}

/// Carries messages between two ends.
///
/// # Contract
///
/// - Messages arrive whole, once, in order, and none after [`Message::Close`].
/// - Pings are answered by the transport as it is polled, and reported too.
/// - [`Self::start_send`] of a [`Message::Binary`] follows a [`Self::poll_ready`] that was
///   ready, so that what waits to be sent is bounded; a ping or close may be sent at any
///   time, and lands behind what was sent before.
/// - A failure is final for receiving; a close can still be tried after it.
/// - All polls come from one task at a time.
pub trait Transport: fmt::Debug + Send + Unpin + 'static {
    /// The next message; `None` when the connection has ended.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, TransportError>>>;

    /// Ready when there is room for one more message.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Takes one message.
    ///
    /// # Errors
    ///
    /// The connection is broken or closed.
    fn start_send(&mut self, message: Message) -> Result<(), TransportError>;

    /// Ready when everything taken has left this process.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Throws away what arrives, whatever it is; ready when the other side hangs up.
    /// Polled after a close was sent, so that the other side can read it before the
    /// connection goes.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
