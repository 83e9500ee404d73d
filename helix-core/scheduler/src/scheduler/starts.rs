//! Failed starts: pauses that grow, and the point where waiting makes no sense.

use helix_proto::{ModelId, RunnerId, runner::Failure};

use super::{Failures, Scheduler};

impl Scheduler {
    pub(super) fn note_failure(&mut self, model: ModelId, runner: RunnerId, last: Failure) {
        if !self.models.contains_key(&model) || !self.runners.contains_key(&runner) {
            return;
        }
        let count = self
            .failures
            .get(&(model, runner))
            .map_or(1, |known| known.count + 1);
        let doublings = (count - 1).min(32);
        let pause = self
            .options
            .failure_backoff_ms
            .saturating_mul(1 << doublings)
            .min(self.options.failure_backoff_cap_ms);
        let next_try_at_ms = self.now_ms.saturating_add(pause);
        self.failures.insert(
            (model, runner),
            Failures {
                count,
                next_try_at_ms,
                last,
            },
        );
    }

    /// Whether the model must not be started on the runner yet.
    pub(super) fn is_pausing(&self, model: ModelId, runner: RunnerId) -> bool {
        self.failures
            .get(&(model, runner))
            .is_some_and(|f| f.next_try_at_ms > self.now_ms)
    }

    pub(super) fn is_exhausted(&self, model: ModelId, runner: RunnerId) -> bool {
        self.is_pausing(model, runner)
            && self
                .failures
                .get(&(model, runner))
                .is_some_and(|f| f.is_exhausted(self.options.failures_until_rejected))
    }
}
