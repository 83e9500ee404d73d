//! Memory: what is set aside, what other programs use, what a model needs.
//!
//! What a device can give to a new instance is its size, less the headroom,
//! less all that is set aside, less what *other programs* use. The last is
//! reckoned only when the device was measured: `total - free` less what our own
//! instances use by then. Between measurements it stands still, so that an
//! instance that starts or ends in between is not counted twice or not at all.
//!
//! How much of `total - free` is ours is known for an instance whose peak use
//! was measured, and taken to be all that was set aside for a ready one that
//! was not. One that is loading uses something between nothing and all of it:
//! that leaves a range, and the figure from before is moved into it.

use helix_proto::{
    InstanceId, ModelId, RunnerId,
    model::{EngineKind, MemoryBasis, ModelMemory},
    runner::Device,
};

use super::{Model, Scheduler};
use crate::{
    decision::Action,
    event::{DeviceClass, LearnedFrom, LearnedNeed},
    fleet::{DeviceState, Instance, Phase, Runner},
};

impl Scheduler {
    /// What other programs use on a device, by what it says now.
    pub(super) fn foreign_bytes(&self, id: RunnerId, runner: &Runner, device: &Device) -> u64 {
        let used = device.total_bytes.saturating_sub(device.free_bytes);
        let (mut least, mut most) = (0_u64, 0_u64);
        for instance in self
            .instances
            .values()
            .filter(|instance| instance.runner == id)
        {
            let (low, high) = own_use(instance, &device.id);
            least = least.saturating_add(low);
            most = most.saturating_add(high);
        }
        let (low, high) = (used.saturating_sub(most), used.saturating_sub(least));
        let before = runner
            .device(&device.id)
            .map_or(high, |known| known.foreign_bytes);
        before.clamp(low, high)
    }

    /// Bytes set aside on a device, for plans too.
    pub(super) fn claimed_bytes(&self, runner: RunnerId, device: &str) -> u64 {
        self.sum_on(runner, device, |_| true)
    }

    /// Bytes set aside on a device for instances that were started.
    pub(super) fn started_bytes(&self, runner: RunnerId, device: &str) -> u64 {
        self.sum_on(runner, device, |instance| !instance.is_planned())
    }

    fn sum_on(&self, runner: RunnerId, device: &str, which: impl Fn(&Instance) -> bool) -> u64 {
        self.instances
            .values()
            .filter(|instance| instance.runner == runner && which(instance))
            .map(|instance| instance.on_device(device))
            .fold(0, u64::saturating_add)
    }

    /// What a device can give to all instances of ours together.
    pub(super) fn capacity_bytes(&self, device: &DeviceState) -> u64 {
        self.options
            .usable_bytes(device.total_bytes)
            .saturating_sub(device.foreign_bytes)
    }

    /// What an instance of the model needs on the device: what was learned on
    /// such devices, else the estimate, else all that the device can give.
    pub(super) fn required_bytes(&self, model: &Model, device: &DeviceState) -> u64 {
        self.known_need(model, &device.class)
            .unwrap_or_else(|| self.capacity_bytes(device).max(1))
    }

    /// What an instance of the model needs on devices of a class, if known.
    pub(super) fn known_need(&self, model: &Model, class: &DeviceClass) -> Option<u64> {
        if model.spec.engine == EngineKind::External {
            return Some(0);
        }
        let learned = model.learned.get(class).map(|learned| learned.bytes);
        learned.or(model.spec.need.map(|need| need.bytes_per_device))
    }

    /// What one instance of a model needs on each device, and how that is
    /// known: the largest figure learned for any class of devices, else the
    /// estimate or configured figure.
    pub fn need(&self, model: ModelId) -> Option<ModelMemory> {
        let model = self.models.get(&model)?;
        let learned = model.learned.values().map(|learned| learned.bytes).max();
        learned
            .map(|bytes_per_device| ModelMemory {
                bytes_per_device,
                basis: MemoryBasis::Measured,
            })
            .or(model.spec.need)
    }

    /// Takes in the peak use that a runner measured for an instance.
    pub(super) fn learn_peak(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        let reserved = instance
            .devices
            .iter()
            .map(|memory| memory.bytes)
            .max()
            .unwrap_or(0);
        for memory in &mut instance.devices {
            // It is used, so it is set aside, whatever was planned.
            let peak = instance.peak.get(&memory.device).copied().unwrap_or(0);
            memory.bytes = memory.bytes.max(peak);
        }
        let Some(peak) = instance
            .peak
            .values()
            .copied()
            .max()
            .filter(|peak| *peak > 0)
        else {
            return;
        };
        if self
            .models
            .get(&instance.model)
            .is_none_or(|m| m.spec.memory_key != instance.memory_key)
        {
            return;
        }
        let settled = instance.completed > 0;
        if instance.guessed && settled {
            instance.guessed = false;
            for memory in &mut instance.devices {
                let peak = instance.peak.get(&memory.device).copied().unwrap_or(peak);
                memory.bytes = memory.bytes.min(with_margin(peak));
            }
        }
        // An engine that was told what it may use, uses it all: that must not
        // grow the need by the margin at each start.
        let bytes = if peak <= reserved {
            with_margin(peak).min(reserved)
        } else {
            with_margin(peak)
        };
        let (runner, model) = (instance.runner, instance.model);
        let device = instance.devices.first().map(|memory| memory.device.clone());
        let class = device.and_then(|d| {
            self.runners
                .get(&runner)?
                .device(&d)
                .map(|d| d.class.clone())
        });
        if let Some(class) = class {
            self.learn(model, class, bytes, settled);
        }
    }

    fn learn(&mut self, id: ModelId, class: DeviceClass, bytes: u64, settled: bool) {
        let Some(model) = self.models.get(&id) else {
            return;
        };
        let before = self.known_need(model, &class);
        let by_peak = model
            .learned
            .get(&class)
            .is_some_and(|learned| learned.source == LearnedFrom::Peak);
        let higher = before.is_some_and(|before| bytes > before);
        // A figure that was measured only grows; one that was not is replaced
        // as soon as a request was answered, since before that an engine may
        // not use all that it will.
        if higher || (settled && !by_peak) {
            self.record(
                id,
                class,
                LearnedNeed {
                    bytes,
                    source: LearnedFrom::Peak,
                },
                "peak use",
            );
        }
    }

    /// Too little was set aside: next time more, as far as a device can give it.
    pub(super) fn learn_out_of_memory(&mut self, instance: &Instance) {
        let Some(model) = self.models.get(&instance.model) else {
            return;
        };
        let Some(device) = instance.devices.iter().max_by_key(|memory| memory.bytes) else {
            return;
        };
        let Some(runner) = self.runners.get(&instance.runner) else {
            return;
        };
        let Some(class) = runner
            .device(&device.device)
            .map(|device| device.class.clone())
        else {
            return;
        };
        let largest = self
            .runners
            .values()
            .flat_map(|runner| &runner.devices)
            .filter(|device| device.class == class)
            .map(|device| self.options.usable_bytes(device.total_bytes))
            .max()
            .unwrap_or(0);
        let bytes = device.bytes.saturating_add(device.bytes / 4).min(largest);
        if bytes > self.known_need(model, &class).unwrap_or(0) {
            let need = LearnedNeed {
                bytes,
                source: LearnedFrom::OutOfMemory,
            };
            self.record(
                instance.model,
                class,
                need,
                "it ran out of memory with less",
            );
        }
    }

    fn record(&mut self, id: ModelId, class: DeviceClass, need: LearnedNeed, why: &str) {
        let Some(model) = self.models.get_mut(&id) else {
            return;
        };
        if model.learned.insert(class.clone(), need) == Some(need) {
            return;
        }
        let memory_key = model.spec.memory_key.clone();
        self.decide(
            Action::RecordNeed {
                model: id,
                memory_key,
                class,
                need,
            },
            why,
        );
    }
}

/// The least and the most that an instance uses of a device now.
fn own_use(instance: &Instance, device: &str) -> (u64, u64) {
    let reserved = instance.on_device(device);
    let peak = instance.peak.get(device).copied();
    match instance.phase {
        Phase::Planned { .. } => (0, 0),
        Phase::Starting { .. } | Phase::Stopping { .. } => (0, reserved.max(peak.unwrap_or(0))),
        Phase::Ready => {
            let used = peak.unwrap_or(reserved);
            (used, used)
        }
    }
}

/// A measured peak and a little: 5 % and 32 MiB.
const fn with_margin(peak: u64) -> u64 {
    peak.saturating_add(peak / 20).saturating_add(32 << 20)
}
