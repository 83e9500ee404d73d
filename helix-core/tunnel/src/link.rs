//! What the ends of a tunnel know about its connection, shared between the byte stream
//! that drives it, the session that watches it, and the handles that close it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

use crate::{CloseCode, CloseReason};

/// The shared state of one connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// The first reason wins.
    ended: Mutex<Option<CloseReason>>,
    driver: AtomicWaker,
    round_trip: watch::Sender<Option<Duration>>,
    /// The final reason, once the connection is really gone.
    closed: watch::Sender<Option<CloseReason>>,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            ended: Mutex::new(None),
            driver: AtomicWaker::new(),
            round_trip: watch::Sender::new(None),
            closed: watch::Sender::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<CloseReason>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, unless it has ended; the reason that counts.
    pub(crate) fn end(&self, reason: CloseReason) -> CloseReason {
        let counts = self.lock().get_or_insert(reason).clone();
        self.driver.wake();
        counts
    }

    /// Ends the connection from this side.
    pub(crate) fn close(&self, code: CloseCode, reason: impl Into<String>) -> CloseReason {
        self.end(CloseReason::local(code, reason))
    }

    /// Why the connection ends, from the moment that it is known.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        self.lock().clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().is_some()
    }

    /// Who is woken when somebody ends the connection.
    pub(crate) fn register(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Notes a heartbeat that was answered.
    pub(crate) fn proven(&self, round_trip: Duration) {
        self.round_trip.send_replace(Some(round_trip));
    }

    /// The last measured round trip; none until the connection is proven.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        *self.round_trip.borrow()
    }

    /// Ends with the first answered heartbeat; never, if there is none.
    pub(crate) async fn wait_until_proven(&self) {
        // The sender lives as long as `self`.
        let _ = self.round_trip.subscribe().wait_for(Option::is_some).await;
    }

    /// Says that the connection is gone.
    pub(crate) fn finish(&self) -> CloseReason {
        let reason = self.end(CloseReason::Lost {
            error: "the tunnel was dropped".to_owned(),
        });
        self.closed.send_replace(Some(reason.clone()));
        reason
    }

    /// Ends when the connection is gone, with the reason.
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
