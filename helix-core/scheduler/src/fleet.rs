//! Runners, devices and instances as the scheduler knows them.

use std::collections::{BTreeMap, BTreeSet};

use helix_proto::{
    InstanceId, ModelId, RunnerId,
    model::EngineKind,
    runner::{Device, DeviceKind, DeviceMemory, RunnerInfo},
};

use crate::{decision::StopReason, event::DeviceClass};

/// A runner that is or was connected.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) name: String,
    pub(crate) boot_id: String,
    /// Since when it is gone; `None` while it is connected.
    pub(crate) offline_since: Option<u64>,
    /// Since when its connection is being replaced, if it is.
    pub(crate) away_since: Option<u64>,
    pub(crate) draining: bool,
    pub(crate) engines: BTreeSet<EngineKind>,
    pub(crate) devices: Vec<DeviceState>,
}

impl Runner {
    pub(crate) fn new(info: &RunnerInfo, draining: bool) -> Self {
        Self {
            name: info.hostname.clone(),
            boot_id: info.boot_id.clone(),
            offline_since: None,
            away_since: None,
            draining,
            engines: engines(info),
            devices: Vec::new(),
        }
    }

    /// Whether what it is told reaches it now.
    pub(crate) const fn is_reachable(&self) -> bool {
        self.offline_since.is_none() && self.away_since.is_none()
    }

    /// Whether it may be given new work.
    pub(crate) const fn takes_work(&self) -> bool {
        self.is_reachable() && !self.draining
    }

    /// Its devices by class: one instance is spread over devices of one class.
    pub(crate) fn classes(&self) -> BTreeMap<&DeviceClass, Vec<&DeviceState>> {
        let mut classes = BTreeMap::<_, Vec<_>>::new();
        for device in &self.devices {
            classes.entry(&device.class).or_default().push(device);
        }
        classes
    }

    pub(crate) fn device(&self, id: &str) -> Option<&DeviceState> {
        self.devices.iter().find(|device| device.id == id)
    }
}

pub(crate) fn engines(info: &RunnerInfo) -> BTreeSet<EngineKind> {
    info.engines
        .iter()
        .filter(|engine| engine.available)
        .map(|engine| engine.kind)
        .collect()
}

/// A device as it was last measured.
#[derive(Debug, Clone)]
pub(crate) struct DeviceState {
    pub(crate) id: String,
    pub(crate) kind: DeviceKind,
    pub(crate) name: String,
    pub(crate) class: DeviceClass,
    pub(crate) total_bytes: u64,
    /// What other programs were using when it was last measured.
    pub(crate) foreign_bytes: u64,
}

impl DeviceState {
    pub(crate) fn new(device: &Device, foreign_bytes: u64) -> Self {
        Self {
            id: device.id.clone(),
            kind: device.kind,
            name: device.name.clone(),
            class: DeviceClass::of(device),
            total_bytes: device.total_bytes,
            foreign_bytes,
        }
    }
}

/// Where an instance is, as far as the scheduler cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its room is claimed, but others have to end before it is started.
    Planned { victims: BTreeSet<InstanceId> },
    /// The runner was told to start it, and maybe said that it does.
    Starting { told_at_ms: u64, acknowledged: bool },
    /// It answers requests.
    Ready,
    /// The runner was told to stop it, or stops it.
    Stopping { told_at_ms: u64, why: StopReason },
}

/// One instance, from plan to end. Forgotten when it has ended.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) runner: RunnerId,
    pub(crate) model: ModelId,
    /// The model's `memory_key` when it was started or adopted.
    pub(crate) memory_key: String,
    pub(crate) phase: Phase,
    /// Set: it takes nothing new and is stopped when it has nothing in flight.
    pub(crate) retire: Option<StopReason>,
    pub(crate) devices: Vec<DeviceMemory>,
    /// Its need was not known: it got all of its devices until it is measured.
    pub(crate) guessed: bool,
    pub(crate) peak: BTreeMap<String, u64>,
    pub(crate) in_flight: u32,
    pub(crate) completed: u64,
    /// When it last began or ended a request, became ready, or was started.
    pub(crate) last_used_ms: u64,
    pub(crate) ready_at_ms: u64,
    pub(crate) suspect_until_ms: u64,
    pub(crate) last_dispatch: u64,
    pub(crate) progress: Option<String>,
}

impl Instance {
    /// Bytes set aside on a device.
    pub(crate) fn on_device(&self, device: &str) -> u64 {
        self.devices
            .iter()
            .filter(|memory| memory.device == device)
            .map(|m| m.bytes)
            .sum()
    }

    pub(crate) fn uses_device(&self, device: &str) -> bool {
        self.devices.iter().any(|memory| memory.device == device)
    }

    pub(crate) const fn is_planned(&self) -> bool {
        matches!(self.phase, Phase::Planned { .. })
    }

    pub(crate) const fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }

    /// Whether it takes, or will take, requests.
    pub(crate) const fn is_usable(&self) -> bool {
        self.retire.is_none() && !self.is_stopping()
    }
}
