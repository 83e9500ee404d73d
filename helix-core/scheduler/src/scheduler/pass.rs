//! What follows from the state as it is now, after each event.

use helix_proto::{InstanceId, ModelId, RequestId};

use super::Scheduler;
use crate::{
    decision::{RejectReason, StopReason},
    fleet::{Instance, Phase, Runner},
};

impl Scheduler {
    pub(super) fn pass(&mut self) {
        self.forget_lost_runners();
        self.forget_wishes();
        self.give_up_unacknowledged();
        self.repeat_stops();
        self.dispatch();
        self.expire();
        self.reject_hopeless();
        self.retire_idle();
        self.review_plans();
        self.start_instances();
        self.stop_retired();
    }

    /// Wishes for an instance that came true, or were not to be.
    fn forget_wishes(&mut self) {
        let instances = &self.instances;
        for (id, model) in &mut self.models {
            let there = || {
                let mut all = instances.values();
                all.any(|i| i.model == *id && i.is_usable() && !i.is_planned())
            };
            model.prewarm_until_ms = model
                .prewarm_until_ms
                .filter(|until| *until > self.now_ms && !there());
        }
    }

    /// Starts that a runner never confirmed.
    fn give_up_unacknowledged(&mut self) {
        let silent = self.ids_where(|scheduler, instance| match instance.phase {
            Phase::Starting {
                told_at_ms,
                acknowledged: false,
            } => scheduler.is_reachable(instance) && scheduler.is_overdue(told_at_ms),
            _ => false,
        });
        for id in silent {
            let Some(instance) = self.instances.get(&id) else {
                continue;
            };
            let (model, runner) = (instance.model, instance.runner);
            let message = "the runner did not confirm the start in time".to_owned();
            let kind = helix_proto::runner::FailureKind::ReadyTimeout;
            let log = Vec::new();
            self.note_failure(
                model,
                runner,
                helix_proto::runner::Failure { kind, message, log },
            );
            self.tell_stop(id, StopReason::NotAcknowledged);
        }
    }

    /// Stops that a runner never confirmed are told again.
    fn repeat_stops(&mut self) {
        let silent = self.ids_where(|scheduler, instance| match instance.phase {
            Phase::Stopping { told_at_ms, .. } => {
                scheduler.is_reachable(instance) && scheduler.is_overdue(told_at_ms)
            }
            _ => false,
        });
        for id in silent {
            if let Some(Phase::Stopping { why, .. }) = self
                .instances
                .get(&id)
                .map(|instance| instance.phase.clone())
            {
                self.tell_stop(id, why);
            }
        }
    }

    const fn is_overdue(&self, told_at_ms: u64) -> bool {
        told_at_ms.saturating_add(self.options.acknowledge_ms) <= self.now_ms
    }

    pub(super) fn is_reachable(&self, instance: &Instance) -> bool {
        self.runners
            .get(&instance.runner)
            .is_some_and(Runner::is_reachable)
    }

    pub(super) fn is_away(&self, instance: &Instance) -> bool {
        self.runners
            .get(&instance.runner)
            .is_some_and(|r| r.away_since.is_some())
    }

    pub(super) fn ids_where(&self, which: impl Fn(&Self, &Instance) -> bool) -> Vec<InstanceId> {
        self.instances
            .values()
            .filter(|instance| which(self, instance))
            .map(|instance| instance.id)
            .collect()
    }

    /// Requests whose deadline has passed.
    fn expire(&mut self) {
        let expired: Vec<_> = self
            .waiting
            .values()
            .filter(|request| request.spec.deadline_at_ms <= self.now_ms)
            .map(|request| {
                (
                    request.spec.id,
                    self.now_ms.saturating_sub(request.queued_at_ms),
                )
            })
            .collect();
        // All reasons first: each is about the queue as it was.
        let reasons: Vec<_> = expired.iter().map(|(id, _)| self.explain(*id)).collect();
        for ((id, waited_ms), reason) in expired.into_iter().zip(reasons) {
            if let Some(waiting_for) = reason.map(Box::new) {
                self.reject(
                    id,
                    RejectReason::TimedOut {
                        waited_ms,
                        waiting_for,
                    },
                );
            }
        }
    }

    /// Requests that nothing known could ever serve.
    fn reject_hopeless(&mut self) {
        for model in self.wanted_models() {
            let Some(why) = self.refusal(model) else {
                continue;
            };
            if let Some(model) = self.models.get_mut(&model) {
                model.prewarm_until_ms = None;
            }
            for request in self.waiting_of(model) {
                self.reject(request, why.clone());
            }
        }
    }

    fn waiting_of(&self, model: ModelId) -> Vec<RequestId> {
        self.models
            .get(&model)
            .map(|model| model.waiting.values().copied().collect())
            .unwrap_or_default()
    }

    /// Models that requests wait for, or someone wants, in the order of the queue.
    pub(super) fn wanted_models(&self) -> Vec<ModelId> {
        let mut wanted: Vec<_> = self
            .models
            .iter()
            .filter(|(_, model)| !model.waiting.is_empty() || model.prewarm_until_ms.is_some())
            .map(|(id, model)| (model.head(), *id))
            .collect();
        wanted.sort_unstable();
        wanted.into_iter().map(|(_, id)| id).collect()
    }

    /// Marks instances that should take nothing new: of draining runners, and
    /// those idle for as long as their model allows.
    fn retire_idle(&mut self) {
        let mut retired = Vec::new();
        for instance in self.instances.values() {
            if instance.retire.is_some() || instance.is_planned() || instance.is_stopping() {
                continue;
            }
            let draining = self
                .runners
                .get(&instance.runner)
                .is_some_and(|r| r.draining);
            if draining {
                retired.push((instance.id, StopReason::RunnerDraining));
            } else if !self.is_away(instance) && self.is_idle_too_long(instance) {
                retired.push((instance.id, StopReason::Idle));
            }
        }
        for (id, why) in retired {
            self.retire(id, why);
        }
    }

    fn is_idle_too_long(&self, instance: &Instance) -> bool {
        let Some(model) = self.models.get(&instance.model) else {
            return false;
        };
        let Some(timeout) = model.spec.idle_timeout_ms else {
            return false;
        };
        instance.phase == Phase::Ready
            && instance.in_flight == 0
            && model.waiting.is_empty()
            && instance.last_used_ms.saturating_add(timeout) <= self.now_ms
    }

    /// Stops instances that take nothing new and have nothing left to do, once
    /// their runners can be told.
    pub(super) fn stop_retired(&mut self) {
        let done = self.ids_where(|scheduler, instance| {
            instance.retire.is_some()
                && !scheduler.is_away(instance)
                && instance.in_flight == 0
                && !instance.is_planned()
                && !instance.is_stopping()
        });
        for id in done {
            if let Some(why) = self.instances.get(&id).and_then(|i| i.retire.clone()) {
                self.tell_stop(id, why);
            }
        }
    }
}
