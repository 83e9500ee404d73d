//! The control plane about itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What runs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The release, such as `0.1.0`.
    pub version: String,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The release.
    pub version: String,
    /// When the control plane started.
    pub started_at_ms: u64,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// Registered runners.
    pub runners_total: u32,
    /// Runners that take work now.
    pub runners_online: u32,
    /// Instances that are ready now.
    pub instances_ready: u32,
    /// Requests that wait.
    pub requests_waiting: u32,
    /// Requests in flight.
    pub requests_running: u32,
}
