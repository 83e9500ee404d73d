//! Runners: they come, are measured, and go.

use helix_proto::{
    InstanceId, RunnerId,
    runner::{Device, Failure, FailureKind, InstanceState, InstanceStatus, RunnerInfo},
};

use super::{Scheduler, is_lasting};
use crate::{
    decision::StopReason,
    fleet::{DeviceState, Instance, Phase, Runner, engines},
};

impl Scheduler {
    pub(super) fn runner_up(&mut self, id: RunnerId, info: &RunnerInfo, draining: bool) {
        let rebooted = self
            .runners
            .get(&id)
            .is_some_and(|known| known.boot_id != info.boot_id);
        let runner = self
            .runners
            .entry(id)
            .or_insert_with(|| Runner::new(info, draining));
        runner.name.clone_from(&info.hostname);
        runner.boot_id.clone_from(&info.boot_id);
        runner.offline_since = None;
        runner.away_since = None;
        runner.draining = draining;
        runner.engines = engines(info);
        if rebooted {
            // Someone may have installed what was missing.
            self.failures
                .retain(|(_, runner), f| *runner != id || !is_lasting(f.last.kind));
        }
        self.forget_unlisted(id, info, rebooted);
        for status in &info.instances {
            if self.instances.contains_key(&status.id) {
                self.instance_reported(id, status);
            } else if !status.state.is_terminal() {
                self.adopt(id, status);
            }
        }
        if !draining {
            self.take_back_draining(id);
        }
        self.measured(id, &info.devices);
    }

    /// The runner's own list is the truth: what is not on it does not run.
    fn forget_unlisted(&mut self, id: RunnerId, info: &RunnerInfo, rebooted: bool) {
        let gone: Vec<_> = self
            .instances
            .values()
            .filter(|instance| instance.runner == id && !instance.is_planned())
            .filter(|instance| info.instances.iter().all(|status| status.id != instance.id))
            .map(|instance| {
                (
                    instance.id,
                    matches!(instance.phase, Phase::Starting { .. }),
                )
            })
            .collect();
        for (instance, starting) in gone {
            if rebooted && starting {
                let message = "the runner was restarted while it started the model".to_owned();
                let failure = Failure {
                    kind: FailureKind::Crashed,
                    message,
                    log: Vec::new(),
                };
                self.instance_failed(instance, failure);
            } else {
                self.forget(instance);
            }
        }
    }

    /// Takes over an instance that the runner has and the scheduler does not
    /// know: the control plane was restarted, or the runner was away for long.
    pub(super) fn adopt(&mut self, runner: RunnerId, status: &InstanceStatus) {
        let in_flight = self
            .running
            .values()
            .filter(|r| r.instance == status.id)
            .count();
        let ready = status.state == InstanceState::Ready;
        let model = self.models.get(&status.model_id);
        let same_engine = model.map(|model| model.spec.engine == status.engine);
        let instance = Instance {
            id: status.id,
            runner,
            model: status.model_id,
            memory_key: model
                .map(|model| model.spec.memory_key.clone())
                .unwrap_or_default(),
            phase: if ready {
                Phase::Ready
            } else {
                Phase::Starting {
                    told_at_ms: self.now_ms,
                    acknowledged: true,
                }
            },
            retire: None,
            devices: status.reserved.clone(),
            guessed: false,
            peak: Default::default(),
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            completed: 0,
            last_used_ms: self.now_ms,
            ready_at_ms: self.now_ms,
            suspect_until_ms: 0,
            last_dispatch: 0,
            progress: None,
        };
        self.instances.insert(status.id, instance);
        self.instance_reported(runner, status);
        match same_engine {
            Some(true) => {}
            Some(false) => self.retire(status.id, StopReason::SettingsChanged),
            None => self.retire(status.id, StopReason::ModelRemoved),
        }
    }

    pub(super) fn retire(&mut self, id: InstanceId, why: StopReason) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.retire = Some(why);
        }
    }

    pub(super) fn runner_down(&mut self, id: RunnerId) {
        let now_ms = self.now_ms;
        if let Some(runner) = self.runners.get_mut(&id) {
            runner.offline_since.get_or_insert(now_ms);
            runner.away_since = None;
        }
        self.cancel_plans_on(id);
    }

    pub(super) fn runner_away(&mut self, id: RunnerId) {
        let now_ms = self.now_ms;
        let known = self.runners.get_mut(&id);
        if let Some(runner) = known.filter(|runner| runner.offline_since.is_none()) {
            runner.away_since.get_or_insert(now_ms);
            self.cancel_plans_on(id);
        }
    }

    /// It could confirm nothing meanwhile: what it was told counts as told now.
    pub(super) fn runner_back(&mut self, id: RunnerId) {
        let now_ms = self.now_ms;
        let known = self.runners.get_mut(&id);
        if known.and_then(|runner| runner.away_since.take()).is_none() {
            return;
        }
        let here = self.instances.values_mut().filter(|it| it.runner == id);
        for instance in here {
            match &mut instance.phase {
                Phase::Starting { told_at_ms, .. } | Phase::Stopping { told_at_ms, .. } => {
                    *told_at_ms = now_ms;
                }
                Phase::Planned { .. } | Phase::Ready => {}
            }
        }
    }

    pub(super) fn runner_removed(&mut self, id: RunnerId) {
        self.cancel_plans_on(id);
        self.forget_instances_of(id);
        self.runners.remove(&id);
        self.failures.retain(|(_, runner), _| *runner != id);
    }

    pub(super) fn set_draining(&mut self, id: RunnerId, draining: bool) {
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        runner.draining = draining;
        if draining {
            self.cancel_plans_on(id);
        } else {
            self.take_back_draining(id);
        }
    }

    /// Instances that were not told to stop yet may take requests again.
    fn take_back_draining(&mut self, id: RunnerId) {
        for instance in self
            .instances
            .values_mut()
            .filter(|instance| instance.runner == id)
        {
            if instance.retire == Some(StopReason::RunnerDraining) && !instance.is_stopping() {
                instance.retire = None;
            }
        }
    }

    fn cancel_plans_on(&mut self, id: RunnerId) {
        let plans: Vec<_> = self
            .instances
            .values()
            .filter(|instance| instance.runner == id && instance.is_planned())
            .map(|instance| instance.id)
            .collect();
        for plan in plans {
            self.cancel_plan(plan);
        }
    }

    pub(super) fn forget_instances_of(&mut self, id: RunnerId) {
        self.instances.retain(|_, instance| instance.runner != id);
    }

    /// Forgets runners that were expected back and did not come. If one comes
    /// later, it is taken up with what it runs like a new one.
    pub(super) fn forget_lost_runners(&mut self) {
        let grace = self.options.reconnect_grace_ms;
        let lost: Vec<_> = self
            .runners
            .iter()
            .filter(|(_, r)| {
                r.offline_since
                    .is_some_and(|at| at.saturating_add(grace) <= self.now_ms)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.forget_instances_of(id);
            self.runners.remove(&id);
        }
    }

    pub(super) fn measured(&mut self, id: RunnerId, devices: &[Device]) {
        let Some(runner) = self.runners.get(&id) else {
            return;
        };
        let devices = devices
            .iter()
            .map(|device| DeviceState::new(device, self.foreign_bytes(id, runner, device)))
            .collect();
        if let Some(runner) = self.runners.get_mut(&id) {
            runner.devices = devices;
        }
    }
}
