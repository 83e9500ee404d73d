//! Sandboxes: isolated environments on sandbox hosts, as REST, the control plane
//! and the hosts speak of them. What happens inside one is in [`guest`], what
//! control plane and host say to each other in [`host`].

pub mod choices;
pub mod desktop;
pub mod git;
pub mod guest;
pub mod host;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{SandboxHostId, SandboxId, SnapshotId, UserId};

/// Where a sandbox's root file system comes from. Either way what the sandbox
/// writes lands in a layer of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Rootfs {
    /// The host's own system, read-only, without what an ordinary user of the host
    /// could not read.
    #[default]
    Host,
    /// An image that was imported on the host.
    Image {
        /// Its name, such as `debian:12`, or its digest.
        image: String,
    },
}

/// What a sandbox may reach. Whatever the policy: never other sandboxes, the
/// host's own services, or link-local addresses (cloud metadata).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum Egress {
    /// Everything that the host can reach.
    #[default]
    Open,
    /// Only what is listed.
    AllowList {
        /// At most 256.
        rules: Vec<EgressRule>,
    },
    /// Nothing.
    None,
}

/// One thing that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EgressRule {
    /// A name (`example.com`), all names below one (`*.example.com`), an address, or
    /// a network (`10.1.0.0/16`).
    pub to: String,
    /// Which ports, such as `443` or `8000-8999`; every port if empty. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// TCP and UDP if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<EgressProtocol>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EgressProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The most that a sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxLimits {
    /// Processor time, in thousandths of a core. 50 to 1,024,000.
    pub cpu_millis: u32,
    /// Main memory. From 16 MiB.
    pub memory_bytes: u64,
    /// Processes and threads. 16 to 4,194,304.
    pub pids: u32,
    /// What it may write. From 64 MiB.
    pub disk_bytes: u64,
    /// Open files of one process. 64 to 1,048,576.
    pub open_files: u32,
}

impl SandboxLimits {
    /// Two cores, 4 GiB of memory, 4,096 processes, 10 GiB of disk, 65,536 files.
    pub const DEFAULT: Self = Self {
        cpu_millis: 2_000,
        memory_bytes: 4 << 30,
        pids: 4_096,
        disk_bytes: 10 << 30,
        open_files: 65_536,
    };

    /// Says what is wrong with limits that cannot be kept.
    ///
    /// # Errors
    ///
    /// Names the first limit out of its range, and the range.
    pub fn check(&self) -> Result<(), String> {
        let ranges: [(&str, u64, u64, u64); 5] = [
            ("cpu_millis", self.cpu_millis.into(), 50, 1_024_000),
            ("memory_bytes", self.memory_bytes, 16 << 20, 1 << 50),
            ("pids", self.pids.into(), 16, 4_194_304),
            ("disk_bytes", self.disk_bytes, 64 << 20, 1 << 50),
            ("open_files", self.open_files.into(), 64, 1_048_576),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!(
                    "the limit {name} is {value}; give {least} to {most}"
                ));
            }
        }
        Ok(())
    }
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where a sandbox is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxState {
    /// It is being made; see [`Sandbox::phase`].
    Creating,
    /// Its processes run.
    Running,
    /// Its processes stand still, in memory.
    Paused,
    /// It has no processes; its files are kept.
    Stopped,
    /// It could not be made, or broke; see [`Sandbox::end`]. Its files are kept.
    Failed,
    /// It is gone, or on its way.
    Deleted,
}

/// What is being done to a sandbox that is being made, each with a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxPhase {
    /// A host is being chosen and asked.
    Placing,
    /// Its disk and root file system are being made.
    Filesystem,
    /// Its namespaces, network and limits are being made.
    Isolation,
    /// What runs inside is starting.
    Guest,
    /// Its Docker daemon is starting.
    Docker,
}

/// Why a sandbox stopped or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxEnd {
    /// For programs.
    pub kind: SandboxEndKind,
    /// For people: what happened, and what to do where that is known.
    pub message: String,
}

/// Why a sandbox stopped or failed, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxEndKind {
    /// Somebody stopped it.
    Requested,
    /// Nobody used it for its idle timeout.
    Idle,
    /// Its time to live was over.
    Expired,
    /// The host was started again, or lost it.
    HostRestarted,
    /// The host cannot do what was asked.
    Unsupported,
    /// No host has room.
    NoCapacity,
    /// The image is not on the host.
    ImageMissing,
    /// A phase took longer than its deadline.
    Timeout,
    /// The host's disk is nearly full.
    DiskFull,
    /// The first process inside ended.
    Exited,
    /// It used more memory than it may.
    OutOfMemory,
    /// Anything else.
    Internal,
}

/// What draws a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DesktopKind {
    /// The compositor Sway, with what the sandbox's system has to run in it.
    #[default]
    Sway,
    /// An X server in memory, for programs that need one.
    X11,
    /// A picture that is made up, with a clock, for tests of what streams it.
    Pattern,
}

impl DesktopKind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sway => "sway",
            Self::X11 => "x11",
            Self::Pattern => "pattern",
        }
    }
}

/// A desktop for a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesktopSpec {
    /// What draws it.
    #[serde(default)]
    pub kind: DesktopKind,
    /// Pixels across that it begins with, 320 to 7,680.
    pub width: u16,
    /// Pixels down that it begins with, 240 to 4,320.
    pub height: u16,
    /// Whether its clipboard is passed on, to and from viewers and programs outside of it; true if
    /// absent.
    // Not said where it is: a host that knows of no switch takes such a desktop, and refuses others.
    #[serde(default = "passed_on", skip_serializing_if = "is_passed_on")]
    pub clipboard: bool,
}

const fn passed_on() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_passed_on(clipboard: &bool) -> bool {
    *clipboard
}

impl DesktopSpec {
    /// The field that is out of its range, and the range.
    pub fn fault(&self) -> Option<(&'static str, std::ops::RangeInclusive<u16>)> {
        let checks = [
            ("width", self.width, 320..=7_680),
            ("height", self.height, 240..=4_320),
        ];
        let wrong = checks
            .into_iter()
            .find(|(_, value, range)| !range.contains(value));
        wrong.map(|(field, _, range)| (field, range))
    }
}

/// Makes a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSandboxRequest {
    /// What to call it. 1 to 100 characters; made up if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its root file system; the host's own system if absent.
    #[serde(default)]
    pub rootfs: Rootfs,
    /// What it may reach; everything if absent.
    #[serde(default)]
    pub egress: Egress,
    /// The most it may use; [`SandboxLimits::DEFAULT`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<SandboxLimits>,
    /// Whether it has a Docker daemon of its own.
    #[serde(default)]
    pub docker: bool,
    /// Its desktop; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<DesktopSpec>,
    /// Variables for everything that runs in it. At most 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Which of one's secrets it is given, by name. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// It is stopped when nobody used it for so long; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// It is stopped so long after it was made; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// The host to make it on; the one with the most room if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<SandboxHostId>,
    /// A snapshot whose files it starts with. Its host, root file system, policy
    /// and limits are the snapshot's unless given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<SnapshotId>,
}

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is; absent until it was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<SandboxHostId>,
    /// Where it is in its life, as the host last said.
    pub state: SandboxState,
    /// Whether its host can be reached now; if not, `state` is what it was then.
    pub reachable: bool,
    /// What is being done, while `creating`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SandboxPhase>,
    /// Why it stopped or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SandboxEnd>,
    /// Its root file system.
    pub rootfs: Rootfs,
    /// What it may reach.
    pub egress: Egress,
    /// The most it may use.
    pub limits: SandboxLimits,
    /// Whether it has a Docker daemon of its own.
    pub docker: bool,
    /// Its desktop, if it has one, with the size that it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<DesktopSpec>,
    /// Its idle timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// When its time to live is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// When it was asked for.
    pub created_at_ms: u64,
    /// When it was last used.
    pub used_at_ms: u64,
    /// Where a browser opens a server in it, with `{port}` where the port goes; absent
    /// where the control plane has no domain for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports_url: Option<String>,
}

/// Asks for the way to a server in a sandbox, for one browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortLinkRequest {
    /// Which port of the sandbox.
    pub port: u16,
    /// What that browser got at the server's own origin.
    pub state: String,
    /// The path there to go on to.
    pub path: String,
}

/// The way to a server in a sandbox.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortLink {
    /// Where the browser is to go, once and within a minute.
    pub url: String,
}

crate::redact::redacted_debug! {
    PortLink { }
}

/// What a sandbox uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SandboxStats {
    /// When this was measured.
    pub at_ms: u64,
    /// Processor time used so far, in microseconds.
    pub cpu_us: u64,
    /// Processor time in use, in thousandths of a core, since the measurement before.
    pub cpu_millis: u32,
    /// Main memory in use.
    pub memory_bytes: u64,
    /// The most it may use.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Written to its disk.
    pub disk_bytes: u64,
    /// The most it may write.
    pub disk_limit_bytes: u64,
    /// Sent to its network so far.
    pub sent_bytes: u64,
    /// Received from its network so far.
    pub received_bytes: u64,
}

/// A line of a sandbox's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxLogLine {
    /// When it was written.
    pub at_ms: u64,
    /// Who wrote it: `host`, `guest` or `docker`.
    pub source: String,
    /// What.
    pub text: String,
}

/// The newest lines of a sandbox's log, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SandboxLog {
    /// The lines.
    pub lines: Vec<SandboxLogLine>,
}

/// Changes a sandbox. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSandboxRequest {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may reach from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// The most it may use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsUpdate>,
    /// It is stopped when nobody used it for so long; null for never.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub idle_timeout_ms: Option<Option<u64>>,
    /// It is stopped so long from now; null for never.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub ttl_ms: Option<Option<u64>>,
}

/// Tells what is null from what is absent.
pub(crate) fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes some of a sandbox's limits. Processor time, memory and processes change while it
/// runs, too; open files and disk, which only grows, while it does not. Sandboxes in
/// containers keep the disk and the open files that they were made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsUpdate {
    /// Processor time, in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// Main memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// What it may write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Open files of one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

impl LimitsUpdate {
    /// The limits that come of these.
    #[must_use]
    pub fn on(&self, limits: &SandboxLimits) -> SandboxLimits {
        SandboxLimits {
            cpu_millis: self.cpu_millis.unwrap_or(limits.cpu_millis),
            memory_bytes: self.memory_bytes.unwrap_or(limits.memory_bytes),
            pids: self.pids.unwrap_or(limits.pids),
            disk_bytes: self.disk_bytes.unwrap_or(limits.disk_bytes),
            open_files: self.open_files.unwrap_or(limits.open_files),
        }
    }
}

/// Names a snapshot, or a fork.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct NameRequest {
    /// What to call it. 1 to 100 characters; made up if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The files of a sandbox as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// What people call it.
    pub name: String,
    /// The host that keeps it.
    pub host_id: SandboxHostId,
    /// The sandbox it was taken of.
    pub sandbox_id: SandboxId,
    /// Its size on the host's disk.
    pub size_bytes: u64,
    /// When it was taken.
    pub created_at_ms: u64,
}
