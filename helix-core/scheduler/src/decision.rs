//! What the scheduler decides, each with its reason.

use helix_proto::{
    ErrorCode, InstanceId, ModelId, RequestId, RunnerId,
    runner::{DeviceMemory, FailureKind},
};

use crate::{
    event::{DeviceClass, LearnedNeed},
    wait::{WaitReason, bytes, seconds},
};

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why, for people and logs.
    pub reason: String,
}

/// One thing to do. The driver carries actions out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell the runner to start an instance. What it answers comes back as
    /// [`crate::Event::InstanceReported`] or [`crate::Event::StartRefused`].
    StartInstance {
        /// The id it is to have.
        instance: InstanceId,
        /// On which runner.
        runner: RunnerId,
        /// Of which model.
        model: ModelId,
        /// On which devices, with the bytes set aside on each. Empty for an
        /// external engine.
        devices: Vec<DeviceMemory>,
    },
    /// Tell the runner to stop an instance. May come again for the same one if
    /// the runner said nothing.
    StopInstance {
        /// Which one.
        instance: InstanceId,
        /// On which runner.
        runner: RunnerId,
        /// Why.
        why: StopReason,
    },
    /// Send the request to the instance, and report its end with
    /// [`crate::Event::RequestFinished`].
    Dispatch {
        /// The request.
        request: RequestId,
        /// The instance.
        instance: InstanceId,
        /// The runner of that instance.
        runner: RunnerId,
    },
    /// Answer the request with an error. It is over.
    Reject {
        /// The request.
        request: RequestId,
        /// Why.
        why: RejectReason,
    },
    /// Persist what was learned about a model's need, so that it comes back in
    /// [`crate::ModelSpec::learned`].
    RecordNeed {
        /// The model.
        model: ModelId,
        /// The `memory_key` under which it was learned.
        memory_key: String,
        /// On which devices.
        class: DeviceClass,
        /// What was learned.
        need: LearnedNeed,
    },
}

/// Why an instance is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Its room goes to an instance of another model.
    Evicted {
        /// The instance that gets the room.
        instance: InstanceId,
        /// The name of that one's model.
        model: String,
    },
    /// It had nothing to do for as long as its model's idle timeout.
    Idle,
    /// Its runner is to take nothing new.
    RunnerDraining,
    /// Its model is not registered, or no longer.
    ModelRemoved,
    /// Its model's settings changed.
    SettingsChanged,
    /// Someone asked for it.
    Requested,
    /// The runner did not say in time that it starts it.
    NotAcknowledged,
    /// The runner runs it though the scheduler had given it up.
    Unexpected,
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Evicted { model, .. } => write!(f, "its room goes to {model}"),
            Self::Idle => f.write_str("it had nothing to do for its idle timeout"),
            Self::RunnerDraining => f.write_str("its runner is draining"),
            Self::ModelRemoved => f.write_str("its model is not registered"),
            Self::SettingsChanged => f.write_str("its model's settings changed"),
            Self::Requested => f.write_str("someone asked for it"),
            Self::NotAcknowledged => f.write_str("the runner did not confirm the start in time"),
            Self::Unexpected => f.write_str("it had been given up"),
        }
    }
}

/// Why a request is rejected. `Display` is what the client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// Too many wait already.
    #[error("the queue is full: {capacity} requests are waiting; try again later")]
    QueueFull {
        /// How many may wait.
        capacity: u32,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The model is not registered, or no longer.
    #[error("the model is not registered")]
    UnknownModel,
    /// No device could ever hold the model.
    #[error(
        "{model} needs {} on a device, and the largest device of a connected runner that could \
         run it can give {} ({}); register it with a smaller context or fewer parallel requests, \
         spread it over more devices, or connect a larger machine",
        bytes(*.need_bytes), bytes(*.largest_bytes), .largest_device
    )]
    TooLarge {
        /// The model's name.
        model: String,
        /// What it needs on each device.
        need_bytes: u64,
        /// What the largest device can give.
        largest_bytes: u64,
        /// That device's name and its runner's.
        largest_device: String,
    },
    /// No runner has so many devices of one kind.
    #[error(
        "{model} is spread over {wanted} devices of one runner, and no connected runner that \
         could run it has more than {most}"
    )]
    TooFewDevices {
        /// The model's name.
        model: String,
        /// How many it needs.
        wanted: u32,
        /// The most that a runner has.
        most: u32,
    },
    /// No connected runner can run the model's engine.
    #[error("no runner can run {model} now: it needs the engine {engine}; {available}")]
    NoRunner {
        /// The model's name.
        model: String,
        /// The engine it needs.
        engine: &'static str,
        /// What is connected.
        available: String,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The model could not be started, repeatedly, anywhere.
    #[error("{model} could not be started ({failures} attempts): {message}")]
    StartFailed {
        /// The model's name.
        model: String,
        /// What happened the last time, for programs.
        kind: FailureKind,
        /// What happened the last time.
        message: String,
        /// How often in a row.
        failures: u32,
        /// When another attempt will be made for a new request.
        retry_after_ms: u64,
    },
    /// Its deadline passed before an instance could take it.
    #[error("timed out after waiting {} for a place: {waiting_for}", seconds(*.waited_ms))]
    TimedOut {
        /// How long it waited.
        waited_ms: u64,
        /// What it waited for at the end.
        waiting_for: Box<WaitReason>,
    },
    /// It was dispatched twice and lost twice before anything was answered.
    #[error("the instance that was to answer was lost, twice; try again")]
    Lost {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Nobody wants it any more.
    #[error("the request was cancelled")]
    Cancelled,
}

impl RejectReason {
    /// When the client may try again, where that could help.
    pub const fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::QueueFull { retry_after_ms, .. }
            | Self::NoRunner { retry_after_ms, .. }
            | Self::StartFailed { retry_after_ms, .. }
            | Self::Lost { retry_after_ms } => Some(*retry_after_ms),
            _ => None,
        }
    }

    /// The error code, and by it the HTTP status, that goes with the reason.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::QueueFull { .. } => ErrorCode::TooManyRequests,
            Self::UnknownModel => ErrorCode::NotFound,
            Self::TooLarge { .. }
            | Self::TooFewDevices { .. }
            | Self::NoRunner { .. }
            | Self::StartFailed { .. }
            | Self::Lost { .. } => ErrorCode::Unavailable,
            Self::TimedOut { .. } => ErrorCode::Timeout,
            Self::Cancelled => ErrorCode::Conflict,
        }
    }
}
