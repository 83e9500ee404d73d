//! What the scheduler is told.

use std::collections::BTreeMap;

use helix_proto::{
    InstanceId, ModelId, RequestId, RunnerId, UserId,
    model::{EngineKind, ModelMemory},
    queue::Priority,
    runner::{Device, DeviceKind, Failure, InstanceStatus, RunnerInfo},
};
use serde::{Deserialize, Serialize};

/// Something that happened. Events that say again what is known already, or
/// that speak of what is no longer there, change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A runner connected, or said again all about itself. What it runs is
    /// adopted; what it was thought to run and does not is forgotten. Put the
    /// models first: an instance of a model that is not known is stopped.
    RunnerUp {
        /// Which one.
        runner: RunnerId,
        /// All about it.
        info: Box<RunnerInfo>,
        /// It is to take nothing new.
        draining: bool,
    },
    /// A runner is no longer connected. Requests in flight on it stay in flight
    /// until the driver reports each with [`Event::RequestFinished`].
    RunnerDown {
        /// Which one.
        runner: RunnerId,
    },
    /// The connection to a runner broke and may be replaced: what is in flight
    /// on it goes on, and it is given nothing new until then. It ends with
    /// [`Event::RunnerBack`] or [`Event::RunnerDown`].
    RunnerAway {
        /// Which one.
        runner: RunnerId,
    },
    /// The connection to a runner was replaced; nothing on it was lost.
    RunnerBack {
        /// Which one.
        runner: RunnerId,
    },
    /// A runner will not come back.
    RunnerRemoved {
        /// Which one.
        runner: RunnerId,
    },
    /// A runner is to finish what it has and take nothing new.
    RunnerDraining {
        /// Which one.
        runner: RunnerId,
    },
    /// A runner may take work again.
    RunnerResumed {
        /// Which one.
        runner: RunnerId,
    },
    /// A runner measured its devices.
    DevicesMeasured {
        /// Which one.
        runner: RunnerId,
        /// All its devices.
        devices: Vec<Device>,
    },
    /// A runner said how an instance is: state, progress, failure, peak use.
    InstanceReported {
        /// Which one.
        runner: RunnerId,
        /// The instance as it is now.
        status: Box<InstanceStatus>,
    },
    /// The runner answered that it will not start the instance. Not for an
    /// answer that got lost: then the instance may be starting.
    StartRefused {
        /// Which one.
        instance: InstanceId,
        /// Why.
        failure: Failure,
    },
    /// The runner answered that it knows no such instance.
    InstanceGone {
        /// Which one.
        instance: InstanceId,
    },
    /// A model was registered or changed.
    ModelPut(Box<ModelSpec>),
    /// A model is no longer registered. Its waiting requests are rejected, its
    /// instances stopped as their work ends.
    ModelRemoved {
        /// Which one.
        model: ModelId,
    },
    /// Someone wants an instance of the model to be there before requests are.
    Prewarm {
        /// Which model.
        model: ModelId,
    },
    /// Someone wants the instance stopped, whatever it does.
    StopInstance {
        /// Which one.
        instance: InstanceId,
    },
    /// A request came.
    RequestQueued(RequestSpec),
    /// Nobody wants the request any more. If it waits, it is answered by
    /// [`crate::Action::Reject`]; if it is in flight, its place is free now.
    RequestCancelled {
        /// Which one.
        request: RequestId,
    },
    /// A dispatched request is over.
    RequestFinished {
        /// Which one.
        request: RequestId,
        /// How.
        outcome: Outcome,
    },
    /// Time passed. To be sent at least once a second, better four times:
    /// deadlines, pauses and graces are noticed then.
    Tick,
}

/// A request for a place on an instance of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSpec {
    /// Its id.
    pub id: RequestId,
    /// The model it asks for.
    pub model: ModelId,
    /// Whose it is, for the queue that people see.
    pub user: Option<UserId>,
    /// How urgent it is.
    pub priority: Priority,
    /// When waiting ends, in milliseconds since the Unix epoch.
    pub deadline_at_ms: u64,
}

/// How a dispatched request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The engine answered, if only with an error about the request.
    Completed,
    /// The answer broke off, or the engine answered with a fault of its own.
    Failed,
    /// The client left.
    Cancelled,
    /// The runner or instance was lost before anything went to the client: the
    /// request is queued again, once, at its old place. The driver waits for
    /// the next [`crate::Action::Dispatch`] or [`crate::Action::Reject`]; there
    /// is one of the latter also when the request was cancelled meanwhile.
    LostBeforeResponse,
}

/// What the scheduler has to know about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// Its id.
    pub id: ModelId,
    /// The name that people know.
    pub name: String,
    /// The engine that runs it.
    pub engine: EngineKind,
    /// What one instance needs on each device by estimate or configuration.
    /// `None` if nothing is known: then a first instance gets a device of its
    /// own. Ignored for an external engine, which needs nothing here.
    pub need: Option<ModelMemory>,
    /// A text that changes with everything its need depends on: source,
    /// context, parallel, engine arguments. What was learned counts as long as
    /// this stays; instances made under another one are replaced.
    pub memory_key: String,
    /// What was learned under this `memory_key`, as
    /// [`crate::Action::RecordNeed`] said, by device class.
    pub learned: BTreeMap<DeviceClass, LearnedNeed>,
    /// Requests served at once by one instance; at least 1.
    pub parallel: u32,
    /// Devices of one runner that one instance is spread over; at least 1.
    pub devices: u32,
    /// How many instances may run at once.
    pub max_instances: u32,
    /// Stop an instance that had nothing to do for this long.
    pub idle_timeout_ms: Option<u64>,
}

/// Devices on which a model needs the same: one model of GPU, or any processor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceClass(pub String);

impl DeviceClass {
    /// The class of a device.
    pub fn of(device: &Device) -> Self {
        match device.kind {
            DeviceKind::Cpu => Self("cpu".to_owned()),
            DeviceKind::Cuda => Self(device.name.clone()),
        }
    }
}

/// What was learned about a model's need from running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedNeed {
    /// To be set aside on each device.
    pub bytes: u64,
    /// How it was learned.
    pub source: LearnedFrom,
}

/// How a need was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnedFrom {
    /// A start with less ran out of memory. The first measured peak replaces it.
    OutOfMemory,
    /// The highest use that was seen, and a margin. Only a higher one replaces it.
    Peak,
}
