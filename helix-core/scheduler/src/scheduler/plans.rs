//! New instances: when one is wanted, where it goes, and plans that wait for
//! room.

use helix_proto::{InstanceId, ModelId, model::EngineKind};

use super::{
    Model, QueueKey, Scheduler,
    place::{KINDS, Mode, Placement},
};
use crate::{
    decision::{Action, StopReason},
    fleet::{Instance, Phase},
};

impl Scheduler {
    /// Starts plans whose room is there, and drops those that make no sense now.
    pub(super) fn review_plans(&mut self) {
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

    pub(super) fn start_instances(&mut self) {
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
            .filter(|instance| instance.model == id && !self.is_out_of_sight(instance))
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
            Phase::Ready => !self.is_reachable(instance),
            Phase::Stopping { .. } => false,
        }
    }

    /// Whether its runner's connection is being replaced for so long that
    /// nobody should count on it.
    fn is_out_of_sight(&self, instance: &Instance) -> bool {
        let grace = self.options.reconnect_grace_ms;
        self.runners
            .get(&instance.runner)
            .and_then(|runner| runner.away_since)
            .is_some_and(|at| at.saturating_add(grace) <= self.now_ms)
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
            .any(|i| i.model == id && i.is_usable() && !i.is_planned() && !self.is_out_of_sight(i));
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
}

impl Model {
    /// The place in the queue of its first request; last if none waits.
    pub(super) fn head(&self) -> QueueKey {
        self.waiting
            .keys()
            .next()
            .copied()
            .unwrap_or((u64::MAX, u64::MAX))
    }
}
