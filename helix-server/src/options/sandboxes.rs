//! Sandboxes, and what one user may have of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire;

/// Sandboxes, and what one user may have of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxOptions {
    /// Below which domain browsers open servers in sandboxes, each as an origin of its
    /// own: `{port}-{sandbox}.` and this. Its names must lead to the control plane. If
    /// absent, servers are reached below the control plane's own paths only.
    pub ports_domain: Option<String>,
    /// Sandboxes of one user.
    pub max_per_user: u32,
    /// Those of them that are being made, run or are paused.
    pub max_running_per_user: u32,
    /// Processor time of those, in thousandths of a core.
    pub max_cpu_millis_per_user: u64,
    /// Main memory of those.
    pub max_memory_bytes_per_user: u64,
    /// Disk of all sandboxes of one user.
    pub max_disk_bytes_per_user: u64,
    /// Snapshots of one user.
    pub max_snapshots_per_user: u32,
    /// Requests into sandboxes, streams and WebSockets included, of one user at once.
    pub max_requests_per_user: u32,
    /// How much processor time may be promised on a host, in hundredths of what it has.
    pub cpu_overcommit_percent: u32,
    /// The same for main memory.
    pub memory_overcommit_percent: u32,
    /// The same for disk.
    pub disk_overcommit_percent: u32,
    /// How long a sandbox may take from the request until it runs.
    #[serde(rename = "create_timeout_ms", with = "wire::millis")]
    pub create_timeout: Duration,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            ports_domain: None,
            max_per_user: 50,
            max_running_per_user: 20,
            max_cpu_millis_per_user: 64_000,
            max_memory_bytes_per_user: 128 << 30,
            max_disk_bytes_per_user: 1 << 40,
            max_snapshots_per_user: 100,
            max_requests_per_user: 256,
            cpu_overcommit_percent: 1_000,
            memory_overcommit_percent: 200,
            disk_overcommit_percent: 400,
            create_timeout: Duration::from_secs(300),
        }
    }
}
