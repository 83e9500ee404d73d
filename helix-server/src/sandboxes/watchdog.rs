//! Ends what takes too long, and tries again what must be done.

use std::{sync::PoisonError, time::Duration};

use helix_proto::{
    SandboxId,
    sandbox::{SandboxEnd, SandboxEndKind, SandboxState},
};
use tokio::time::MissedTickBehavior;

use super::Sandboxes;

/// How often deadlines are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often a removal is tried again that did not work, in looks.
const TRY_AGAIN: u32 = 120;

impl Sandboxes {
    pub(super) fn spawn_watchdog(&self) {
        let draining = self.inner.tasks.draining_token().clone();
        let watching = self.clone().watch();
        self.inner.tasks.spawn("sandbox watchdog", async move {
            draining.run_until_cancelled(watching).await;
        });
    }

    async fn watch(self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = 0_u32;
        loop {
            looks.tick().await;
            for (at_ms, id) in self.due() {
                self.time_out(at_ms, id).await;
            }
            looked = looked.wrapping_add(1);
            if looked.is_multiple_of(TRY_AGAIN) {
                self.remove_leftovers().await;
            }
        }
    }

    /// The deadlines that are over.
    fn due(&self) -> Vec<(u64, SandboxId)> {
        let now_ms = self.inner.clock.now_ms();
        let mut deadlines = self
            .inner
            .deadlines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
                self.inner
                    .deadlines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert((at_ms, id));
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
