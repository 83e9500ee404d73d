//! What follows from the state as it is now, after each event.

use helix_proto::{InstanceId, ModelId, RequestId, model::EngineKind};

use super::{
    Model, QueueKey, Scheduler,
    place::{KINDS, Mode, Placement},
};
use crate::{
    decision::{Action, RejectReason, StopReason},
    fleet::{Instance, Phase},
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
            } => scheduler.is_online(instance) && scheduler.is_overdue(told_at_ms),
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
                scheduler.is_online(instance) && scheduler.is_overdue(told_at_ms)
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

    fn is_online(&self, instance: &Instance) -> bool {
        self.runners
            .get(&instance.runner)
            .is_some_and(|r| r.offline_since.is_none())
    }

    fn ids_where(&self, which: impl Fn(&Self, &Instance) -> bool) -> Vec<InstanceId> {
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
    fn wanted_models(&self) -> Vec<ModelId> {
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
            } else if self.is_idle_too_long(instance) {
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

    /// Starts plans whose room is there, and drops those that make no sense now.
    fn review_plans(&mut self) {
        for id in self.ids_where(|_, instance| instance.is_planned()) {
            let Some(instance) = self.instances.get(&id) else {
                continue;
            };
            let Phase::Planned { victims } = &instance.phase else {
                continue;
            };
            let wanted = self
                .models
                .get(&instance.model)
                .is_some_and(|model| !model.waiting.is_empty() || model.prewarm_until_ms.is_some());
            let in_the_way = victims
                .iter()
                .any(|victim| self.instances.contains_key(victim));
            let pausing = self.is_pausing(instance.model, instance.runner);
            if wanted && !pausing && self.fits(instance) {
                self.start(id, "its room is free now");
            } else if !wanted || pausing || !in_the_way {
                self.cancel_plan(id);
            }
        }
    }

    /// Whether a plan's room is free, reckoned with what was started only.
    fn fits(&self, plan: &Instance) -> bool {
        let Some(runner) = self.runners.get(&plan.runner) else {
            return false;
        };
        plan.devices.iter().all(|memory| {
            runner.device(&memory.device).is_some_and(|device| {
                let started = self.started_bytes(plan.runner, &memory.device);
                started.saturating_add(memory.bytes) <= self.capacity_bytes(device)
            })
        })
    }

    /// Drops a plan; what was to make way for it and was not told yet goes on.
    pub(super) fn cancel_plan(&mut self, id: InstanceId) {
        self.instances.remove(&id);
        for instance in self.instances.values_mut() {
            let for_plan = matches!(
                &instance.retire, Some(StopReason::Evicted { instance, .. }) if *instance == id
            );
            if for_plan && !instance.is_stopping() {
                instance.retire = None;
            }
        }
        // What may be used again has perhaps requests waiting for it.
        self.dispatch();
    }

    fn start_instances(&mut self) {
        for model in self.wanted_models() {
            while self.wants_instance(model) {
                let Some((placement, why)) = self.find_placement(model) else {
                    break;
                };
                self.drop_waiting_plan(model);
                self.begin(model, placement, why);
            }
        }
    }

    /// Whether more wait for the model than instances on their way will take.
    fn wants_instance(&self, id: ModelId) -> bool {
        let Some(model) = self.models.get(&id) else {
            return false;
        };
        let (mut all, mut usable, mut coming) = (0, 0, 0);
        for instance in self
            .instances
            .values()
            .filter(|instance| instance.model == id)
        {
            all += 1;
            if instance.is_usable() {
                usable += 1;
                coming += u32::from(self.is_coming(instance));
            }
        }
        // A plan that waits for others to finish gives way to a better one.
        let replaceable = u32::from(self.waiting_plan(id).is_some());
        let covered = (coming - replaceable).saturating_mul(model.spec.parallel) as usize;
        if all - replaceable >= model.spec.max_instances {
            return false;
        }
        match usable - replaceable {
            0 => true,
            _ => model.waiting.len() > covered && self.has_waited(model),
        }
    }

    /// Whether the backlog is older than a passing burst.
    fn has_waited(&self, model: &Model) -> bool {
        let none_ready = !self.instances.values().any(|instance| {
            instance.model == model.spec.id
                && instance.phase == Phase::Ready
                && instance.is_usable()
        });
        none_ready || self.head_waited_ms(model) >= self.options.scale_up_after_ms
    }

    fn head_waited_ms(&self, model: &Model) -> u64 {
        let head = model
            .waiting
            .values()
            .next()
            .and_then(|id| self.waiting.get(id));
        head.map_or(0, |head| self.now_ms.saturating_sub(head.queued_at_ms))
    }

    /// Whether an instance will take requests before long, but does not yet.
    pub(super) fn is_coming(&self, instance: &Instance) -> bool {
        match instance.phase {
            Phase::Planned { .. } | Phase::Starting { .. } => true,
            Phase::Ready => !self.is_online(instance),
            Phase::Stopping { .. } => false,
        }
    }

    /// A plan of the model for which nothing was stopped yet.
    fn waiting_plan(&self, model: ModelId) -> Option<InstanceId> {
        self.instances
            .values()
            .filter(|instance| instance.model == model)
            .find(|instance| match &instance.phase {
                Phase::Planned { victims } => !victims
                    .iter()
                    .any(|victim| self.instances.get(victim).is_some_and(|v| v.is_stopping())),
                _ => false,
            })
            .map(|instance| instance.id)
    }

    fn drop_waiting_plan(&mut self, model: ModelId) {
        if let Some(plan) = self.waiting_plan(model) {
            self.cancel_plan(plan);
        }
    }

    /// Where the next instance of the model goes, and why there.
    fn find_placement(&self, id: ModelId) -> Option<(Placement, &'static str)> {
        let model = self.models.get(&id)?;
        let has_one = self
            .instances
            .values()
            .any(|i| i.model == id && i.is_usable() && !i.is_planned());
        let has_plan = self.waiting_plan(id).is_some();
        let idle_for_ms = if has_one { self.options.hold_ms } else { 0 };
        let idle = Mode::EvictIdle { idle_for_ms };
        for kind in KINDS {
            if let Some(placement) = self.place(model, kind, Mode::Free) {
                return Some((placement, "there is room"));
            }
            if let Some(placement) = self.place(model, kind, idle) {
                return Some((placement, "idle instances make way"));
            }
        }
        let patient = self.head_waited_ms(model) >= self.options.patience_ms;
        if !patient || has_one || has_plan {
            return None;
        }
        let key = model.head();
        KINDS.iter().find_map(|kind| {
            let placement = self.place(model, *kind, Mode::EvictBusy { key })?;
            Some((
                placement,
                "it waited long enough: busy instances make way when they are done",
            ))
        })
    }

    /// Claims the room of a placement, and starts at once if nothing is there.
    fn begin(&mut self, model: ModelId, placement: Placement, why: &'static str) {
        let id = self.next_instance_id();
        let Some(spec) = self.models.get(&model).map(|model| &model.spec) else {
            return;
        };
        let name = spec.name.clone();
        let guessed = spec.need.is_none() && spec.engine != EngineKind::External;
        let instance = Instance {
            id,
            runner: placement.runner,
            model,
            memory_key: spec.memory_key.clone(),
            phase: Phase::Planned {
                victims: placement.victims.clone(),
            },
            retire: None,
            devices: placement.devices,
            guessed,
            peak: Default::default(),
            in_flight: 0,
            completed: 0,
            last_used_ms: self.now_ms,
            ready_at_ms: self.now_ms,
            suspect_until_ms: 0,
            last_dispatch: 0,
            progress: None,
        };
        self.instances.insert(id, instance);
        for victim in &placement.victims {
            self.retire(
                *victim,
                StopReason::Evicted {
                    instance: id,
                    model: name.clone(),
                },
            );
        }
        if placement.victims.is_empty() {
            self.start(id, why);
        } else {
            self.stop_retired();
        }
    }

    /// Tells the runner to start an instance whose room is claimed and free.
    fn start(&mut self, id: InstanceId, why: &str) {
        let now_ms = self.now_ms;
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        instance.phase = Phase::Starting {
            told_at_ms: now_ms,
            acknowledged: false,
        };
        instance.last_used_ms = now_ms;
        let (runner, model) = (instance.runner, instance.model);
        let devices = instance.devices.clone();
        let waiting = self.models.get_mut(&model).map_or(0, |model| {
            model.prewarm_until_ms = None;
            model.waiting.len()
        });
        let reason = format!(
            "{} on {}: {waiting} waiting; {why}",
            self.model_name(model),
            self.runner_name(runner)
        );
        self.decide(
            Action::StartInstance {
                instance: id,
                runner,
                model,
                devices,
            },
            reason,
        );
    }

    /// Stops instances that take nothing new and have nothing left to do.
    fn stop_retired(&mut self) {
        let done = self.ids_where(|_, instance| {
            instance.retire.is_some()
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

impl Model {
    /// The place in the queue of its first request; last if none waits.
    fn head(&self) -> QueueKey {
        self.waiting
            .keys()
            .next()
            .copied()
            .unwrap_or((u64::MAX, u64::MAX))
    }
}
