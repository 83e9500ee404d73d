//! So many bits per second, for all connections of one direction together.

use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use crate::now;

/// The timer's grain is a millisecond; what was missed within this is caught up.
const BURST: Duration = Duration::from_millis(3);

/// A token bucket; those who want to send take turns.
#[derive(Debug)]
pub(super) struct Rate {
    /// None: as fast as it goes.
    bytes_per_second: Option<f64>,
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
            bytes_per_second: (mbit > 0).then(|| mbit as f64 * 1e6 / 8.0),
            free: Mutex::new(now()),
        }
    }

    /// Waits until something may be sent.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let Some(rate) = self.bytes_per_second else {
            return Turn { limited: None };
        };
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
