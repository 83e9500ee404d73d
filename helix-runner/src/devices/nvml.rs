//! NVIDIA GPUs through the driver's management library, which is loaded when
//! the runner starts, so that one build runs on machines with and without it.

use std::collections::BTreeMap;

use helix_proto::runner::{Device, DeviceKind, DeviceMemory};
use nvml_wrapper::{
    Nvml, enum_wrappers::device::TemperatureSensor, enums::device::UsedGpuMemory, error::NvmlError,
};

use super::{Devices, Error};

/// All NVIDIA GPUs that the driver shows.
#[derive(Debug)]
pub struct NvmlDevices {
    nvml: Nvml,
}

impl NvmlDevices {
    /// Loads the library and finds at least one GPU.
    ///
    /// # Errors
    ///
    /// When there is no driver, or no GPU.
    pub fn new() -> Result<Self, Error> {
        let nvml = Nvml::init().map_err(|error| Error::NoGpu(error.to_string()))?;
        match nvml.device_count().map_err(failed)? {
            0 => Err(Error::NoGpu("the driver shows none".to_owned())),
            _ => Ok(Self { nvml }),
        }
    }

    fn device(&self, index: u32) -> Result<Device, NvmlError> {
        let gpu = self.nvml.device_by_index(index)?;
        let memory = gpu.memory_info()?;
        // Not every GPU can say the last two.
        let utilization = gpu.utilization_rates().ok();
        let temperature = gpu.temperature(TemperatureSensor::Gpu).ok();
        Ok(Device {
            id: gpu.uuid()?,
            index,
            kind: DeviceKind::Cuda,
            name: gpu.name()?,
            total_bytes: memory.total,
            free_bytes: memory.free.min(memory.total),
            utilization_percent: utilization.and_then(|rates| u8::try_from(rates.gpu).ok()),
            temperature_celsius: temperature.and_then(|celsius| i32::try_from(celsius).ok()),
        })
    }

    fn used_on(&self, index: u32, pids: &[u32]) -> Result<Option<DeviceMemory>, NvmlError> {
        let gpu = self.nvml.device_by_index(index)?;
        let mut by_pid = BTreeMap::new();
        for process in gpu.running_compute_processes()? {
            if let UsedGpuMemory::Used(bytes) = process.used_gpu_memory
                && pids.contains(&process.pid)
            {
                by_pid.insert(process.pid, bytes);
            }
        }
        let device = gpu.uuid()?;
        let bytes = by_pid.values().sum();
        Ok((!by_pid.is_empty()).then_some(DeviceMemory { device, bytes }))
    }
}

impl Devices for NvmlDevices {
    fn list(&self) -> Result<Vec<Device>, Error> {
        let count = self.nvml.device_count().map_err(failed)?;
        (0..count)
            .map(|index| self.device(index))
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Empty in a container that does not share the host's process ids: the
    /// driver tells those of the host.
    fn used_by(&self, pids: &[u32]) -> Vec<DeviceMemory> {
        let count = self.nvml.device_count().unwrap_or(0);
        (0..count)
            .filter_map(|index| self.used_on(index, pids).ok().flatten())
            .collect()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is a converter for map_err"
)]
fn failed(error: NvmlError) -> Error {
    Error::Nvml(error.to_string())
}
