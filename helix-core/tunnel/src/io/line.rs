//! One connection of a link: its transport, its heartbeat, and its end.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    CloseCode, CloseReason, HeartbeatPolicy,
    handle::Handle,
    heartbeat::{Beat, Heartbeat},
    link::Link,
    transport::{Message, Transport, TransportError},
};

/// A transport that says goodbye, as well as it can without waiting, when it is dropped
/// before its link has ended.
#[derive(Debug)]
pub(crate) struct Parting {
    /// There until the end.
    transport: Option<Box<dyn Transport>>,
    handle: Arc<Handle>,
}

impl Parting {
    /// Hangs up without a word.
    pub(super) fn abandon(mut self) {
        self.transport = None;
    }

    /// The transport, for the last words.
    pub(crate) fn into_transport(mut self) -> Option<Box<dyn Transport>> {
        self.transport.take()
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        let Some(mut transport) = self.transport.take() else {
            return;
        };
        if !self.handle.has_ended() {
            let (code, reason) = (CloseCode::GOING_AWAY, "this side stopped");
            self.handle.close(code, reason);
            let _ = transport.start_send(Message::Close(code, reason.to_owned()));
            let mut cx = Context::from_waker(Waker::noop());
            let _ = transport.poll_flush(&mut cx);
        }
    }
}

/// What a connection brings.
pub(super) enum Event {
    /// A message of the link.
    Message(Bytes),
    /// Its own end; the link may go on.
    Broke(CloseReason),
    /// The link's end.
    Ended(CloseReason),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) parting: Parting,
    /// What goes out before anything else.
    pub(super) greeting: Option<Bytes>,
    /// The transport holds something back.
    pub(super) unflushed: bool,
    heartbeat: Heartbeat,
}

impl Line {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        policy: HeartbeatPolicy,
        handle: &Arc<Handle>,
    ) -> Self {
        Self {
            parting: Parting {
                transport: Some(transport),
                handle: Arc::clone(handle),
            },
            greeting: None,
            unflushed: false,
            heartbeat: Heartbeat::new(policy, Instant::now().into_std()),
        }
    }

    fn transport(&mut self) -> Result<&mut dyn Transport, TransportError> {
        match &mut self.parting.transport {
            Some(transport) => Ok(&mut **transport),
            None => Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into()),
        }
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>, handle: &Handle) -> Poll<Event> {
        loop {
            let transport = match self.transport() {
                Ok(transport) => transport,
                Err(error) => return Poll::Ready(Event::Broke(error.into())),
            };
            let event = match std::task::ready!(transport.poll_receive(cx)) {
                Some(Ok(Message::Binary(message))) => Event::Message(message),
                Some(Ok(Message::Ping(_))) => {
                    // The answer waits for a flush.
                    self.unflushed = true;
                    continue;
                }
                Some(Ok(Message::Pong(payload))) => {
                    let now = Instant::now().into_std();
                    if let Some(round_trip) = self.heartbeat.pong(&payload, now) {
                        handle.proven(round_trip);
                    }
                    continue;
                }
                Some(Ok(Message::Text)) => Event::Ended(CloseReason::local(
                    CloseCode::UNSUPPORTED,
                    "a tunnel has no text messages",
                )),
                Some(Ok(Message::Close(code, reason))) => {
                    let why = CloseReason::Peer { code, reason };
                    // Not the other end's own word: something between the two gave up.
                    if code.is_from_the_middle() {
                        Event::Broke(why)
                    } else {
                        Event::Ended(why)
                    }
                }
                Some(Err(error)) => match CloseReason::from(error) {
                    lost @ CloseReason::Lost { .. } => Event::Broke(lost),
                    reason => Event::Ended(reason),
                },
                None => Event::Broke(CloseReason::hung_up()),
            };
            return Poll::Ready(event);
        }
    }

    /// Sends a ping if one is due (`None`), or says when the next one is.
    pub(super) fn beat(&mut self) -> Result<Option<Instant>, CloseReason> {
        match self.heartbeat.poll(Instant::now().into_std()) {
            Beat::Ping(payload) => {
                let ping = Message::Ping(Bytes::copy_from_slice(&payload));
                self.transport()?.start_send(ping)?;
                self.unflushed = true;
                Ok(None)
            }
            Beat::Dead => Err(CloseReason::local(
                CloseCode::SILENT,
                "no answer to heartbeats",
            )),
            Beat::Wait(until) => Ok(Some(Instant::from_std(until))),
        }
    }

    /// Whether something has to go before anything new.
    pub(super) fn is_behind(&self, link: &Link) -> bool {
        self.greeting.is_some() || link.has_next()
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport()?.poll_ready(cx)
    }

    /// Sends what is due, as far as the transport takes it.
    pub(super) fn pump(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
    ) -> Result<(), TransportError> {
        while self.is_behind(link) {
            if self.poll_ready(cx)?.is_pending() {
                return Ok(());
            }
            let Some(message) = self.greeting.take().or_else(|| link.pop()) else {
                break;
            };
            self.transport()?.start_send(Message::Binary(message))?;
            self.unflushed = true;
        }
        if self.unflushed {
            self.unflushed = self.transport()?.poll_flush(cx)?.is_pending();
        }
        Ok(())
    }
}
