//! Runners as the control plane shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    JoinTokenId, RunnerId,
    runner::{Device, EngineInfo, InstanceStatus},
    tunnel::RunnerTunnel,
};

/// Whether a runner takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// Connected, and takes work.
    Online,
    /// Connected, finishes what it has and takes nothing new.
    Draining,
    /// Its connection broke and is being replaced: what it is doing goes on, and
    /// it takes nothing new until then.
    Reconnecting,
    /// Not connected.
    Offline,
}

/// A runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// What people call it.
    pub name: String,
    /// Whether it takes part.
    pub state: RunnerState,
    /// How it is connected.
    pub tunnel: RunnerTunnel,
    /// When it was registered.
    pub created_at_ms: u64,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<u64>,
    /// Its version, as it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The machine's name, as it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Operating system and architecture, as it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Its devices, with what instances have set aside.
    pub devices: Vec<RunnerDevice>,
    /// What it can run.
    pub engines: Vec<EngineInfo>,
    /// Its instances, ended ones of late included.
    pub instances: Vec<RunnerInstance>,
}

/// A device and what is set aside on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerDevice {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// What the scheduler set aside for instances.
    pub reserved_bytes: u64,
}

/// An instance and what it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerInstance {
    /// The instance.
    #[serde(flatten)]
    pub status: InstanceStatus,
    /// Requests it is answering.
    pub in_flight: u32,
}

/// Registers a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateRunnerRequest {
    /// What to call it. 1 to 100 characters.
    pub name: String,
}

/// A new runner: the only answer that carries its credential.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedRunner {
    /// Its id.
    pub id: RunnerId,
    /// What to call it.
    pub name: String,
    /// The credential with which the runner connects, `hxr_…`, shown this once.
    pub credential: String,
}

/// Makes a token with which machines register themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateJoinTokenRequest {
    /// What the token is for. 1 to 100 characters.
    pub name: String,
    /// How many machines may use it. 1 to 10,000; one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// When it stops working; a day from now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// What machines become with it; runners if absent.
    #[serde(default)]
    pub role: MachineRole,
}

/// What a machine is to the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineRole {
    /// It runs models.
    #[default]
    Runner,
    /// It hosts sandboxes.
    SandboxHost,
}

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// What it is for.
    pub name: String,
    /// What machines become with it.
    #[serde(default)]
    pub role: MachineRole,
    /// How many machines used it.
    pub uses: u32,
    /// How many may.
    pub max_uses: u32,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it stops working.
    pub expires_at_ms: u64,
}

/// A new join token: the only answer that carries its secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedJoinToken {
    /// The token.
    pub join_token: JoinToken,
    /// Its secret, `hxj_…`, shown this once.
    pub secret: String,
}

/// A machine registers itself as a runner, answered by [`CreatedRunner`], or as a
/// sandbox host, answered by
/// [`CreatedSandboxHost`](crate::sandbox::host::CreatedSandboxHost).
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// A join token's secret.
    pub token: String,
    /// What to call the machine. 1 to 100 characters.
    pub name: String,
}

crate::redact::redacted_debug! {
    CreatedRunner { id, name }
    CreatedJoinToken { join_token }
    JoinRequest { name }
}
