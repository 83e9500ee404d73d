//! What the ends of a link know about it, shared between the byte stream that drives it,
//! the session that watches it, and the handles that close it or bring a new connection.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::watch;

use crate::{CloseCode, CloseReason, transport::Transport};

/// A connection that is to take the place of the one there is, if any.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) transport: Box<dyn Transport>,
    /// How far the other end has received.
    pub(crate) received: u64,
    /// Whether this end still has to answer the greeting.
    pub(crate) welcome: bool,
}

/// Whether the link has a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// One on which no heartbeat was answered yet.
    Attached,
    /// One that is proven.
    Proven,
    /// None: the last one broke.
    Detached(CloseReason),
}

/// Figures for people.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) resumes: AtomicU64,
    pub(crate) replay_depth: AtomicUsize,
}

/// The shared state of one link.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The first reason wins.
    ended: Mutex<Option<CloseReason>>,
    next: Mutex<Option<Attach>>,
    driver: AtomicWaker,
    phase: watch::Sender<Phase>,
    round_trip: Mutex<Option<Duration>>,
    /// Why the last connection broke, for people.
    last_break: Mutex<Option<CloseReason>>,
    /// How far this end has received, while it is detached.
    received: AtomicU64,
    pub(crate) figures: Figures,
    /// The final reason, once the link is really gone.
    closed: watch::Sender<Option<CloseReason>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    pub(crate) fn new() -> Self {
        Self {
            ended: Mutex::new(None),
            next: Mutex::new(None),
            driver: AtomicWaker::new(),
            phase: watch::Sender::new(Phase::Attached),
            round_trip: Mutex::new(None),
            last_break: Mutex::new(None),
            received: AtomicU64::new(0),
            figures: Figures::default(),
            closed: watch::Sender::new(None),
        }
    }

    /// Ends the link, unless it has ended; the reason that counts.
    pub(crate) fn end(&self, reason: CloseReason) -> CloseReason {
        let counts = lock(&self.ended).get_or_insert(reason).clone();
        self.driver.wake();
        counts
    }

    /// Ends the link from this side.
    pub(crate) fn close(&self, code: CloseCode, reason: impl Into<String>) -> CloseReason {
        self.end(CloseReason::local(code, reason))
    }

    /// Why the link ends, from the moment that it is known.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        lock(&self.ended).clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.ended).is_some()
    }

    /// Who is woken when somebody ends the link or brings a connection.
    pub(crate) fn register(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Brings a connection; one that was brought before and not yet taken is dropped.
    pub(crate) fn attach(&self, attach: Attach) {
        let before = lock(&self.next).replace(attach);
        self.driver.wake();
        drop(before);
    }

    /// The connection that was brought last.
    pub(crate) fn take_next(&self) -> Option<Attach> {
        lock(&self.next).take()
    }

    pub(crate) fn attached(&self) {
        self.figures.resumes.fetch_add(1, Ordering::Relaxed);
        self.phase.send_replace(Phase::Attached);
    }

    /// Notes that the connection broke, and how far this end had received.
    pub(crate) fn detached(&self, reason: CloseReason, received: u64) {
        self.received.store(received, Ordering::Release);
        *lock(&self.last_break) = Some(reason.clone());
        self.phase.send_replace(Phase::Detached(reason));
    }

    /// How far this end has received; of a link that is detached.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    pub(crate) fn last_break(&self) -> Option<CloseReason> {
        lock(&self.last_break).clone()
    }

    /// Notes a heartbeat that was answered.
    pub(crate) fn proven(&self, round_trip: Duration) {
        *lock(&self.round_trip) = Some(round_trip);
        self.phase
            .send_if_modified(|phase| std::mem::replace(phase, Phase::Proven) != Phase::Proven);
    }

    /// The last measured round trip; none until the link is proven.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        *lock(&self.round_trip)
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Says that the link is gone.
    pub(crate) fn finish(&self) -> CloseReason {
        let reason = self.end(CloseReason::Lost {
            error: "the tunnel was dropped".to_owned(),
        });
        drop(self.take_next());
        self.closed.send_replace(Some(reason.clone()));
        reason
    }

    /// Ends when the link is gone, with the reason.
    pub(crate) async fn wait_until_closed(&self) -> CloseReason {
        let mut closed = self.closed.subscribe();
        let reason = closed
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| self.finish())
    }
}

/// The first message that arrives; pings are passed over.
///
/// # Errors
///
/// Something else arrived, or nothing will.
pub(crate) async fn first_message(transport: &mut dyn Transport) -> Result<Bytes, CloseReason> {
    use crate::transport::Message;
    loop {
        match std::future::poll_fn(|cx| transport.poll_receive(cx)).await {
            Some(Ok(Message::Binary(message))) => return Ok(message),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Text)) => {
                return Err(CloseReason::local(
                    CloseCode::UNSUPPORTED,
                    "a tunnel has no text messages",
                ));
            }
            Some(Ok(Message::Close(code, reason))) => {
                return Err(CloseReason::Peer { code, reason });
            }
            Some(Err(error)) => return Err(CloseReason::from(error)),
            None => return Err(CloseReason::hung_up()),
        }
    }
}
