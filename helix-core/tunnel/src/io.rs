//! The byte stream that HTTP/2 reads and writes, over a [`Transport`]'s messages.
//!
//! It also drives the heartbeat, on every poll and on a timer of its own, so that pings
//! are outside HTTP/2 and its flow control.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::{Instant, Sleep},
};

use crate::{
    CloseCode, CloseReason, HeartbeatPolicy,
    heartbeat::{Beat, Heartbeat},
    link::Link,
    transport::{Message, Transport, TransportError},
};

/// Bytes gathered into one message: everything up to a flush, or this much.
const MAX_GATHERED: usize = 256 << 10;

/// A transport that says goodbye, as well as it can without waiting, when it is dropped
/// before its connection has ended.
#[derive(Debug)]
pub(crate) struct Parting {
    pub(crate) transport: Box<dyn Transport>,
    link: Arc<Link>,
}

impl Drop for Parting {
    fn drop(&mut self) {
        if !self.link.has_ended() {
            let (code, reason) = (CloseCode::GOING_AWAY, "this side stopped");
            self.link.close(code, reason);
            let _ = self
                .transport
                .start_send(Message::Close(code, reason.to_owned()));
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.transport.poll_flush(&mut cx);
        }
    }
}

/// The byte stream. Dropping it gives the transport to whoever waits for it.
#[derive(Debug)]
pub(crate) struct TunnelIo {
    parting: Option<Parting>,
    give_back: Option<oneshot::Sender<Parting>>,
    inbound: Bytes,
    outbound: BytesMut,
    unflushed_ping: bool,
    heartbeat: Heartbeat,
    timer: Pin<Box<Sleep>>,
    link: Arc<Link>,
}

impl Drop for TunnelIo {
    fn drop(&mut self) {
        if let (Some(parting), Some(give_back)) = (self.parting.take(), self.give_back.take()) {
            // Nobody waiting means that everything is being dropped.
            let _ = give_back.send(parting);
        }
    }
}

impl TunnelIo {
    /// A stream over `transport`, and where the transport comes back in the end.
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        heartbeat: HeartbeatPolicy,
        link: Arc<Link>,
    ) -> (Self, oneshot::Receiver<Parting>) {
        let (give_back, given_back) = oneshot::channel();
        let now = Instant::now();
        let stream = Self {
            parting: Some(Parting {
                transport,
                link: Arc::clone(&link),
            }),
            give_back: Some(give_back),
            inbound: Bytes::new(),
            outbound: BytesMut::new(),
            unflushed_ping: false,
            heartbeat: Heartbeat::new(heartbeat, now.into_std()),
            timer: Box::pin(tokio::time::sleep_until(now)),
            link,
        };
        (stream, given_back)
    }

    fn transport(&mut self) -> io::Result<&mut dyn Transport> {
        match &mut self.parting {
            Some(parting) => Ok(&mut *parting.transport),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends the connection, and says so to HTTP/2.
    fn end(&self, reason: CloseReason) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, self.link.end(reason))
    }

    /// What every poll does first: notice an end, take what arrived, mind the heartbeat.
    fn drive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.link.register(cx.waker());
        if let Some(reason) = self.link.ended() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
        }
        self.receive(cx)?;
        self.beat(cx)
    }

    /// Takes messages until there are bytes to read.
    fn receive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.inbound.is_empty() {
            let Poll::Ready(received) = self.transport()?.poll_receive(cx) else {
                break;
            };
            let reason = match received {
                Some(Ok(Message::Binary(bytes))) => {
                    self.inbound = bytes;
                    continue;
                }
                Some(Ok(Message::Ping(_))) => continue,
                Some(Ok(Message::Pong(payload))) => {
                    let now = Instant::now().into_std();
                    if let Some(round_trip) = self.heartbeat.pong(&payload, now) {
                        self.link.proven(round_trip);
                    }
                    continue;
                }
                Some(Ok(Message::Text)) => {
                    CloseReason::local(CloseCode::UNSUPPORTED, "a tunnel has no text messages")
                }
                Some(Ok(Message::Close(code, reason))) => CloseReason::Peer { code, reason },
                Some(Err(error)) => failure(error),
                None => CloseReason::Lost {
                    error: "the other side hung up".to_owned(),
                },
            };
            return Err(self.end(reason));
        }
        Ok(())
    }

    /// Sends a ping when one is due, and finds the dead.
    fn beat(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            match self.heartbeat.poll(Instant::now().into_std()) {
                Beat::Ping(payload) => {
                    let ping = Message::Ping(Bytes::copy_from_slice(&payload));
                    self.transport()?
                        .start_send(ping)
                        .map_err(|error| self.end(failure(error)))?;
                    self.unflushed_ping = true;
                }
                Beat::Dead => {
                    let reason = "no answer to heartbeats";
                    return Err(self.end(CloseReason::local(CloseCode::SILENT, reason)));
                }
                Beat::Wait(until) => {
                    let until = Instant::from_std(until);
                    if self.timer.deadline() != until {
                        self.timer.as_mut().reset(until);
                    }
                    if self.timer.as_mut().poll(cx).is_pending() {
                        break;
                    }
                }
            }
        }
        if self.unflushed_ping {
            let flushed = self.transport()?.poll_flush(cx);
            self.unflushed_ping = flushed.is_pending();
            if let Poll::Ready(Err(error)) = flushed {
                return Err(self.end(failure(error)));
            }
        }
        Ok(())
    }

    /// Hands what is gathered to the transport.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbound.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.transport()?.poll_ready(cx)).and_then(|()| {
            let message = Message::Binary(self.outbound.split().freeze());
            match &mut self.parting {
                Some(parting) => parting.transport.start_send(message),
                None => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            }
        });
        Poll::Ready(sent.map_err(|error| self.end(failure(error))))
    }

    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.drive(cx)?;
        if self.outbound.len() >= MAX_GATHERED {
            ready!(self.poll_send(cx))?;
        }
        let before = self.outbound.len();
        for slice in slices {
            let room = MAX_GATHERED - self.outbound.len();
            self.outbound
                .extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(Ok(self.outbound.len() - before))
    }
}

fn failure(error: TransportError) -> CloseReason {
    match error {
        TransportError::Io(error) => CloseReason::Lost {
            error: error.to_string(),
        },
        TransportError::TooBig => CloseReason::local(CloseCode::TOO_BIG, error.to_string()),
        TransportError::Protocol(what) => CloseReason::local(CloseCode::PROTOCOL, what),
    }
}

impl AsyncRead for TunnelIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.drive(cx)?;
        if this.inbound.is_empty() {
            return Poll::Pending;
        }
        let taken = this.inbound.len().min(buffer.remaining());
        buffer.put_slice(&this.inbound[..taken]);
        this.inbound.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_gather(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_gather(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.drive(cx)?;
        ready!(this.poll_send(cx))?;
        let flushed = ready!(this.transport()?.poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| this.end(failure(error))))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The close itself is the session's to send.
        self.poll_flush(cx)
    }
}
