//! An answer on its way from engine or provider to the client.
//!
//! Nothing is read from upstream before the client took what came before, so
//! that a slow client holds one chunk and no more. That alone would let a client
//! that reads nothing keep its place on the engine for ever, and an engine that
//! says nothing keep its client: the [`Watch`] ends both.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::Stream;
use helix_base::{Clock, TaskGroup};
use helix_proto::RequestId;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};

use super::{Error, sse::Events};

/// Why an upstream body broke off.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an engine's or provider's answer.
pub(super) type Upstream = UnsyncBoxBody<Bytes, BoxError>;

/// A body as one that an answer can be made of.
pub(super) fn upstream<B>(body: B) -> Upstream
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    body.map_err(|error| -> BoxError { Box::new(error) })
        .boxed_unsync()
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With its last byte.
    Complete,
    /// Upstream broke off, or said nothing for too long.
    Broken,
    /// The client left, or read nothing for too long.
    Left,
}

/// The place on the engine, held for as long as the upstream body is.
pub(super) trait Hold: fmt::Debug + Send {
    /// Frees the place. Called once.
    fn ended(&mut self, how: End);
}

/// No place, or one that is free already.
#[derive(Debug)]
pub(super) struct NoPlace;

impl Hold for NoPlace {
    fn ended(&mut self, _: End) {}
}

/// How often the watch looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An answer on its way to the client. Dropping it cancels the work upstream and
/// frees the place.
#[derive(Debug)]
pub struct BodyStream {
    relay: Arc<Relay>,
    watch: Arc<Watch>,
    id: RequestId,
}

#[derive(Debug)]
struct Relay {
    state: Mutex<State>,
}

/// Whom the answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Client,
    Upstream,
}

struct State {
    upstream: Option<(Upstream, Box<dyn Hold>)>,
    events: Option<Events>,
    who: Arc<str>,
    waits: Waits,
    since: Instant,
    waker: Option<Waker>,
    ended_by: Option<Error>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("who", &self.who)
            .field("open", &self.upstream.is_some())
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

/// What a [`BodyStream`] is made of.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request it answers.
    pub id: RequestId,
    /// The body as it comes.
    pub upstream: Upstream,
    /// Whether it is server-sent events.
    pub events: bool,
    /// For messages: the model or provider that answers.
    pub who: Arc<str>,
    /// The place on the engine.
    pub hold: Box<dyn Hold>,
}

/// Ends answers whose client or upstream does nothing for too long.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    patience: Patience,
    relays: Mutex<HashMap<RequestId, Weak<Relay>>>,
}

/// How long either side may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// With the client, to take what came.
    pub client: Duration,
    /// With the upstream, to say more.
    pub upstream: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>, patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            clock,
            patience,
            relays: Mutex::default(),
        })
    }

    /// Looks after all answers until the group drains.
    pub(super) fn spawn(self: &Arc<Self>, tasks: &TaskGroup) {
        let watch = Arc::clone(self);
        let draining = tasks.draining_token().clone();
        let watching = async move {
            let mut timer = tokio::time::interval(LOOK_EVERY);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                watch.look(watch.clock.now());
            }
        };
        // A shutdown ends all answers by itself.
        tasks.spawn("inference-watch", async move {
            draining.run_until_cancelled(watching).await
        });
    }

    /// Ends what has waited too long, as of `now`.
    fn look(&self, now: Instant) {
        let relays: Vec<_> = lock(&self.relays)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for relay in relays {
            relay.look(now, &self.patience);
        }
    }

    /// An answer to hand to a client.
    pub(super) fn relay(self: &Arc<Self>, answer: Answer) -> BodyStream {
        let relay = Arc::new(Relay {
            state: Mutex::new(State {
                upstream: Some((answer.upstream, answer.hold)),
                events: answer.events.then(Events::default),
                who: answer.who,
                waits: Waits::Client,
                since: self.clock.now(),
                waker: None,
                ended_by: None,
            }),
        });
        lock(&self.relays).insert(answer.id, Arc::downgrade(&relay));
        BodyStream {
            relay,
            watch: Arc::clone(self),
            id: answer.id,
        }
    }

    /// Ends the answer to a request, for a reason that its client is told.
    /// Whether there is such an answer.
    pub(super) fn end(&self, id: RequestId, reason: Error) -> bool {
        let relay = lock(&self.relays).get(&id).and_then(Weak::upgrade);
        relay.is_some_and(|relay| Relay::end(lock(&relay.state), reason, End::Left))
    }
}

impl Relay {
    fn look(&self, now: Instant, patience: &Patience) {
        let state = lock(&self.state);
        let waited = now.saturating_duration_since(state.since);
        let (error, how) = match state.waits {
            _ if state.upstream.is_none() => return,
            Waits::Client if waited > patience.client => {
                (Error::Stalled { after: waited }, End::Left)
            }
            Waits::Upstream if waited > patience.upstream => (
                Error::Silent {
                    who: state.who.to_string(),
                    after: waited,
                },
                End::Broken,
            ),
            Waits::Client | Waits::Upstream => return,
        };
        Self::end(state, error, how);
    }

    /// Whether it had not ended before.
    fn end(mut state: MutexGuard<'_, State>, reason: Error, how: End) -> bool {
        let Some(open) = state.close(how) else {
            return false;
        };
        tracing::info!(who = %state.who, %reason, "answer ended");
        state.ended_by = Some(reason);
        let waker = state.waker.take();
        // Neither the upstream's drop nor the client's task may run under the lock.
        drop(state);
        drop(open);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl State {
    /// Lets go of the upstream and of the place on it.
    fn close(&mut self, how: End) -> Option<(Upstream, Box<dyn Hold>)> {
        let mut open = self.upstream.take()?;
        open.1.ended(how);
        Some(open)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Some(error) = self.ended_by.take() {
                return Poll::Ready(Some(self.broken_off(error)));
            }
            let Some((upstream, _)) = &mut self.upstream else {
                return Poll::Ready(None);
            };
            match Pin::new(upstream).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if let Some(out) = self.pass(data) {
                        return Poll::Ready(Some(Ok(out)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.close(End::Broken);
                    let (who, reason) = (self.who.to_string(), root_cause(&*error));
                    tracing::warn!(%who, %reason, "upstream broke off in the middle of an answer");
                    self.ended_by = Some(Error::Cut { who, reason });
                }
                Poll::Ready(None) => {
                    self.close(End::Complete);
                    let rest = self.events.as_mut().and_then(Events::finish);
                    return Poll::Ready(rest.map(Ok));
                }
            }
        }
    }

    /// What of `data` may go out now. Lets go of the upstream with its last byte,
    /// not only when the client has taken it.
    fn pass(&mut self, data: Bytes) -> Option<Bytes> {
        let at_end = self
            .upstream
            .as_ref()
            .is_some_and(|(body, _)| body.is_end_stream());
        if at_end {
            self.close(End::Complete);
        }
        let Some(events) = &mut self.events else {
            return Some(data);
        };
        let out = events.push(data);
        if !at_end {
            return out;
        }
        match (out, events.finish()) {
            (Some(out), Some(rest)) => Some([out, rest].concat().into()),
            (out, rest) => out.or(rest),
        }
    }

    /// An event where events were promised, an error that cuts the connection else.
    fn broken_off(&mut self, error: Error) -> Result<Bytes, Error> {
        match &mut self.events {
            Some(events) => Ok(events.cut(&error.to_openai())),
            None => Err(error),
        }
    }
}

/// The innermost reason: the ones around it say only that something failed.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map_or_else(String::new, ToString::to_string)
}

impl Stream for BodyStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = lock(&self.relay.state);
        let polled = state.poll(context);
        state.since = self.watch.clock.now();
        if polled.is_pending() {
            state.waits = Waits::Upstream;
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                empty @ None => *empty = Some(context.waker().clone()),
            }
        } else {
            state.waits = Waits::Client;
        }
        polled
    }
}

impl http_body::Body for BodyStream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.poll_next(context).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.relay.state);
        state.upstream.is_none() && state.ended_by.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.relay.state);
        match (&state.upstream, &state.events) {
            (Some((upstream, _)), None) => upstream.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for BodyStream {
    fn drop(&mut self) {
        lock(&self.watch.relays).remove(&self.id);
        let open = lock(&self.relay.state).close(End::Left);
        drop(open);
    }
}

#[cfg(test)]
mod tests;
