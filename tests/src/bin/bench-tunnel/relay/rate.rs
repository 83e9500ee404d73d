//! So many bits per second, for all connections of one direction together.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, MutexGuard};

use crate::now;

/// The timer's grain is a millisecond; what was missed within this is caught up.
const BURST: Duration = Duration::from_millis(3);

/// A token bucket; those who want to send take turns.
#[derive(Debug)]
pub(super) struct Rate {
    /// Mbit/s; 0: as fast as it goes.
    mbit: AtomicU64,
    free: Mutex<Instant>,
}

/// The right to send once.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    limited: Option<(f64, MutexGuard<'a, Instant>)>,
}

impl Rate {
    pub(super) fn new(mbit: u64) -> Self {
        Self {
            mbit: AtomicU64::new(mbit),
            free: Mutex::new(now()),
        }
    }

    /// Is another from now on.
    pub(super) fn set(&self, mbit: u64) {
        self.mbit.store(mbit, Ordering::Relaxed);
    }

    /// Waits until something may be sent.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let mbit = self.mbit.load(Ordering::Relaxed);
        if mbit == 0 {
            return Turn { limited: None };
        }
        let rate = mbit as f64 * 1e6 / 8.0;
        let free = self.free.lock().await;
        if *free > now() {
            tokio::time::sleep_until((*free).into()).await;
        }
        Turn {
            limited: Some((rate, free)),
        }
    }
}

impl Turn<'_> {
    /// Notes what was sent.
    pub(super) fn charge(&mut self, bytes: usize) {
        if let Some((rate, free)) = &mut self.limited {
            let earliest = now().checked_sub(BURST).unwrap_or(**free);
            **free = earliest.max(**free) + Duration::from_secs_f64(bytes as f64 / *rate);
        }
    }
}
