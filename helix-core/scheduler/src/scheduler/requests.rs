//! Requests and models: what comes in, what is taken back, what ends.

use std::collections::BTreeMap;

use helix_proto::{InstanceId, ModelId, RequestId, queue::Priority};

use super::{Model, QueueKey, Running, Scheduler, Waiting};
use crate::{
    decision::{Action, RejectReason, StopReason},
    event::{ModelSpec, Outcome, RequestSpec},
    fleet::Phase,
};

/// How long a wish for an instance is kept when there is no room for it.
const PREWARM_MS: u64 = 600_000;

impl Scheduler {
    pub(super) fn request_queued(&mut self, spec: RequestSpec) {
        if self.waiting.contains_key(&spec.id) || self.running.contains_key(&spec.id) {
            return;
        }
        let id = spec.id;
        if !self.models.contains_key(&spec.model) {
            self.reject_new(id, RejectReason::UnknownModel);
            return;
        }
        let capacity = self.options.queue_capacity;
        if self.waiting.len() >= capacity as usize && self.free_place(spec.model).is_none() {
            let retry_after_ms = self.options.retry_after_ms;
            self.reject_new(
                id,
                RejectReason::QueueFull {
                    capacity,
                    retry_after_ms,
                },
            );
            return;
        }
        let key = self.queue_key(spec.priority);
        let waiting = Waiting {
            spec,
            key,
            queued_at_ms: self.now_ms,
            lost_before: false,
        };
        self.enqueue(waiting);
    }

    fn queue_key(&mut self, priority: Priority) -> QueueKey {
        let steps = match priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        (
            self.now_ms
                .saturating_add(self.options.aging_ms.saturating_mul(steps)),
            self.next_number(),
        )
    }

    fn enqueue(&mut self, request: Waiting) {
        if let Some(model) = self.models.get_mut(&request.spec.model) {
            model.waiting.insert(request.key, request.spec.id);
            self.waiting.insert(request.spec.id, request);
        }
    }

    /// Takes a request out of the queue.
    pub(super) fn dequeue(&mut self, id: RequestId) -> Option<Waiting> {
        let request = self.waiting.remove(&id)?;
        if let Some(model) = self.models.get_mut(&request.spec.model) {
            model.waiting.remove(&request.key);
        }
        Some(request)
    }

    /// Rejects a request that waits.
    pub(super) fn reject(&mut self, id: RequestId, why: RejectReason) {
        if self.dequeue(id).is_some() {
            self.reject_new(id, why);
        }
    }

    fn reject_new(&mut self, request: RequestId, why: RejectReason) {
        let reason = why.to_string();
        self.decide(Action::Reject { request, why }, reason);
    }

    pub(super) fn request_cancelled(&mut self, id: RequestId) {
        self.reject(id, RejectReason::Cancelled);
        self.release(id);
    }

    pub(super) fn request_finished(&mut self, id: RequestId, outcome: Outcome) {
        let Some(running) = self.release(id) else {
            // Cancelled in flight, and the driver, who lost it, waits for a word.
            if outcome == Outcome::LostBeforeResponse && !self.waiting.contains_key(&id) {
                self.reject_new(id, RejectReason::Cancelled);
            }
            return;
        };
        match outcome {
            Outcome::Completed => self.answered(&running),
            Outcome::Failed | Outcome::Cancelled => {}
            Outcome::LostBeforeResponse => self.lost(running),
        }
    }

    /// Frees the place of a request in flight.
    fn release(&mut self, id: RequestId) -> Option<Running> {
        let running = self.running.remove(&id)?;
        if let Some(instance) = self.instances.get_mut(&running.instance) {
            instance.in_flight = instance.in_flight.saturating_sub(1);
            instance.last_used_ms = self.now_ms;
        }
        Some(running)
    }

    /// An answer proves that the model works on the runner.
    fn answered(&mut self, running: &Running) {
        self.failures
            .remove(&(running.request.spec.model, running.runner));
        if let Some(instance) = self.instances.get_mut(&running.instance) {
            instance.completed += 1;
        }
    }

    fn lost(&mut self, running: Running) {
        if let Some(instance) = self.instances.get_mut(&running.instance) {
            instance.suspect_until_ms = self.now_ms.saturating_add(self.options.suspect_ms);
        }
        let request = running.request;
        let id = request.spec.id;
        if request.lost_before {
            let retry_after_ms = self.options.retry_after_ms;
            self.reject_new(id, RejectReason::Lost { retry_after_ms });
        } else if self.models.contains_key(&request.spec.model) {
            self.enqueue(Waiting {
                lost_before: true,
                ..request
            });
        } else {
            self.reject_new(id, RejectReason::UnknownModel);
        }
    }

    pub(super) fn model_put(&mut self, mut spec: ModelSpec) {
        spec.parallel = spec.parallel.max(1);
        spec.devices = spec.devices.max(1);
        let id = spec.id;
        let mut learned = std::mem::take(&mut spec.learned);
        let mut changed = false;
        let (mut waiting, mut prewarm_until_ms) = (BTreeMap::new(), None);
        if let Some(known) = self.models.remove(&id) {
            changed = known.spec.memory_key != spec.memory_key
                || known.spec.engine != spec.engine
                || known.spec.devices != spec.devices
                || known.spec.parallel != spec.parallel;
            if !changed {
                learned.extend(known.learned);
            }
            (waiting, prewarm_until_ms) = (known.waiting, known.prewarm_until_ms);
        }
        self.models.insert(
            id,
            Model {
                spec,
                learned,
                prewarm_until_ms,
                waiting,
            },
        );
        if changed {
            self.failures.retain(|(model, _), _| *model != id);
            self.retire_model(id, &StopReason::SettingsChanged);
        }
    }

    pub(super) fn model_removed(&mut self, id: ModelId) {
        let Some(model) = self.models.get(&id) else {
            return;
        };
        for request in model.waiting.values().copied().collect::<Vec<_>>() {
            self.reject(request, RejectReason::UnknownModel);
        }
        self.retire_model(id, &StopReason::ModelRemoved);
        self.models.remove(&id);
        self.failures.retain(|(model, _), _| *model != id);
    }

    fn retire_model(&mut self, id: ModelId, why: &StopReason) {
        let planned: Vec<_> = self
            .instances
            .values()
            .filter(|instance| instance.model == id && instance.is_planned())
            .map(|instance| instance.id)
            .collect();
        for instance in planned {
            self.cancel_plan(instance);
        }
        for instance in self
            .instances
            .values_mut()
            .filter(|instance| instance.model == id)
        {
            instance.retire = Some(why.clone());
        }
    }

    pub(super) fn prewarm(&mut self, id: ModelId) {
        let until = self.now_ms.saturating_add(PREWARM_MS);
        if let Some(model) = self.models.get_mut(&id) {
            model.prewarm_until_ms = Some(until);
        }
    }

    /// The instance of the model that should take its next request: the least
    /// loaded, and of those the one that was longest without a new one.
    pub(super) fn free_place(&self, model: ModelId) -> Option<InstanceId> {
        let parallel = self.models.get(&model)?.spec.parallel;
        self.instances
            .values()
            .filter(|instance| {
                instance.model == model
                    && instance.phase == Phase::Ready
                    && instance.retire.is_none()
                    && instance.in_flight < parallel
                    && instance.suspect_until_ms <= self.now_ms
                    && self
                        .runners
                        .get(&instance.runner)
                        .is_some_and(|r| r.takes_work())
            })
            .min_by_key(|instance| (instance.in_flight, instance.last_dispatch, instance.id))
            .map(|instance| instance.id)
    }

    /// Sends waiting requests to free places, in the order of the queue.
    pub(super) fn dispatch(&mut self) {
        let models: Vec<_> = self
            .models
            .iter()
            .filter(|(_, model)| !model.waiting.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for model in models {
            while let Some(request) = self
                .models
                .get(&model)
                .and_then(|model| model.waiting.values().next().copied())
            {
                let Some(instance) = self.free_place(model) else {
                    break;
                };
                self.dispatch_to(request, instance);
            }
        }
    }

    fn dispatch_to(&mut self, id: RequestId, to: InstanceId) {
        let number = self.next_number();
        if !self.instances.contains_key(&to) {
            return;
        }
        let Some(request) = self.dequeue(id) else {
            return;
        };
        let Some(instance) = self.instances.get_mut(&to) else {
            return;
        };
        instance.in_flight += 1;
        instance.last_used_ms = self.now_ms;
        instance.last_dispatch = number;
        let (runner, in_flight) = (instance.runner, instance.in_flight);
        let waited = self.now_ms.saturating_sub(request.queued_at_ms);
        let running = Running {
            request,
            instance: to,
            runner,
            started_at_ms: self.now_ms,
        };
        self.running.insert(id, running);
        self.decide(
            Action::Dispatch {
                request: id,
                instance: to,
                runner,
            },
            format!("least loaded, {in_flight} in flight now; waited {waited} ms"),
        );
    }
}
