//! The processor as a device: its memory is main memory.

use std::sync::{Mutex, PoisonError};

use helix_proto::runner::{Device, DeviceKind, DeviceMemory};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::{Devices, Error};

const ID: &str = "cpu";

/// One device, `cpu`. Its memory is main memory, or what the control group
/// allows of it (in a container).
#[derive(Debug)]
pub struct CpuDevices {
    system: Mutex<System>,
    name: String,
}

impl CpuDevices {
    /// The processor of this machine.
    ///
    /// # Errors
    ///
    /// When the system does not say how much memory it has.
    pub fn new() -> Result<Self, Error> {
        let system = System::new_with_specifics(
            RefreshKind::nothing()
                .with_memory(MemoryRefreshKind::nothing().with_ram())
                .with_cpu(CpuRefreshKind::nothing().with_usage()),
        )
        .map_err(|error| Error::System(error.to_string()))?;
        let brand = system
            .cpus()
            .first()
            .map(|cpu| cpu.brand().trim())
            .unwrap_or_default();
        let brand = if brand.is_empty() { "processor" } else { brand };
        let name = format!("{brand} ({} threads)", system.cpus().len());
        Ok(Self {
            system: Mutex::new(system),
            name,
        })
    }
}

impl Devices for CpuDevices {
    fn list(&self) -> Result<Vec<Device>, Error> {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        system.refresh_cpu_usage();
        let (mut total, mut free) = (system.total_memory(), system.available_memory());
        if let Some(limits) = system
            .cgroup_limits()
            .filter(|limits| limits.total_memory > 0)
        {
            total = total.min(limits.total_memory);
            free = free.min(limits.free_memory);
        }
        Ok(vec![Device {
            id: ID.to_owned(),
            index: 0,
            kind: DeviceKind::Cpu,
            name: self.name.clone(),
            total_bytes: total,
            free_bytes: free.min(total),
            utilization_percent: Some(percent(system.global_cpu_usage())),
            temperature_celsius: None,
        }])
    }

    fn used_by(&self, pids: &[u32]) -> Vec<DeviceMemory> {
        let bytes = crate::process::memory_of(pids);
        bytes
            .map(|bytes| DeviceMemory {
                device: ID.to_owned(),
                bytes,
            })
            .into_iter()
            .collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is clamped to 0..=100 first"
)]
fn percent(usage: f32) -> u8 {
    usage.clamp(0.0, 100.0).round() as u8
}
