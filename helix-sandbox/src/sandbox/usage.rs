//! When a sandbox was last used, and by how many at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use helix_base::Clock;
use helix_proto::sandbox::SandboxStats;
use tokio::sync::OwnedSemaphorePermit;

#[derive(Debug)]
pub(crate) struct Usage {
    used_at_ms: AtomicU64,
    open: AtomicUsize,
}

impl Usage {
    pub(crate) const fn new(used_at_ms: u64) -> Self {
        Self {
            used_at_ms: AtomicU64::new(used_at_ms),
            open: AtomicUsize::new(0),
        }
    }

    /// It is used now.
    pub(crate) fn touch(&self, now: u64) {
        self.used_at_ms.fetch_max(now, Ordering::Relaxed);
    }

    /// When it was last used: now, while a request is under way.
    pub(crate) fn last(&self, now: u64) -> u64 {
        if self.open.load(Ordering::Relaxed) > 0 {
            self.touch(now);
        }
        self.used_at_ms.load(Ordering::Relaxed)
    }
}

/// Whether a request is a use of the sandbox, which keeps it from being idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// It is one.
    Use,
    /// It only looks from outside.
    Glance,
}

/// A request under way: the sandbox is in use for as long as this lives.
#[derive(Debug)]
pub(crate) struct InUse {
    usage: Arc<Usage>,
    clock: Arc<dyn Clock>,
    counted: bool,
    _place: OwnedSemaphorePermit,
}

impl InUse {
    pub(super) fn new(
        usage: &Arc<Usage>,
        clock: &Arc<dyn Clock>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        usage.touch(clock.now_ms());
        usage.open.fetch_add(1, Ordering::Relaxed);
        Self {
            usage: Arc::clone(usage),
            clock: Arc::clone(clock),
            counted: true,
            _place: place,
        }
    }

    /// A request that is no use of the sandbox, such as one for what others are shown of it.
    pub(super) fn glance(
        usage: &Arc<Usage>,
        clock: &Arc<dyn Clock>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            usage: Arc::clone(usage),
            clock: Arc::clone(clock),
            counted: false,
            _place: place,
        }
    }

    /// From now on it is a use only when bytes come: a terminal that somebody forgot in a
    /// tab is none.
    pub(crate) fn by_bytes(mut self) -> Self {
        self.uncount();
        self
    }

    /// Bytes came.
    pub(crate) fn touch(&self) {
        self.usage.touch(self.clock.now_ms());
    }

    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.usage.touch(self.clock.now_ms());
            self.usage.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.uncount();
    }
}

/// Processor time in use between two measurements, in thousandths of a core.
pub(super) fn cpu_millis(last: &SandboxStats, now: &SandboxStats) -> u32 {
    let elapsed = now.at_ms.saturating_sub(last.at_ms);
    if last.at_ms == 0 || elapsed == 0 {
        return 0;
    }
    // Microseconds in a millisecond are thousandths.
    let used = now.cpu_us.saturating_sub(last.cpu_us) / elapsed;
    u32::try_from(used).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_is_no_use_however_long_it_takes() {
        let usage = Arc::new(Usage::new(7));
        let clock: Arc<dyn Clock> = Arc::new(helix_base::SystemClock);
        let places = Arc::new(tokio::sync::Semaphore::new(2));
        let place = || Arc::clone(&places).try_acquire_owned().unwrap();
        let glance = InUse::glance(&usage, &clock, place());
        assert_eq!(usage.last(clock.now_ms()), 7);
        drop(glance);
        assert_eq!(usage.last(clock.now_ms()), 7);
        let _in_use = InUse::new(&usage, &clock, place());
        assert!(usage.last(clock.now_ms()) > 7);
    }

    #[test]
    fn processor_time_is_counted_between_measurements() {
        let at = |at_ms, cpu_us| SandboxStats {
            at_ms,
            cpu_us,
            ..SandboxStats::default()
        };
        assert_eq!(cpu_millis(&at(0, 0), &at(1_000, 9_000_000)), 0);
        assert_eq!(cpu_millis(&at(1_000, 500), &at(3_000, 3_000_500)), 1_500);
        assert_eq!(
            cpu_millis(&at(1_000, 500), &at(2_000, 0)),
            0,
            "it was started anew"
        );
    }
}
