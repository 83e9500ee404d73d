//! Time as an argument: pure code takes `now`, drivers ask a [`Clock`].

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use helix_proto::TypedId;
use rand::RngExt as _;

/// Where the time comes from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, for people and for databases.
    fn now_ms(&self) -> u64;

    /// A monotonic instant, for measuring and for deadlines.
    fn now(&self) -> Instant;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the injected clock")]
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the injected clock")]
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that moves when told to, for tests.
#[derive(Debug, Clone)]
pub struct ManualClock {
    base: Instant,
    elapsed: Arc<Mutex<(u64, Duration)>>,
}

impl ManualClock {
    /// A clock that stands at `now_ms` milliseconds since the Unix epoch.
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary zero for the monotonic side"
    )]
    pub fn new(now_ms: u64) -> Self {
        Self {
            base: Instant::now(),
            elapsed: Arc::new(Mutex::new((now_ms, Duration::ZERO))),
        }
    }

    /// Moves both sides of the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut elapsed = self
            .elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        elapsed.0 += u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        elapsed.1 += by;
    }

    fn read(&self) -> (u64, Duration) {
        *self
            .elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.read().0
    }

    fn now(&self) -> Instant {
        self.base + self.read().1
    }
}

/// Makes typed ids from a clock and the operating system's randomness.
#[derive(Debug, Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
}

impl Ids {
    /// Ids that carry the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// A new id.
    pub fn next<T: TypedId>(&self) -> T {
        T::from_parts(self.clock.now_ms(), rand::rng().random())
    }
}
