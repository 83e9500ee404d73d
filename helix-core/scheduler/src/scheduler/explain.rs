//! Why a request waits, or would be rejected.

use std::collections::BTreeSet;

use helix_proto::{ModelId, RequestId, RunnerId, model::EngineKind};

use super::{Model, Scheduler};
use crate::{
    decision::{RejectReason, StopReason},
    fleet::{DeviceState, Instance, Phase, Runner},
    wait::WaitReason,
};

impl Scheduler {
    /// Why a request waits; `None` if it does not.
    pub fn explain(&self, request: RequestId) -> Option<WaitReason> {
        let request = self.waiting.get(&request)?;
        let model = self.models.get(&request.spec.model)?;
        let ahead = model.waiting.range(..request.key).count();
        Some(self.why_waiting(model, ahead))
    }

    pub(super) fn why_waiting(&self, model: &Model, ahead: usize) -> WaitReason {
        let name = || model.spec.name.clone();
        let mine = || self.instances.values().filter(|i| i.model == model.spec.id);
        let places = |count: usize| count.saturating_mul(model.spec.parallel as usize);
        let ready: Vec<_> = mine()
            .filter(|i| i.is_usable() && i.phase == Phase::Ready && !self.is_coming(i))
            .collect();
        let coming = mine()
            .filter(|i| i.is_usable() && self.is_coming(i))
            .count();
        if !ready.is_empty() && (coming == 0 || ahead >= places(coming)) {
            return WaitReason::PlacesTaken {
                model: name(),
                instances: count(ready.len()),
                places: count(places(ready.len())),
                ahead: count(ahead),
            };
        }
        let coming = mine().filter(|i| i.is_usable() && self.is_coming(i));
        let starting = |i: &Instance| matches!(i.phase, Phase::Starting { .. });
        if let Some(instance) = coming.max_by_key(|i| (self.is_reachable(i), starting(i))) {
            return self.why_coming(name(), instance);
        }
        self.why_no_instance(model)
    }

    fn why_coming(&self, model: String, instance: &Instance) -> WaitReason {
        let runner = self.runner_name(instance.runner);
        match &instance.phase {
            _ if self.is_away(instance) => WaitReason::Restoring { runner },
            _ if !self.is_reachable(instance) => WaitReason::Reconnecting {
                runner: Some(runner),
            },
            Phase::Planned { victims } => {
                let giving_way: BTreeSet<_> = victims
                    .iter()
                    .filter_map(|victim| self.instances.get(victim))
                    .map(|victim| self.model_name(victim.model))
                    .collect();
                let giving_way = giving_way.into_iter().collect();
                WaitReason::MakingRoom {
                    model,
                    runner,
                    giving_way,
                }
            }
            _ => WaitReason::Starting {
                model,
                instance: instance.id,
                runner,
                progress: instance.progress.clone(),
            },
        }
    }

    fn why_no_instance(&self, model: &Model) -> WaitReason {
        let id = model.spec.id;
        let name = model.spec.name.clone();
        let capable: Vec<_> = self
            .capable(model)
            .filter(|(_, r)| r.takes_work())
            .collect();
        if capable.is_empty() {
            let known = || self.capable(model).map(|(_, runner)| runner);
            if let Some(away) = known().find(|r| r.away_since.is_some() && !r.draining) {
                let runner = away.name.clone();
                return WaitReason::Restoring { runner };
            }
            let gone = known().find(|r| r.offline_since.is_some());
            return WaitReason::Reconnecting {
                runner: gone.map(|r| r.name.clone()),
            };
        }
        let pauses = || {
            capable
                .iter()
                .filter_map(|(runner, _)| self.failures.get(&(id, *runner)))
        };
        if capable
            .iter()
            .all(|(runner, _)| self.is_pausing(id, *runner))
            && let Some(next) = pauses().min_by_key(|f| f.next_try_at_ms)
        {
            let remaining_ms = next.next_try_at_ms.saturating_sub(self.now_ms);
            let failure = next.last.message.clone();
            return WaitReason::Backoff {
                model: name,
                remaining_ms,
                failure,
            };
        }
        let instances = self.instances.values().filter(|i| i.model == id).count();
        if instances >= model.spec.max_instances as usize {
            return WaitReason::InstancesEnding { model: name };
        }
        self.why_no_room(model, &capable)
    }

    fn why_no_room(&self, model: &Model, capable: &[(RunnerId, &Runner)]) -> WaitReason {
        let best = capable
            .iter()
            .flat_map(|(id, runner)| runner.devices.iter().map(|device| (*id, device)))
            .map(|(id, device)| (self.free_bytes(id, device), device))
            .max_by_key(|(free, _)| *free);
        let busy: BTreeSet<_> = self
            .instances
            .values()
            .filter(|i| capable.iter().any(|(id, _)| *id == i.runner) && !i.devices.is_empty())
            .map(|instance| self.model_name(instance.model))
            .collect();
        WaitReason::NoRoom {
            model: model.spec.name.clone(),
            need_bytes: best.and_then(|(_, device)| self.known_need(model, &device.class)),
            free_bytes: best.map_or(0, |(free, _)| free),
            busy: busy.into_iter().collect(),
            foreign_bytes: best.map_or(0, |(_, device)| device.foreign_bytes),
        }
    }

    fn free_bytes(&self, runner: RunnerId, device: &DeviceState) -> u64 {
        self.capacity_bytes(device)
            .saturating_sub(self.claimed_bytes(runner, &device.id))
    }

    /// Known runners that can run the model's engine.
    fn capable<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = (RunnerId, &'a Runner)> {
        self.runners
            .iter()
            .filter(|(_, runner)| runner.engines.contains(&model.spec.engine))
            .map(|(id, runner)| (*id, runner))
    }

    /// Why a request for the model would be rejected now, if it would be: the
    /// model is not registered, no runner can run it, no device could ever hold
    /// it, or it failed to start everywhere and is not to be tried again yet.
    pub fn refusal(&self, model: ModelId) -> Option<RejectReason> {
        let Some(model) = self.models.get(&model) else {
            return Some(RejectReason::UnknownModel);
        };
        if self
            .instances
            .values()
            .any(|i| i.model == model.spec.id && i.is_usable())
        {
            return None;
        }
        if !self.capable(model).any(|(_, runner)| runner.takes_work()) {
            return (!self.is_expecting(model)).then(|| self.no_runner(model));
        }
        self.too_few_devices(model)
            .or_else(|| self.too_large(model))
            .or_else(|| self.start_failed(model))
    }

    /// Whether a runner for the model should come before long.
    fn is_expecting(&self, model: &Model) -> bool {
        let grace = self.options.reconnect_grace_ms;
        let young = self
            .first_event_at_ms
            .is_some_and(|at| self.now_ms < at.saturating_add(grace));
        young
            || self
                .capable(model)
                .any(|(_, r)| !r.is_reachable() && !r.draining)
    }

    fn no_runner(&self, model: &Model) -> RejectReason {
        let online = || self.runners.values().filter(|r| r.offline_since.is_none());
        let engines: BTreeSet<_> = online()
            .flat_map(|r| &r.engines)
            .map(|engine| engine.as_str())
            .collect();
        let engines: Vec<_> = engines.into_iter().collect();
        let available = if online().next().is_none() {
            "no runner is connected".to_owned()
        } else if engines.is_empty() {
            "the connected runners have no engine installed".to_owned()
        } else if engines.contains(&model.spec.engine.as_str()) {
            "every runner that has it is draining".to_owned()
        } else {
            format!("the connected runners have {}", engines.join(", "))
        };
        RejectReason::NoRunner {
            model: model.spec.name.clone(),
            engine: model.spec.engine.as_str(),
            available,
            retry_after_ms: self.options.retry_after_ms,
        }
    }

    fn too_few_devices(&self, model: &Model) -> Option<RejectReason> {
        let most = self
            .capable(model)
            .flat_map(|(_, runner)| runner.classes().into_values().map(|devices| devices.len()))
            .max()
            .map_or(0, count);
        let wanted = model.spec.devices;
        let enough = most >= wanted || model.spec.engine == EngineKind::External;
        let name = || model.spec.name.clone();
        (!enough).then(|| RejectReason::TooFewDevices {
            model: name(),
            wanted,
            most,
        })
    }

    /// No runner has as many devices of a class as wanted that could hold the
    /// model if nothing else were there.
    fn too_large(&self, model: &Model) -> Option<RejectReason> {
        let mut largest: Option<(u64, u64, String)> = None;
        for (_, runner) in self.capable(model) {
            for (class, devices) in runner.classes() {
                let need = self.known_need(model, class)?;
                let mut sizes: Vec<_> = devices
                    .iter()
                    .map(|device| (self.options.usable_bytes(device.total_bytes), *device))
                    .collect();
                sizes.sort_by_key(|(usable, _)| std::cmp::Reverse(*usable));
                let Some((usable, device)) = sizes.get(model.spec.devices as usize - 1) else {
                    continue;
                };
                if need <= *usable {
                    return None;
                }
                if largest.as_ref().is_none_or(|(best, _, _)| usable > best) {
                    largest = Some((*usable, need, format!("{} of {}", device.name, runner.name)));
                }
            }
        }
        let (largest_bytes, need_bytes, largest_device) = largest?;
        let model = model.spec.name.clone();
        Some(RejectReason::TooLarge {
            model,
            need_bytes,
            largest_bytes,
            largest_device,
        })
    }

    fn start_failed(&self, model: &Model) -> Option<RejectReason> {
        let id = model.spec.id;
        let runners: Vec<_> = self
            .capable(model)
            .filter(|(_, r)| r.takes_work())
            .map(|(id, _)| id)
            .collect();
        if !runners.iter().all(|runner| self.is_exhausted(id, *runner)) {
            return None;
        }
        let failures = || {
            runners
                .iter()
                .filter_map(|runner| self.failures.get(&(id, *runner)))
        };
        let last = failures().max_by_key(|failures| failures.next_try_at_ms)?;
        let next = failures().map(|failures| failures.next_try_at_ms).min()?;
        Some(RejectReason::StartFailed {
            model: model.spec.name.clone(),
            kind: last.last.kind,
            message: last.last.message.clone(),
            failures: failures().map(|failures| failures.count).sum(),
            retry_after_ms: next.saturating_sub(self.now_ms),
        })
    }

    /// Why an instance takes nothing new, if so.
    pub(super) fn ending(instance: &Instance) -> Option<StopReason> {
        match &instance.phase {
            Phase::Stopping { why, .. } => Some(why.clone()),
            _ => instance.retire.clone(),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
