//! Where an instance could go.
//!
//! One instance is spread over devices of one runner and one class, with the
//! same bytes on each. A device holds one instance of a model: a second would
//! share its processor with the first and make nothing faster.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use helix_proto::{
    InstanceId, RunnerId,
    model::EngineKind,
    runner::{DeviceKind, DeviceMemory},
};

use super::{Model, QueueKey, Scheduler};
use crate::fleet::{DeviceState, Instance, Phase, Runner};

/// Kinds of devices, the better ones first.
pub(super) const KINDS: [DeviceKind; 2] = [DeviceKind::Cuda, DeviceKind::Cpu];

/// What may be stopped to make room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Nothing.
    Free,
    /// Instances of other models that do nothing, and for which nothing waits,
    /// since this long.
    EvictIdle { idle_for_ms: u64 },
    /// Also instances at work, if what waits for them comes after this place in
    /// the queue, and they had their time. They finish what they have.
    EvictBusy { key: QueueKey },
}

/// Where an instance goes, and what has to end before.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    pub(super) runner: RunnerId,
    pub(super) devices: Vec<DeviceMemory>,
    pub(super) victims: BTreeSet<InstanceId>,
    rank: Rank,
}

/// Smaller is better: fewer copies on the runner, fewer requests in the way,
/// victims that were used longest ago, more room left.
type Rank = (usize, u32, u64, usize, Reverse<u64>, RunnerId);

/// One device with what would have to end there.
struct Seat<'a> {
    device: &'a DeviceState,
    bytes: u64,
    left: u64,
    victims: Vec<&'a Instance>,
}

impl Scheduler {
    /// The best place for one more instance of the model on devices of a kind.
    pub(super) fn place(&self, model: &Model, kind: DeviceKind, mode: Mode) -> Option<Placement> {
        let mut by_runner = BTreeMap::<RunnerId, Vec<&Instance>>::new();
        for instance in self.instances.values() {
            by_runner.entry(instance.runner).or_default().push(instance);
        }
        self.runners
            .iter()
            .filter(|(id, runner)| {
                runner.takes_work()
                    && runner.engines.contains(&model.spec.engine)
                    && !self.is_pausing(model.spec.id, **id)
            })
            .filter_map(|(id, runner)| {
                let instances = by_runner.get(id).map_or(&[][..], Vec::as_slice);
                self.place_on(model, *id, runner, instances, kind, mode)
            })
            .min_by_key(|placement| placement.rank)
    }

    fn place_on(
        &self,
        model: &Model,
        id: RunnerId,
        runner: &Runner,
        instances: &[&Instance],
        kind: DeviceKind,
        mode: Mode,
    ) -> Option<Placement> {
        let copies = instances
            .iter()
            .filter(|instance| instance.model == model.spec.id && !instance.is_stopping())
            .count();
        if model.spec.engine == EngineKind::External {
            // The server is elsewhere: a second instance would be the same one.
            let rank = (copies, 0, 0, 0, Reverse(0), id);
            let placement = Placement {
                runner: id,
                devices: Vec::new(),
                victims: BTreeSet::new(),
                rank,
            };
            return (copies == 0).then_some(placement);
        }
        let wanted = model.spec.devices as usize;
        runner
            .classes()
            .into_values()
            .filter(|devices| devices.iter().all(|device| device.kind == kind))
            .filter_map(|devices| {
                let mut seats: Vec<_> = devices
                    .into_iter()
                    .filter_map(|device| self.seat(model, device, instances, mode))
                    .collect();
                seats.sort_by_key(|seat| (seat.cost(), Reverse(seat.left)));
                seats.truncate(wanted);
                (seats.len() == wanted).then(|| placement(id, copies, &seats))
            })
            .min_by_key(|placement| placement.rank)
    }

    /// Whether and how one device could hold its share of an instance.
    fn seat<'a>(
        &self,
        model: &Model,
        device: &'a DeviceState,
        instances: &[&'a Instance],
        mode: Mode,
    ) -> Option<Seat<'a>> {
        let here = || {
            instances
                .iter()
                .copied()
                .filter(|i| i.uses_device(&device.id))
        };
        if here().any(|i| i.model == model.spec.id && i.is_usable() && !self.gives_way(i, mode)) {
            return None;
        }
        let bytes = self.required_bytes(model, device);
        let capacity = self.capacity_bytes(device);
        let claimed = here()
            .map(|i| i.on_device(&device.id))
            .fold(0, u64::saturating_add);
        let fits = |claimed: u64| claimed.saturating_add(bytes) <= capacity;
        let mut victims = Vec::new();
        let mut left = claimed;
        if !fits(left) {
            let mut candidates: Vec<_> = here()
                .filter(|i| i.model != model.spec.id && self.may_evict(i, mode))
                .collect();
            candidates.sort_by_key(|i| (i.in_flight, i.last_used_ms, i.id));
            for candidate in candidates {
                if fits(left) {
                    break;
                }
                left = left.saturating_sub(candidate.on_device(&device.id));
                victims.push(candidate);
            }
            spare(&mut victims, &mut left, &device.id, &fits);
        }
        fits(left).then(|| Seat {
            device,
            bytes,
            left: capacity - left - bytes,
            victims,
        })
    }

    /// A plan that only waits is no reason against a better place for it.
    fn gives_way(&self, instance: &Instance, mode: Mode) -> bool {
        matches!(mode, Mode::Free | Mode::EvictIdle { .. }) && instance.is_planned()
    }

    fn may_evict(&self, instance: &Instance, mode: Mode) -> bool {
        if instance.retire.is_some() || instance.is_planned() || instance.is_stopping() {
            return false;
        }
        let waiting = self
            .models
            .get(&instance.model)
            .and_then(|m| m.waiting.keys().next());
        match mode {
            Mode::Free => false,
            Mode::EvictIdle { idle_for_ms } => {
                waiting.is_none()
                    && instance.in_flight == 0
                    && instance.last_used_ms.saturating_add(idle_for_ms) <= self.now_ms
            }
            Mode::EvictBusy { key } => {
                let held = instance.ready_at_ms.saturating_add(self.options.hold_ms) <= self.now_ms;
                let idle = instance.in_flight == 0 && waiting.is_none();
                let ready = instance.phase == Phase::Ready;
                idle || (ready && held && waiting.is_none_or(|theirs| key < *theirs))
            }
        }
    }
}

/// Leaves alone, from the one used last, whatever need not end after all.
fn spare(victims: &mut Vec<&Instance>, left: &mut u64, device: &str, fits: &impl Fn(u64) -> bool) {
    for index in (0..victims.len()).rev() {
        let back = left.saturating_add(victims[index].on_device(device));
        if fits(back) {
            *left = back;
            victims.remove(index);
        }
    }
}

impl Seat<'_> {
    /// Requests in the way, then when the victim used last was used.
    fn cost(&self) -> (u32, u64, usize) {
        cost(self.victims.iter().copied())
    }
}

fn cost<'a>(victims: impl Iterator<Item = &'a Instance> + Clone) -> (u32, u64, usize) {
    (
        victims.clone().map(|victim| victim.in_flight).sum(),
        victims
            .clone()
            .map(|victim| victim.last_used_ms)
            .max()
            .unwrap_or(0),
        victims.count(),
    )
}

fn placement(runner: RunnerId, copies: usize, seats: &[Seat<'_>]) -> Placement {
    let victims: BTreeMap<_, _> = seats
        .iter()
        .flat_map(|seat| &seat.victims)
        .map(|victim| (victim.id, *victim))
        .collect();
    let (in_flight, last_used, count) = cost(victims.values().copied());
    let left = seats.iter().map(|seat| seat.left).min().unwrap_or(0);
    Placement {
        runner,
        devices: seats
            .iter()
            .map(|seat| DeviceMemory {
                device: seat.device.id.clone(),
                bytes: seat.bytes,
            })
            .collect(),
        victims: victims.into_keys().collect(),
        rank: (copies, in_flight, last_used, count, Reverse(left), runner),
    }
}
