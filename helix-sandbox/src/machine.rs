//! The machine under the sandboxes: what it is called and what it has.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use helix_proto::sandbox::host::HostCapacity;
use rand::RngExt as _;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::Error;

/// New sandboxes are refused when less than one part in so many of the disk is free: 2 %.
const KEEP_FREE: u64 = 50;

/// What does not change while a host runs.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) boot_id: String,
    pub(crate) hostname: String,
    pub(crate) platform: String,
}

impl Identity {
    pub(crate) fn of_this_machine() -> Self {
        Self {
            boot_id: format!("{:032x}", rand::rng().random::<u128>()),
            hostname: hostname(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// What this machine calls itself.
pub(crate) fn hostname() -> String {
    System::host_name().unwrap_or_else(|_| "sandbox host".to_owned())
}

/// What the machine has, and how much of it is in use.
pub(crate) struct Machine {
    system: Mutex<System>,
    data_dir: PathBuf,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// This machine, with the file system of the data directory.
    ///
    /// # Errors
    ///
    /// The kernel's accounts cannot be read.
    pub(crate) fn new(data_dir: &Path) -> Result<Self, Error> {
        let system = System::new_with_specifics(what());
        let system = system.map_err(|error| Error::Machine(error.to_string()))?;
        Ok(Self {
            system: Mutex::new(system),
            data_dir: data_dir.to_owned(),
        })
    }

    /// What it has now; nothing is promised in it.
    pub(crate) fn capacity(&self) -> HostCapacity {
        let (bytes, free) = disk(&self.data_dir).unwrap_or_default();
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_specifics(what());
        let cores = system.cpus().len();
        HostCapacity {
            cpu_millis: u32::try_from(cores * 1000).unwrap_or(u32::MAX),
            cpu_used_millis: in_use(system.global_cpu_usage(), cores),
            memory_bytes: system.total_memory(),
            memory_available_bytes: system.available_memory(),
            disk_bytes: bytes,
            disk_free_bytes: free,
            ..HostCapacity::default()
        }
    }

    /// Whether the disk has room for more sandboxes.
    ///
    /// # Errors
    ///
    /// Says how much is free of how much, and what to do.
    pub(crate) fn check_disk(&self) -> Result<(), String> {
        let shown = self.data_dir.display();
        let (bytes, free) = disk(&self.data_dir)
            .map_err(|error| format!("the file system of {shown} cannot be asked: {error}"))?;
        check_free(bytes, free).map_err(|why| format!("the file system of {shown} {why}"))
    }
}

fn what() -> RefreshKind {
    RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing().with_usage())
        .with_memory(MemoryRefreshKind::nothing().with_ram())
}

/// Percent of all cores as thousandths of one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a percentage of a few cores"
)]
fn in_use(percent: f32, cores: usize) -> u32 {
    (percent.clamp(0.0, 100.0) * 10.0 * cores as f32) as u32
}

fn disk(path: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(path)?;
    let size = disk.f_frsize;
    Ok((
        disk.f_blocks.saturating_mul(size),
        disk.f_bavail.saturating_mul(size),
    ))
}

fn check_free(bytes: u64, free: u64) -> Result<(), String> {
    if free >= bytes / KEEP_FREE {
        return Ok(());
    }
    let tenths = free.saturating_mul(1000) / bytes.max(1);
    Err(format!(
        "has {} MiB of {} MiB free, {}.{} %; below 2 % no sandbox is made or started: delete \
         sandboxes, snapshots or images, or make room",
        free >> 20,
        bytes >> 20,
        tenths / 10,
        tenths % 10
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_refused_with_the_figures() {
        assert_eq!(check_free(100 << 30, 2 << 30), Ok(()));
        let why = check_free(100 << 30, 1 << 30).unwrap_err();
        assert!(why.contains("1024 MiB of 102400 MiB free, 1.0 %"), "{why}");
    }

    #[test]
    fn the_machine_has_cores_memory_and_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let has = Machine::new(folder.path()).unwrap().capacity();
        assert!(has.cpu_millis >= 1000 && has.memory_bytes > 0, "{has:?}");
        assert!(has.disk_free_bytes > 0 && has.disk_bytes >= has.disk_free_bytes);
    }
}
