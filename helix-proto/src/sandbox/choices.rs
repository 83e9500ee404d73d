//! What a new sandbox can be made of: as much of hosts as everybody may know who makes one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::SandboxHostId;

/// What a new sandbox can be made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SandboxChoices {
    /// The hosts, oldest first.
    pub hosts: Vec<HostChoice>,
}

/// A host that a sandbox can be made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostChoice {
    /// Its id.
    pub id: SandboxHostId,
    /// What people call it.
    pub name: String,
    /// Whether it takes new sandboxes now.
    pub available: bool,
    /// Whether sandboxes can have its own system as their root file system.
    pub host_rootfs: bool,
    /// Whether sandboxes can have a Docker daemon of their own.
    pub docker: bool,
    /// Whether sandboxes can have a desktop.
    pub desktop: bool,
    /// All of its processor time, in thousandths of a core.
    pub cpu_millis: u32,
    /// All of its main memory.
    pub memory_bytes: u64,
    /// The images that sandboxes can start from, sorted by name.
    pub images: Vec<ImageChoice>,
}

/// An image that a sandbox can start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageChoice {
    /// Its name.
    pub name: String,
    /// Its size, unpacked.
    pub size_bytes: u64,
}
