//! Stores what conversations did. What several have to store at the same time is one transaction.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use helix_base::{Retry as _, Retryability};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::metrics::Counters;
use crate::{
    seal::Seal,
    store::{
        self, Store,
        agents::{Appended, Batch},
    },
};

/// While several have something to store, from one transaction to the next: what comes meanwhile
/// is stored together.
const PACE: Duration = Duration::from_millis(4);
/// Changes in a transaction, about.
const TOGETHER: usize = 4_096;

type Stored = Result<Option<Appended>, store::Error>;

/// Stores batches.
///
/// SQLite has one writer at a time, and whose turn it is, is better decided here than by waiting
/// for its lock and trying again. PostgreSQL has a disk to wait for with each transaction.
#[derive(Debug)]
pub(super) struct Writer {
    store: Store,
    seal: Seal,
    counters: Counters,
    waiting: Mutex<Vec<Job>>,
    /// Who stores now; with it, when the next may, where there are several.
    turn: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Job {
    batch: Batch,
    done: oneshot::Sender<Stored>,
}

impl Writer {
    pub(super) fn new(store: Store, seal: Seal, counters: Counters) -> Self {
        Self {
            store,
            seal,
            counters,
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Stores a batch; a session has one at a time. `None`: the session is gone, and nothing was
    /// stored. Whoever waits here stores what waits, for all.
    ///
    /// # Errors
    /// Nothing of the batch is stored, for its own sake or because the database could not.
    pub(super) async fn store(&self, batch: Batch, now_ms: u64) -> Stored {
        let (done, mut stored) = oneshot::channel();
        self.waiting().push(Job { batch, done });
        loop {
            let mut turn = tokio::select! {
                biased;
                stored = &mut stored => match stored {
                    Ok(stored) => return stored,
                    // Who had it in hand was aborted with it: the control plane ends.
                    Err(_) => return Err(store::Error::Unavailable(sqlx::Error::PoolClosed)),
                },
                turn = self.turn.lock() => turn,
            };
            if let Some(at) = *turn {
                sleep_until(at).await;
            }
            let jobs = self.take();
            let began = Instant::now();
            *turn = (jobs.len() > 1).then_some(began + PACE);
            self.write(jobs, now_ms).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Job>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of what waits, as much as goes together.
    fn take(&self) -> Vec<Job> {
        let mut waiting = self.waiting();
        let mut changes = 0;
        let fits = waiting.iter().take_while(|job| {
            let first = changes == 0;
            changes += job.batch.changes.len();
            first || changes <= TOGETHER
        });
        let count = fits.count();
        waiting.drain(..count).collect()
    }

    async fn write(&self, jobs: Vec<Job>, now_ms: u64) {
        if jobs.is_empty() {
            return;
        }
        let (batches, waits): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.batch, job.done)).unzip();
        match self.transaction(&batches, now_ms).await {
            Ok(stored) => {
                for (done, stored) in waits.into_iter().zip(stored) {
                    // Nobody waits where the control plane ends.
                    let _ = done.send(Ok(stored));
                }
            }
            Err(error) if batches.len() > 1 && error.retryability() == Retryability::Permanent => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "each batch by itself"
                );
                for (batch, done) in batches.into_iter().zip(waits) {
                    let stored = self.transaction(&[batch], now_ms).await;
                    let _ = done.send(stored.map(|mut stored| stored.pop().flatten()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for done in waits {
                    let _ = done.send(Err(store::Error::Together(Arc::clone(&error))));
                }
            }
        }
    }

    async fn transaction(
        &self,
        batches: &[Batch],
        now_ms: u64,
    ) -> Result<Vec<Option<Appended>>, store::Error> {
        let stored = self
            .store
            .append_agents(&self.seal, batches, now_ms)
            .await?;
        self.counters.stored(batches);
        Ok(stored)
    }
}
