//! The transport of real tunnels: one WebSocket, one binary message per flush.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Error as WsError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode as WsCode},
    },
};

use super::{MAX_MESSAGE, Message, Transport, TransportError};
use crate::CloseCode;

/// Buffer for reading, one per connection, and touched whole: it is most of what an idle
/// tunnel holds.
const READ_BUFFER: usize = 16 << 10;

/// The bounds with which a tunnel's WebSocket must be opened, on either side.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Messages are already gathered above: write each at once.
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// A WebSocket as a [`Transport`].
pub struct WebSocket<S> {
    stream: WebSocketStream<S>,
    /// The WebSocket protocol itself went wrong, so only raw bytes can still be read.
    broken: bool,
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes a WebSocket that was opened with [`config`].
    pub const fn new(stream: WebSocketStream<S>) -> Self {
        Self {
            stream,
            broken: false,
        }
    }

    /// The server's end, over a connection whose upgrade was answered.
    pub async fn server(io: S) -> Self {
        Self::new(WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for WebSocket<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, TransportError>>> {
        match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            None => Poll::Ready(None),
            Some(Ok(message)) => Poll::Ready(Some(Ok(received(message)))),
            Some(Err(error)) => {
                self.broken = true;
                Poll::Ready(Some(Err(failed(error))))
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.stream).poll_ready(cx).map_err(failed)
    }

    fn start_send(&mut self, message: Message) -> Result<(), TransportError> {
        Pin::new(&mut self.stream)
            .start_send(sent(message))
            .map_err(failed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(failed)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.broken {
            match ready!(self.poll_receive(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) => break,
                None => return Poll::Ready(()),
            }
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(self.stream.get_mut()).poll_read(cx, &mut buffer);
            if ready!(read).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

fn received(message: tungstenite::Message) -> Message {
    match message {
        tungstenite::Message::Binary(bytes) => Message::Binary(bytes),
        tungstenite::Message::Ping(payload) => Message::Ping(payload),
        tungstenite::Message::Pong(payload) => Message::Pong(payload),
        tungstenite::Message::Close(Some(frame)) => Message::Close(
            CloseCode(frame.code.into()),
            frame.reason.as_str().to_owned(),
        ),
        // RFC 6455, section 7.1.5: no code in the frame reads as 1005.
        tungstenite::Message::Close(None) => Message::Close(CloseCode(1005), String::new()),
        // Single frames are only ever written.
        tungstenite::Message::Text(_) | tungstenite::Message::Frame(_) => Message::Text,
    }
}

fn sent(message: Message) -> tungstenite::Message {
    match message {
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
        Message::Ping(payload) => tungstenite::Message::Ping(payload),
        Message::Pong(payload) => tungstenite::Message::Pong(payload),
        Message::Text => tungstenite::Message::text(""),
        Message::Close(code, reason) => tungstenite::Message::Close(Some(CloseFrame {
            code: WsCode::from(code.0),
            reason: reason.into(),
        })),
    }
}

fn failed(error: WsError) -> TransportError {
    match error {
        WsError::Io(error) => TransportError::Io(error),
        WsError::ConnectionClosed | WsError::AlreadyClosed => {
            TransportError::Io(io::ErrorKind::NotConnected.into())
        }
        WsError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            TransportError::Io(io::ErrorKind::ConnectionReset.into())
        }
        WsError::Capacity(_) | WsError::WriteBufferFull(_) => TransportError::TooBig,
        other => TransportError::Protocol(other.to_string()),
    }
}
