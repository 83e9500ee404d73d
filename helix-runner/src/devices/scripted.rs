//! Devices that say what they are told to say, for the tests of embedders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helix_proto::runner::{Device, DeviceKind, DeviceMemory};

use super::{Devices, Error};

/// Devices that say what they are told to say. Cheap to clone; all clones are
/// the same devices.
#[derive(Debug, Clone)]
pub struct ScriptedDevices {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    devices: Vec<Device>,
    usage: Vec<DeviceMemory>,
}

impl ScriptedDevices {
    /// Exactly these devices, with no memory in use by any process.
    pub fn new(devices: Vec<Device>) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                devices,
                usage: Vec::new(),
            })),
        }
    }

    /// GPUs of one size, all free: `gpu-0`, `gpu-1` and so on.
    pub fn gpus(count: u32, bytes_each: u64) -> Self {
        let gpu = |index| Device {
            id: format!("gpu-{index}"),
            index,
            kind: DeviceKind::Cuda,
            name: "scripted GPU".to_owned(),
            total_bytes: bytes_each,
            free_bytes: bytes_each,
            utilization_percent: None,
            temperature_celsius: None,
        };
        Self::new((0..count).map(gpu).collect())
    }

    /// Sets what is free on a device; nothing happens if there is none by that id.
    pub fn set_free(&self, device: &str, bytes: u64) {
        let mut state = self.lock();
        for entry in state.devices.iter_mut().filter(|entry| entry.id == device) {
            entry.free_bytes = bytes.min(entry.total_bytes);
        }
    }

    /// Sets what any process is said to use.
    pub fn set_usage(&self, usage: Vec<DeviceMemory>) {
        self.lock().usage = usage;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Devices for ScriptedDevices {
    fn list(&self) -> Result<Vec<Device>, Error> {
        Ok(self.lock().devices.clone())
    }

    fn used_by(&self, pids: &[u32]) -> Vec<DeviceMemory> {
        if pids.is_empty() {
            Vec::new()
        } else {
            self.lock().usage.clone()
        }
    }
}
