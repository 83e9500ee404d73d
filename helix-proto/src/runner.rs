//! What control plane and runner say to each other.
//!
//! The runner serves these routes over its tunnel; the control plane calls them.
//!
//! | route | what |
//! |---|---|
//! | `GET /runner/v1/info` | [`RunnerInfo`] |
//! | `GET /runner/v1/events` | newline-delimited JSON of [`RunnerEvent`]: a snapshot, then changes |
//! | `PUT /runner/v1/instances/{id}` | [`StartInstance`]; idempotent by id; answers [`InstanceStatus`] |
//! | `DELETE /runner/v1/instances/{id}` | drains, then stops; idempotent; answers [`InstanceStatus`] |
//! | `GET /runner/v1/instances/{id}/log?tail=N` | [`LogTail`] |
//! | `POST /runner/v1/inspect` | [`InspectRequest`] → [`InspectResponse`] |
//! | `ANY /runner/v1/instances/{id}/engine/{path}` | the engine's own HTTP API |

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    InstanceId, ModelId,
    model::{EngineKind, ModelSettings, ModelSource},
};

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The processor and main memory.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// One device as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Stable on its runner: `cpu`, or the GPU's UUID.
    pub id: String,
    /// The number by which engines know it (`CUDA_VISIBLE_DEVICES`).
    pub index: u32,
    /// What it is.
    pub kind: DeviceKind,
    /// For people, such as `NVIDIA H200`.
    pub name: String,
    /// All its memory.
    pub total_bytes: u64,
    /// What is free of it, by the device's own account.
    pub free_bytes: u64,
    /// How busy it is, 0 to 100, where the device says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization_percent: Option<u8>,
    /// In degrees Celsius, where the device says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<i32>,
}

/// An amount of memory on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceMemory {
    /// The device's id.
    pub device: String,
    /// The amount.
    pub bytes: u64,
}

/// Whether a runner can run an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineInfo {
    /// Which engine.
    pub kind: EngineKind,
    /// Whether instances of it can be started.
    pub available: bool,
    /// Its version or path where it is available; else why not, and what to do.
    pub detail: String,
}

/// Everything about a runner, as of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerInfo {
    /// Changes each time the runner's process starts.
    pub boot_id: String,
    /// The runner's version.
    pub version: String,
    /// The machine's name.
    pub hostname: String,
    /// Operating system and architecture, such as `linux x86_64`.
    pub platform: String,
    /// Its devices.
    pub devices: Vec<Device>,
    /// What it can run.
    pub engines: Vec<EngineInfo>,
    /// Its instances, ended ones of late included.
    pub instances: Vec<InstanceStatus>,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Its weights are on their way.
    Downloading,
    /// The engine is loading them.
    Starting,
    /// It answers requests.
    Ready,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It ended as told.
    Stopped,
    /// It ended otherwise; see [`InstanceStatus::failure`].
    Failed,
}

impl InstanceState {
    /// Whether nothing follows this state.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }
}

/// Why an instance failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The engine is not installed on the runner.
    EngineMissing,
    /// The weights are not where the source says.
    ModelMissing,
    /// The weights could not be fetched.
    Download,
    /// There was too little memory.
    OutOfMemory,
    /// It was not ready within its deadline.
    ReadyTimeout,
    /// The engine exited by itself.
    Crashed,
    /// The engine stopped answering its health check.
    Unhealthy,
    /// The settings cannot work with this engine or source.
    Unsupported,
}

/// How an instance failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people: what failed, and what to do where that is known.
    pub message: String,
    /// The engine's last words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// How far a download or start has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What is being done, for people.
    pub step: String,
    /// Done so far, in bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_bytes: Option<u64>,
    /// Of how many, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// One instance as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceStatus {
    /// Its id, given by the control plane.
    pub id: InstanceId,
    /// The model it runs.
    pub model_id: ModelId,
    /// That model's name.
    pub model_name: String,
    /// The engine that runs it.
    pub engine: EngineKind,
    /// Where it is in its life.
    pub state: InstanceState,
    /// How far it has come, while downloading or starting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What the control plane set aside for it.
    pub reserved: Vec<DeviceMemory>,
    /// The highest use seen so far, where it could be measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peak: Vec<DeviceMemory>,
    /// The name under which the engine knows the model: requests must carry it.
    pub engine_model: String,
    /// How often the engine was started again after a crash.
    pub restarts: u32,
    /// When it was first started.
    pub started_at_ms: u64,
    /// When it last became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at_ms: Option<u64>,
}

/// Tells a runner to start an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartInstance {
    /// The model to run.
    pub model_id: ModelId,
    /// Its name.
    pub model_name: String,
    /// The engine to run it with.
    pub engine: EngineKind,
    /// Where the weights come from.
    pub source: ModelSource,
    /// How to run it.
    pub settings: ModelSettings,
    /// Where to run it, and how many bytes are set aside for it on each device.
    /// Empty for an external engine.
    pub devices: Vec<DeviceMemory>,
}

/// Asks what a model would need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectRequest {
    /// The engine it would run with.
    pub engine: EngineKind,
    /// Where its weights come from.
    pub source: ModelSource,
    /// How it would run.
    pub settings: ModelSettings,
}

/// What a model would need, read from the header of its weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectResponse {
    /// Bytes on each device; absent where nothing can be known before a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_device: Option<u64>,
    /// The longest context the model was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_context_tokens: Option<u32>,
}

/// The last lines of an instance's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogTail {
    /// Oldest first.
    pub lines: Vec<String>,
}

/// What a runner tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunnerEvent {
    /// Everything; the first event of a stream.
    Snapshot {
        /// The runner as it is.
        info: RunnerInfo,
    },
    /// The devices as they are now; at least every 10 s, so that a silent
    /// stream is a dead one.
    Devices {
        /// All of them.
        devices: Vec<Device>,
    },
    /// An instance changed.
    Instance {
        /// The instance as it is now.
        instance: InstanceStatus,
    },
}
