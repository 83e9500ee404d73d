//! What tests say to the scheduler, in few words.

use std::collections::BTreeMap;

use helix_proto::{
    InstanceId, ModelId, RequestId, RunnerId, TypedId as _,
    model::{EngineKind, MemoryBasis, ModelMemory},
    queue::Priority,
    runner::{
        Device, DeviceKind, DeviceMemory, EngineInfo, Failure, FailureKind, InstanceState,
        InstanceStatus, RunnerInfo,
    },
};
use helix_scheduler::{Action, Decision, Event, ModelSpec, Options, RequestSpec, Scheduler};

pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn runner(number: u64) -> RunnerId {
    RunnerId::from_parts(1, number.into())
}

pub(crate) fn model(number: u64) -> ModelId {
    ModelId::from_parts(1, number.into())
}

pub(crate) fn request(number: u64) -> RequestId {
    RequestId::from_parts(1, number.into())
}

/// No headroom, so that sizes in tests are round.
pub(crate) fn options() -> Options {
    Options {
        headroom_bytes: 0,
        headroom_percent: 0,
        reconnect_grace_ms: 5_000,
        ..Options::default()
    }
}

pub(crate) fn gpu(id: &str, total_gib: u64, free_gib: u64) -> Device {
    Device {
        id: id.to_owned(),
        index: 0,
        kind: DeviceKind::Cuda,
        name: "Test GPU".to_owned(),
        total_bytes: total_gib * GIB,
        free_bytes: free_gib * GIB,
        utilization_percent: None,
        temperature_celsius: None,
    }
}

pub(crate) fn info(number: u64, devices: Vec<Device>, engines: &[EngineKind]) -> RunnerInfo {
    RunnerInfo {
        boot_id: "first".to_owned(),
        version: "0.1.0".to_owned(),
        hostname: format!("machine-{number}"),
        platform: "linux x86_64".to_owned(),
        devices,
        engines: engines
            .iter()
            .map(|kind| EngineInfo {
                kind: *kind,
                available: true,
                detail: String::new(),
            })
            .collect(),
        instances: Vec::new(),
    }
}

/// A model that needs so many GiB on one device, and serves two at once.
pub(crate) fn spec(number: u64, need_gib: u64) -> ModelSpec {
    ModelSpec {
        id: model(number),
        name: format!("model-{number}"),
        engine: EngineKind::LlamaCpp,
        need: Some(ModelMemory {
            bytes_per_device: need_gib * GIB,
            basis: MemoryBasis::Estimated,
        }),
        memory_key: "as registered".to_owned(),
        learned: BTreeMap::new(),
        parallel: 2,
        devices: 1,
        max_instances: 8,
        idle_timeout_ms: None,
    }
}

pub(crate) fn ask(number: u64, of: u64) -> RequestSpec {
    RequestSpec {
        id: request(number),
        model: model(of),
        user: None,
        priority: Priority::Normal,
        deadline_at_ms: u64::MAX,
    }
}

pub(crate) fn status(
    id: InstanceId,
    of: ModelId,
    state: InstanceState,
    reserved: Vec<DeviceMemory>,
) -> InstanceStatus {
    InstanceStatus {
        id,
        model_id: of,
        model_name: String::new(),
        engine: EngineKind::LlamaCpp,
        state,
        progress: None,
        failure: None,
        reserved,
        peak: Vec::new(),
        engine_model: String::new(),
        restarts: 0,
        started_at_ms: 0,
        ready_at_ms: None,
    }
}

pub(crate) fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure {
        kind,
        message: message.to_owned(),
        log: Vec::new(),
    }
}

/// A scheduler and its clock.
pub(crate) struct Bench {
    pub(crate) scheduler: Scheduler,
    pub(crate) now_ms: u64,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            scheduler: Scheduler::new(options, 7),
            now_ms: 1_000_000,
        }
    }

    /// With one connected runner that has one GPU and llama.cpp.
    pub(crate) fn with_gpu(total_gib: u64) -> Self {
        let mut bench = Self::new(options());
        bench.connect(1, vec![gpu("gpu-0", total_gib, total_gib)]);
        bench
    }

    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let decisions = self.scheduler.handle(event, self.now_ms);
        assert!(decisions.iter().all(|decision| !decision.reason.is_empty()));
        decisions
            .into_iter()
            .map(|Decision { action, .. }| action)
            .collect()
    }

    pub(crate) fn connect(&mut self, number: u64, devices: Vec<Device>) -> Vec<Action> {
        let info = Box::new(info(number, devices, &[EngineKind::LlamaCpp]));
        self.tell(Event::RunnerUp {
            runner: runner(number),
            info,
            draining: false,
        })
    }

    pub(crate) fn put(&mut self, spec: ModelSpec) -> Vec<Action> {
        self.tell(Event::ModelPut(Box::new(spec)))
    }

    pub(crate) fn ask(&mut self, number: u64, of: u64) -> Vec<Action> {
        self.tell(Event::RequestQueued(ask(number, of)))
    }

    /// Lets time pass, with a tick at the end.
    pub(crate) fn wait(&mut self, ms: u64) -> Vec<Action> {
        self.now_ms += ms;
        self.tell(Event::Tick)
    }

    pub(crate) fn report(&mut self, id: InstanceId, state: InstanceState) -> Vec<Action> {
        self.report_with(id, |status| status.state = state)
    }

    pub(crate) fn report_with(
        &mut self,
        id: InstanceId,
        change: impl FnOnce(&mut InstanceStatus),
    ) -> Vec<Action> {
        let view = self.scheduler.instance(id).expect("it has not ended");
        let mut status = status(id, view.model, InstanceState::Ready, view.reserved);
        change(&mut status);
        let status = Box::new(status);
        self.tell(Event::InstanceReported {
            runner: view.runner,
            status,
        })
    }

    pub(crate) fn fail(&mut self, id: InstanceId, kind: FailureKind, message: &str) -> Vec<Action> {
        self.report_with(id, |status| {
            status.state = InstanceState::Failed;
            status.failure = Some(failure(kind, message));
        })
    }

    /// Asks for the model, and makes the instance that is started for it ready.
    pub(crate) fn ready(&mut self, number: u64, of: u64) -> InstanceId {
        let started = self.ask(number, of);
        let id = started_instance(&started);
        self.report(id, InstanceState::Ready);
        id
    }

    pub(crate) fn finish(&mut self, number: u64, outcome: helix_scheduler::Outcome) -> Vec<Action> {
        self.tell(Event::RequestFinished {
            request: request(number),
            outcome,
        })
    }

    pub(crate) fn why(&self, number: u64) -> String {
        self.scheduler
            .explain(request(number))
            .map_or_else(String::new, |why| why.to_string())
    }
}

/// The one instance that is started.
pub(crate) fn started_instance(actions: &[Action]) -> InstanceId {
    let started: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::StartInstance { instance, .. } => Some(*instance),
            _ => None,
        })
        .collect();
    assert_eq!(started.len(), 1, "{actions:?}");
    started[0]
}

pub(crate) fn stopped(actions: &[Action]) -> Vec<InstanceId> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::StopInstance { instance, .. } => Some(*instance),
            _ => None,
        })
        .collect()
}

pub(crate) fn dispatched(actions: &[Action]) -> Vec<(RequestId, InstanceId)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Dispatch {
                request, instance, ..
            } => Some((*request, *instance)),
            _ => None,
        })
        .collect()
}

/// What each rejected request is told.
pub(crate) fn rejected(actions: &[Action]) -> Vec<(RequestId, String)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Reject { request, why } => Some((*request, why.to_string())),
            _ => None,
        })
        .collect()
}
