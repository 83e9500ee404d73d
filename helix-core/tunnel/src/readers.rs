//! Bodies and pipes that somebody reads, and what becomes of those that nobody reads.
//!
//! HTTP/2 bounds what unread bodies hold, per stream and per connection; so enough
//! stalled readers freeze all others on the connection. Each body therefore notes when
//! it was last read from, and a sweep resets those that stalled too long, or first where
//! too many stall at once.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{Error, Limits, channel::UnderWay, handle::Handle};

/// A body that arrives over a tunnel. Dropping it resets its stream.
pub struct Body {
    slot: Arc<Slot<Incoming>>,
    started: Instant,
    handle: Arc<Handle>,
    _request: Option<UnderWay>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// The part of a body or pipe that the sweep can reach.
#[derive(Debug)]
struct Slot<T> {
    /// None once it has ended or was reset.
    held: Mutex<Option<T>>,
    /// Milliseconds from the start until it was last read from, plus one; zero while
    /// its reader waits for it, and when there is nothing more to read.
    left_at: AtomicU64,
    was_reset: AtomicBool,
}

/// What the sweep does with any of them.
trait Swept: fmt::Debug + Send + Sync {
    fn left_at(&self) -> u64;
    fn reset(&self);
}

impl<T> Slot<T> {
    const fn new(held: T) -> Self {
        Self {
            held: Mutex::new(Some(held)),
            left_at: AtomicU64::new(0),
            was_reset: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that its reader waits for more, or that there is no more.
    fn waits(&self) {
        self.left_at.store(0, Ordering::Relaxed);
    }

    /// Notes that its reader went away with what there was.
    fn left(&self, started: Instant) {
        let left_at = millis(started.elapsed()) + 1;
        self.left_at.store(left_at, Ordering::Relaxed);
    }
}

impl<T: fmt::Debug + Send> Swept for Slot<T> {
    fn left_at(&self) -> u64 {
        self.left_at.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.was_reset.store(true, Ordering::Relaxed);
        // Dropped outside of the lock.
        let held = self.lock().take();
        drop(held);
    }
}

/// All bodies of one connection.
#[derive(Debug)]
pub(crate) struct Readers {
    started: Instant,
    limits: Limits,
    slots: Mutex<Vec<Weak<dyn Swept>>>,
}

impl Readers {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            started: Instant::now(),
            limits,
            slots: Mutex::default(),
        }
    }

    /// Watches a body; the request that it answers is over with it.
    pub(crate) fn watch(
        &self,
        body: Incoming,
        request: Option<UnderWay>,
        handle: &Arc<Handle>,
    ) -> Body {
        let ended = body.is_end_stream();
        let slot = self.keep(body);
        if !ended {
            slot.left(self.started);
        }
        Body {
            slot,
            started: self.started,
            handle: Arc::clone(handle),
            _request: request,
        }
    }

    fn keep<T: fmt::Debug + Send + 'static>(&self, held: T) -> Arc<Slot<T>> {
        let slot = Arc::new(Slot::new(held));
        let swept: Weak<dyn Swept> = Arc::downgrade(&slot) as _;
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(swept);
        slot
    }

    /// Watches a pipe; the request that it answers is over with it.
    pub(crate) fn watch_pipe(&self, upgraded: Upgraded, request: Option<UnderWay>) -> Pipe {
        Pipe {
            slot: self.keep(TokioIo::new(upgraded)),
            started: self.started,
            _request: request,
        }
    }

    /// Sweeps for as long as it is polled.
    pub(crate) async fn sweep(&self) {
        let grace = self.limits.stall_grace.min(self.limits.stall_timeout);
        let every = (grace / 4).clamp(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            tokio::time::sleep(every).await;
            self.sweep_once();
        }
    }

    fn sweep_once(&self) {
        let mut live = Vec::new();
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|slot| {
                let upgraded = slot.upgrade();
                let keep = upgraded.is_some();
                live.extend(upgraded);
                keep
            });
        let now = millis(self.started.elapsed()) + 1;
        let idle: Vec<_> = live
            .iter()
            .map(|slot| match slot.left_at() {
                0 => Duration::ZERO,
                left_at => Duration::from_millis(now.saturating_sub(left_at)),
            })
            .collect();
        for index in overdue(&idle, &self.limits) {
            tracing::warn!(idle = ?idle[index], "reset a body that nobody reads");
            live[index].reset();
        }
    }
}

/// Which bodies to reset, given how long each has not been read from.
fn overdue(idle: &[Duration], limits: &Limits) -> Vec<usize> {
    let mut stalled: Vec<_> = (0..idle.len())
        .filter(|index| idle[*index] >= limits.stall_grace)
        .collect();
    stalled.sort_by_key(|index| std::cmp::Reverse(idle[*index]));
    let too_many = stalled.len().saturating_sub(limits.max_stalled());
    let too_long = stalled
        .iter()
        .take_while(|index| idle[**index] >= limits.stall_timeout)
        .count();
    stalled.truncate(too_many.max(too_long));
    stalled
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let mut slot = this.slot.lock();
        let Some(body) = slot.as_mut() else {
            let stalled = this.slot.was_reset.swap(false, Ordering::Relaxed);
            return Poll::Ready(stalled.then_some(Err(Error::Stalled)));
        };
        this.slot.waits();
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if matches!(frame, Some(Ok(_))) {
            if !body.is_end_stream() {
                this.slot.left(this.started);
            }
        } else {
            *slot = None;
        }
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| match this.handle.ended() {
                Some(reason) => Error::Closed(reason),
                None => Error::Stream(error),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &*self.slot.lock() {
            Some(body) => body.is_end_stream(),
            None => !self.slot.was_reset.load(Ordering::Relaxed),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.slot
            .lock()
            .as_ref()
            .map(Incoming::size_hint)
            .unwrap_or_default()
    }
}

/// A stream of bytes both ways over a tunnel: an accepted CONNECT. Dropping it resets
/// its stream.
pub struct Pipe {
    slot: Arc<Slot<TokioIo<Upgraded>>>,
    started: Instant,
    _request: Option<UnderWay>,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    /// Does something with what is there.
    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut TokioIo<Upgraded>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.slot.lock().as_mut() {
            Some(io) => act(Pin::new(io)),
            None => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Error::Stalled))),
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        self.slot.waits();
        let read = self.with(|io| io.poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.slot.left(self.started);
        }
        read
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        // Four stalled bodies are left alone.
        Limits {
            stream_window: 1 << 20,
            connection_window: 8 << 20,
            ..Limits::default()
        }
    }

    fn seconds(idle: &[u64]) -> Vec<Duration> {
        idle.iter()
            .map(|seconds| Duration::from_secs(*seconds))
            .collect()
    }

    #[test]
    fn a_body_is_reset_after_the_timeout_and_not_before() {
        assert_eq!(overdue(&seconds(&[0, 59, 60, 61]), &limits()), [3, 2]);
    }

    #[test]
    fn where_too_many_stall_the_first_to_stall_goes() {
        assert_eq!(
            overdue(&seconds(&[11, 30, 12, 40, 13, 5, 14]), &limits()),
            [3, 1]
        );
        assert_eq!(
            overdue(&seconds(&[11, 12, 13, 14]), &limits()),
            Vec::<usize>::new()
        );
    }

    proptest! {
        #[test]
        fn no_more_than_allowed_stay_stalled_and_no_active_reader_is_reset(
            idle in prop::collection::vec(0_u64..90, 0..40),
        ) {
            let reset = overdue(&seconds(&idle), &limits());
            for index in &reset {
                prop_assert!(idle[*index] >= 10);
            }
            let left: Vec<_> = (0..idle.len()).filter(|index| !reset.contains(index)).collect();
            prop_assert!(left.iter().filter(|index| idle[**index] >= 10).count() <= 4);
            prop_assert!(left.iter().all(|index| idle[*index] < 60));
        }
    }
}
