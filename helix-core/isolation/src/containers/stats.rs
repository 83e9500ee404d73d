//! What a container uses, from the Docker daemon's accounts.

use std::time::{Duration, Instant};

use bollard::{
    models::ContainerStatsResponse,
    query_parameters::{InspectContainerOptionsBuilder, StatsOptionsBuilder},
};
use futures_util::StreamExt as _;
use helix_proto::sandbox::SandboxStats;

use super::{Backend, daemon::failed};
use crate::Error;

/// Measuring a disk means walking through it: it is done again only after so many times
/// the time that it took.
const REST: u32 = 20;

/// What was measured last.
#[derive(Debug, Default)]
pub(super) struct Measured {
    cpu: Option<(Instant, u64)>,
    disk: Option<Disk>,
}

#[derive(Debug, Clone, Copy)]
struct Disk {
    bytes: u64,
    until: Instant,
}

/// What its control groups say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu_us: u64,
    pub(super) memory_bytes: u64,
    pub(super) pids: u32,
}

impl Measured {
    /// What was written, if that is known well enough.
    pub(super) fn disk(&self, now: Instant) -> Option<u64> {
        self.disk
            .filter(|disk| now < disk.until)
            .map(|disk| disk.bytes)
    }

    pub(super) fn note_disk(&mut self, bytes: u64, took: Duration, now: Instant) {
        let until = now + took * REST;
        self.disk = Some(Disk { bytes, until });
    }

    /// Takes note of the processor time, and says how much is in use, in thousandths of a
    /// core, since the note before.
    pub(super) fn cpu_millis(&mut self, cpu_us: u64, now: Instant) -> u32 {
        self.cpu.replace((now, cpu_us)).map_or(0, |(then, before)| {
            let elapsed = now.duration_since(then).as_micros().max(1);
            let used = u128::from(cpu_us.saturating_sub(before)) * 1000 / elapsed;
            u32::try_from(used).unwrap_or(u32::MAX)
        })
    }
}

impl Usage {
    /// Without what the kernel keeps of files and can give back at once, as Docker's own
    /// tools show it.
    fn read(stats: ContainerStatsResponse) -> Self {
        let memory = stats.memory_stats.unwrap_or_default();
        let idle = memory.stats.as_ref().and_then(|all| {
            let of = |name| all.get(name).copied();
            of("total_inactive_file").or_else(|| of("inactive_file"))
        });
        let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage);
        let pids = stats.pids_stats.and_then(|pids| pids.current);
        Self {
            cpu_us: cpu.unwrap_or(0) / 1_000,
            memory_bytes: memory.usage.unwrap_or(0).saturating_sub(idle.unwrap_or(0)),
            pids: pids.and_then(|pids| pids.try_into().ok()).unwrap_or(0),
        }
    }

    pub(super) fn stats(self) -> SandboxStats {
        SandboxStats {
            cpu_us: self.cpu_us,
            memory_bytes: self.memory_bytes,
            pids: self.pids,
            ..SandboxStats::default()
        }
    }
}

impl Backend {
    pub(super) async fn usage(&self, container: &str) -> Result<Usage, Error> {
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let mut stream = Box::pin(self.docker.stats(container, Some(options)));
        match stream.next().await {
            Some(stats) => stats
                .map(Usage::read)
                .map_err(failed(format_args!("measuring {container}"))),
            None => Ok(Usage::default()),
        }
    }

    /// What a container wrote.
    pub(super) async fn written(&self, container: &str) -> Result<u64, Error> {
        let options = InspectContainerOptionsBuilder::new().size(true).build();
        let there = self
            .docker
            .inspect_container(container, Some(options))
            .await;
        let there = there.map_err(failed(format_args!("measuring the disk of {container}")))?;
        Ok(there
            .size_rw
            .and_then(|size| size.try_into().ok())
            .unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{
        ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats, ContainerPidsStats,
    };
    use helix_base::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn memory_is_without_idle_files_and_time_is_in_microseconds() {
        let stats = ContainerStatsResponse {
            cpu_stats: Some(ContainerCpuStats {
                cpu_usage: Some(ContainerCpuUsage {
                    total_usage: Some(2_500_000),
                    ..ContainerCpuUsage::default()
                }),
                ..ContainerCpuStats::default()
            }),
            memory_stats: Some(ContainerMemoryStats {
                usage: Some(1_000),
                stats: Some(HashMap::from([("inactive_file".to_owned(), 300)])),
                ..ContainerMemoryStats::default()
            }),
            pids_stats: Some(ContainerPidsStats {
                current: Some(3),
                limit: None,
            }),
            ..ContainerStatsResponse::default()
        };
        let usage = Usage::read(stats);
        assert_eq!(
            (usage.cpu_us, usage.memory_bytes, usage.pids),
            (2_500, 700, 3)
        );
        assert_eq!(
            Usage::read(ContainerStatsResponse::default()),
            Usage::default()
        );
    }

    #[test]
    fn a_disk_that_took_long_to_measure_is_measured_less_often() {
        let start = SystemClock.now();
        let mut measured = Measured::default();
        assert_eq!(measured.disk(start), None);
        measured.note_disk(7, Duration::from_secs(1), start);
        assert_eq!(measured.disk(start + Duration::from_secs(19)), Some(7));
        assert_eq!(measured.disk(start + Duration::from_secs(21)), None);
        assert_eq!(measured.cpu_millis(1_000_000, start), 0);
        let later = start + Duration::from_secs(2);
        assert_eq!(measured.cpu_millis(2_000_000, later), 500);
    }
}
