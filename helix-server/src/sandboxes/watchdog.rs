//! Ends what takes too long, and tries again what must be done.

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use helix_proto::{
    SandboxId,
    sandbox::{SandboxEnd, SandboxEndKind, SandboxState},
};
use tokio::time::MissedTickBehavior;

use super::Sandboxes;

/// How long after one look at the deadlines the next is at least.
const LOOK: Duration = Duration::from_millis(500);

/// How often a removal is tried again that did not work.
const TRY_AGAIN: Duration = Duration::from_secs(60);

impl Sandboxes {
    pub(super) fn spawn_watchdog(&self) {
        let draining = self.inner.tasks.draining_token().clone();
        let watching = self.clone().watch();
        self.inner.tasks.spawn("sandbox watchdog", async move {
            draining.run_until_cancelled(watching).await;
        });
    }

    async fn watch(self) {
        let mut again = tokio::time::interval(TRY_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once.
        again.tick().await;
        loop {
            tokio::select! {
                _ = again.tick() => self.remove_leftovers().await,
                () = self.inner.expecting.notified() => {}
                () = tokio::time::sleep(self.until_due()) => {
                    for (at_ms, id) in self.due() {
                        self.time_out(at_ms, id).await;
                    }
                }
            }
        }
    }

    pub(super) fn deadlines(&self) -> MutexGuard<'_, BTreeSet<(u64, SandboxId)>> {
        let deadlines = &self.inner.deadlines;
        deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait for the first deadline.
    fn until_due(&self) -> Duration {
        let now_ms = self.inner.clock.now_ms();
        let first = self.deadlines().first().copied();
        first.map_or(TRY_AGAIN, |(at_ms, _)| {
            LOOK.max(Duration::from_millis(at_ms.saturating_sub(now_ms)))
        })
    }

    /// The deadlines that are over.
    fn due(&self) -> Vec<(u64, SandboxId)> {
        let now_ms = self.inner.clock.now_ms();
        let mut deadlines = self.deadlines();
        let mut due = Vec::new();
        while let Some(first) = deadlines.first().copied().filter(|(at, _)| *at <= now_ms) {
            deadlines.remove(&first);
            due.push(first);
        }
        due
    }

    async fn time_out(&self, at_ms: u64, id: SandboxId) {
        let seconds = self.inner.options.create_timeout.as_secs();
        let end = SandboxEnd {
            kind: SandboxEndKind::Timeout,
            message: format!("it did not run within {seconds} s: see its log and its host"),
        };
        let store = &self.inner.store;
        let now_ms = self.inner.clock.now_ms();
        match store.time_out_sandbox(id, &end, now_ms).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(sandbox = %id, "a sandbox did not run in time");
                // What cannot be told is seen when lists are fetched again, and what
                // cannot be removed goes with the next live set.
                if let Ok(Some(sandbox)) = store.sandbox(id).await {
                    if sandbox.abandoned && self.client(sandbox.host_id).is_ok() {
                        self.spawn_removal(sandbox.clone());
                    }
                    self.tell(sandbox);
                }
            }
            Err(error) => {
                tracing::warn!(sandbox = %id, %error, "a sandbox that takes too long cannot be ended yet");
                self.deadlines().insert((at_ms, id));
            }
        }
    }

    /// Removes what was deleted and is still on hosts that can be asked.
    async fn remove_leftovers(&self) {
        match self.inner.store.sandboxes_in(SandboxState::Deleted).await {
            Ok(left) => {
                for sandbox in left {
                    if self.client(sandbox.host_id).is_ok() {
                        self.spawn_removal(sandbox);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "deleted sandboxes cannot be read"),
        }
    }
}
