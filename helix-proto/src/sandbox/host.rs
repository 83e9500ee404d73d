//! What control plane and sandbox host say to each other, and hosts as the
//! control plane shows them.
//!
//! The host serves these routes over its tunnel; the control plane calls them.
//!
//! | route | what |
//! |---|---|
//! | `GET /host/v1/info` | [`HostInfo`] |
//! | `GET /host/v1/stats` | [`HostUse`] |
//! | `GET /host/v1/events` | newline-delimited JSON of [`HostEvent`]: a snapshot, then changes |
//! | `PUT /host/v1/sandboxes/{id}` | [`SandboxSpec`]; idempotent by id; 202 with [`SandboxStatus`] |
//! | `GET /host/v1/sandboxes/{id}` | [`SandboxStatus`] |
//! | `POST /host/v1/sandboxes/{id}/{pause,resume,stop,start}` | idempotent; [`SandboxStatus`] |
//! | `DELETE /host/v1/sandboxes/{id}` | idempotent; 204 when nothing is left |
//! | `PUT /host/v1/sandboxes/{id}/egress` | [`Egress`]; [`SandboxStatus`] |
//! | `PUT /host/v1/sandboxes/{id}/limits` | [`SandboxLimits`]; [`SandboxStatus`] |
//! | `PUT /host/v1/sandboxes/{id}/times` | [`SandboxTimes`]; [`SandboxStatus`] |
//! | `GET /host/v1/sandboxes/{id}/stats` | [`SandboxStats`] |
//! | `GET /host/v1/sandboxes/{id}/logs?tail=N` | [`SandboxLog`](super::SandboxLog) |
//! | `PUT /host/v1/sandboxes/{id}/snapshots/{snapshot}` | takes a snapshot; idempotent; [`SnapshotStatus`] |
//! | `DELETE /host/v1/snapshots/{snapshot}` | idempotent; 204 |
//! | `POST /host/v1/live-set` | [`LiveSet`]: what the database knows; [`LiveSetReport`] |
//! | `ANY /host/v1/sandboxes/{id}/guest/{path}` | what runs inside: [`guest`](super::guest) |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Egress, Rootfs, SandboxEnd, SandboxLimits, SandboxPhase, SandboxState, SandboxStats};
use crate::{SandboxHostId, SandboxId, SnapshotId, tunnel::RunnerTunnel};

/// Everything a host must know to make a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Its id.
    pub id: SandboxId,
    /// What people call it: its host name inside.
    pub name: String,
    /// Its root file system.
    pub rootfs: Rootfs,
    /// What it may reach.
    pub egress: Egress,
    /// The most it may use.
    pub limits: SandboxLimits,
    /// Whether it has a Docker daemon of its own.
    pub docker: bool,
    /// Its desktop, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<super::DesktopSpec>,
    /// Variables for everything that runs in it.
    pub env: BTreeMap<String, String>,
    /// It is stopped when nobody used it for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// It is stopped at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// The snapshot, or the sandbox, whose files it starts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Whose files a sandbox starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A snapshot's.
    Snapshot(SnapshotId),
    /// Another sandbox's on the same host, as they are now.
    Sandbox(SandboxId),
}

/// A sandbox as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Its id.
    pub id: SandboxId,
    /// Where it is in its life.
    pub state: SandboxState,
    /// What is being done, while `creating`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SandboxPhase>,
    /// Why it stopped or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SandboxEnd>,
    /// What it may reach.
    pub egress: Egress,
    /// The most it may use.
    pub limits: SandboxLimits,
    /// When it is stopped although nobody asks.
    pub times: SandboxTimes,
    /// When it was last used.
    pub used_at_ms: u64,
    /// How long the newest start took, phase by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
}

/// When a sandbox is stopped although nobody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SandboxTimes {
    /// When nobody used it for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// At this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

impl SandboxSpec {
    /// When it is stopped although nobody asks.
    pub const fn times(&self) -> SandboxTimes {
        SandboxTimes {
            idle_timeout_ms: self.idle_timeout_ms,
            expires_at_ms: self.expires_at_ms,
        }
    }

    /// Has it stopped at other times.
    pub const fn set_times(&mut self, times: SandboxTimes) {
        self.idle_timeout_ms = times.idle_timeout_ms;
        self.expires_at_ms = times.expires_at_ms;
    }
}

/// How long a phase took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: SandboxPhase,
    /// How long, in microseconds.
    pub took_us: u64,
}

/// A snapshot as its host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotStatus {
    /// Its id.
    pub id: SnapshotId,
    /// Its size on the host's disk.
    pub size_bytes: u64,
}

/// What a host can do, and what it cannot, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostCapability {
    /// Which: `network`, `limits`, `disk_limit`, `docker`, `host_rootfs`, `images`, …
    pub name: String,
    /// Whether it can.
    pub available: bool,
    /// How; or why not, and what to do.
    pub detail: String,
}

/// What a host has, and what of it is promised to sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct HostCapacity {
    /// Processor cores, in thousandths.
    pub cpu_millis: u32,
    /// Promised to sandboxes that run.
    pub cpu_promised_millis: u32,
    /// In use by anything, in thousandths of a core.
    pub cpu_used_millis: u32,
    /// Main memory.
    pub memory_bytes: u64,
    /// Promised to sandboxes that run or are paused.
    pub memory_promised_bytes: u64,
    /// Available, by the kernel's account.
    pub memory_available_bytes: u64,
    /// The file system that holds the sandboxes.
    pub disk_bytes: u64,
    /// Free of it.
    pub disk_free_bytes: u64,
}

/// An image that sandboxes on a host can start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostImage {
    /// Its name.
    pub name: String,
    /// The digest of what it holds, `sha256:…`.
    pub digest: String,
    /// Its size, unpacked.
    pub size_bytes: u64,
    /// When it was imported.
    pub created_at_ms: u64,
}

/// Everything about a host, as of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostInfo {
    /// Changes each time the host's daemon starts.
    pub boot_id: String,
    /// The daemon's version.
    pub version: String,
    /// The machine's name.
    pub hostname: String,
    /// Operating system and architecture, such as `linux x86_64`.
    pub platform: String,
    /// Which backend isolates: `namespaces` or `docker`.
    pub backend: String,
    /// What it can do and what it cannot.
    pub capabilities: Vec<HostCapability>,
    /// What it has.
    pub capacity: HostCapacity,
    /// Its images.
    pub images: Vec<HostImage>,
}

/// What a host says without being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "data")]
pub enum HostEvent {
    /// Everything: always first, and again where changes were lost.
    Snapshot {
        /// The host.
        info: HostInfo,
        /// Its sandboxes.
        sandboxes: Vec<SandboxStatus>,
    },
    /// One sandbox changed.
    Sandbox(SandboxStatus),
    /// One sandbox is gone, with everything of it.
    Gone(SandboxId),
    /// What the host has changed.
    Capacity(HostCapacity),
    /// What running sandboxes use. Also a sign of life: at least every 10 s.
    Stats(Vec<SandboxUse>),
}

/// What a host and its sandboxes use now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostUse {
    /// When this was measured.
    pub at_ms: u64,
    /// What the machine has, and what of it is used and promised.
    pub capacity: HostCapacity,
    /// What each sandbox that runs or is paused uses.
    pub sandboxes: Vec<SandboxUse>,
}

/// What one sandbox uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxUse {
    /// Which.
    pub id: SandboxId,
    /// What it uses.
    pub stats: SandboxStats,
}

/// What the control plane's database knows of a host's sandboxes. What a host has
/// beyond it is removed after a grace period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSet {
    /// Every sandbox that must be kept, running or not.
    pub sandboxes: Vec<SandboxId>,
    /// Every snapshot that must be kept.
    pub snapshots: Vec<SnapshotId>,
    /// Say what would be removed, and remove nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a host keeps and removes by a live set, each with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LiveSetReport {
    /// One for each sandbox and snapshot on the host.
    pub decisions: Vec<LiveSetDecision>,
}

/// What becomes of one sandbox or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveSetDecision {
    /// The sandbox's or snapshot's id.
    pub id: String,
    /// Whether it is removed.
    pub remove: bool,
    /// Why.
    pub reason: String,
}

/// Whether a host takes sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxHostState {
    /// Connected, and takes sandboxes.
    Online,
    /// Connected, and takes no new ones.
    Draining,
    /// Its connection broke and is being replaced.
    Reconnecting,
    /// Not connected.
    Offline,
}

/// A sandbox host, as the control plane shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxHost {
    /// Its id.
    pub id: SandboxHostId,
    /// What people call it.
    pub name: String,
    /// Whether it takes sandboxes.
    pub state: SandboxHostState,
    /// How it is connected.
    pub tunnel: RunnerTunnel,
    /// When it was registered.
    pub created_at_ms: u64,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<u64>,
    /// What it last said about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<HostInfo>,
    /// How many sandboxes it has that are not deleted.
    pub sandboxes: u32,
}

/// Registers a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSandboxHostRequest {
    /// What to call it. 1 to 100 characters.
    pub name: String,
}

/// Changes what is known of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct UpdateSandboxHostRequest {
    /// A new name. 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A new host: the only answer that carries its credential.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedSandboxHost {
    /// Its id.
    pub id: SandboxHostId,
    /// What to call it.
    pub name: String,
    /// The credential with which the host connects, `hxs_…`, shown this once.
    pub credential: String,
}

crate::redact::redacted_debug! {
    CreatedSandboxHost { id, name }
}
