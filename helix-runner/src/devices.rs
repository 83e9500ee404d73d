//! What a runner has to run models on.

mod cpu;
#[cfg(feature = "nvml")]
mod nvml;
mod scripted;

use std::{fmt, sync::Arc};

use helix_proto::runner::{Device, DeviceMemory};
use serde::{Deserialize, Serialize};

pub use cpu::CpuDevices;
#[cfg(feature = "nvml")]
pub use nvml::NvmlDevices;
pub use scripted::ScriptedDevices;

/// The devices of a machine.
///
/// # Contract
///
/// - [`list`](Self::list) names the same devices with the same ids each time,
///   in the order of their indices, for as long as the machine runs.
/// - `free_bytes` is never more than `total_bytes`.
/// - [`used_by`](Self::used_by) names a device at most once, only devices that
///   `list` names, and leaves out what could not be measured.
/// - Both may block for some milliseconds; the runner calls them where that
///   does no harm.
pub trait Devices: fmt::Debug + Send + Sync + 'static {
    /// All devices as they are now.
    ///
    /// # Errors
    ///
    /// When the devices cannot be asked.
    fn list(&self) -> Result<Vec<Device>, Error>;

    /// How much memory these processes use on each device.
    fn used_by(&self, pids: &[u32]) -> Vec<DeviceMemory>;
}

/// The devices could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// NVIDIA's management library answered with an error.
    #[error("the NVIDIA management library failed: {0}")]
    Nvml(String),
    /// The operating system answered with an error.
    #[error("the system does not say how much memory it has: {0}")]
    System(String),
    /// There is no GPU although the options ask for one.
    #[error("no NVIDIA GPU was found ({0})")]
    NoGpu(String),
}

impl helix_base::Retry for Error {
    fn retryability(&self) -> helix_base::Retryability {
        match self {
            Self::Nvml(_) | Self::System(_) => helix_base::Retryability::Transient,
            Self::NoGpu(_) => helix_base::Retryability::Permanent,
        }
    }
}

/// Which devices a runner offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The GPUs where there are any, else the processor.
    #[default]
    Auto,
    /// The processor, even where there are GPUs.
    Cpu,
    /// The GPUs; without any the runner does not start.
    Gpu,
}

/// The machine's own devices.
///
/// # Errors
///
/// When `choice` asks for GPUs and there are none.
pub fn of_this_machine(choice: DeviceChoice) -> Result<Arc<dyn Devices>, Error> {
    let why_not = match choice {
        DeviceChoice::Cpu => return Ok(Arc::new(CpuDevices::new()?)),
        DeviceChoice::Auto | DeviceChoice::Gpu => match gpus() {
            Ok(gpus) => return Ok(gpus),
            Err(why_not) => why_not,
        },
    };
    if choice == DeviceChoice::Gpu {
        let advice = "install the driver, or set `devices = \"auto\"`";
        return Err(Error::NoGpu(format!("{why_not}; {advice}")));
    }
    tracing::info!(reason = %why_not, "no NVIDIA GPU found: models run on the processor, in main memory");
    Ok(Arc::new(CpuDevices::new()?))
}

#[cfg(feature = "nvml")]
fn gpus() -> Result<Arc<dyn Devices>, String> {
    match NvmlDevices::new() {
        Ok(devices) => Ok(Arc::new(devices)),
        Err(Error::NoGpu(why_not)) => Err(why_not),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(feature = "nvml"))]
fn gpus() -> Result<Arc<dyn Devices>, String> {
    Err("built without the `nvml` feature".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_device_with_memory() {
        let devices = of_this_machine(DeviceChoice::Auto).unwrap();
        let list = devices.list().unwrap();
        assert!(!list.is_empty());
        for device in &list {
            assert!(
                device.total_bytes > 0 && device.free_bytes <= device.total_bytes,
                "{device:?}"
            );
        }
        let ids = |list: &[Device]| {
            list.iter()
                .map(|device| device.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&list), ids(&devices.list().unwrap()));
    }

    #[test]
    fn only_who_asked_for_a_gpu_is_told_to_ask_for_less() {
        let Err(why_not) = gpus() else {
            println!("skipped: this machine has an NVIDIA GPU");
            return;
        };
        assert!(!why_not.contains("devices ="), "{why_not}");
        let error = of_this_machine(DeviceChoice::Gpu).unwrap_err().to_string();
        assert_eq!(
            error.matches("no NVIDIA GPU was found").count(),
            1,
            "{error}"
        );
        assert!(error.contains("set `devices = \"auto\"`"), "{error}");
    }
}
