//! All instances of a runner.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use helix_base::{Clock, SecretString, TaskGroup};
use helix_proto::{
    ApiError, ErrorCode, InstanceId,
    model::{EngineKind, ModelSettings},
    runner::{Device, InstanceStatus, RunnerEvent, StartInstance},
};
use rand::RngExt as _;
use tokio::sync::{broadcast, mpsc, watch};

use crate::{
    devices::Devices,
    engine::{Engine, Job},
    instance::{Context, Driver, Gate, LifeOptions, Order},
    process::{LogBuffer, Supervisor},
};

/// What instances share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engines: HashMap<EngineKind, Arc<dyn Engine>>,
    pub(crate) options: LifeOptions,
    pub(crate) supervisor: Supervisor,
    pub(crate) devices: Arc<dyn Devices>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) direct: reqwest::Client,
    pub(crate) outward: reqwest::Client,
    pub(crate) tasks: TaskGroup,
    pub(crate) events: broadcast::Sender<RunnerEvent>,
}

/// All instances of a runner. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Instances {
    shared: Arc<Shared>,
    entries: Arc<RwLock<HashMap<InstanceId, Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    status: watch::Receiver<InstanceStatus>,
    orders: mpsc::Sender<Order>,
    log: LogBuffer,
    gate: Gate,
}

impl Instances {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            entries: Arc::default(),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Starts an instance, unless there is one by that id already.
    pub(crate) fn start(
        &self,
        id: InstanceId,
        start: StartInstance,
        devices: &[Device],
    ) -> Result<InstanceStatus, ApiError> {
        if let Some(status) = self.status(id) {
            return Ok(status);
        }
        let shared = &self.shared;
        if shared.tasks.is_draining() {
            return Err(ApiError::new(
                ErrorCode::Unavailable,
                "the runner is shutting down",
            ));
        }
        let engine = shared.engines.get(&start.engine).ok_or_else(|| {
            let message = format!("this runner has no engine `{}`", start.engine.as_str());
            ApiError::new(ErrorCode::Invalid, message).with_field("engine")
        })?;
        check_settings(&start.settings)?;
        let job = job(id, start, devices)?;
        let context = Context {
            engine: Arc::clone(engine),
            job,
            options: shared.options,
            supervisor: shared.supervisor.clone(),
            devices: Arc::clone(&shared.devices),
            clock: Arc::clone(&shared.clock),
            direct: shared.direct.clone(),
            outward: shared.outward.clone(),
            tasks: shared.tasks.clone(),
            log: LogBuffer::new(shared.options.log_lines),
            gate: Gate::default(),
            events: shared.events.clone(),
        };
        Ok(self.run(context))
    }

    fn run(&self, context: Context) -> InstanceStatus {
        let id = context.job.id;
        let first = context.first_status();
        let (told, status) = watch::channel(first.clone());
        let (orders, ordered) = mpsc::channel(4);
        let (log, gate) = (context.log.clone(), context.gate.clone());
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        // Two may have asked at the same time.
        if let Some(entry) = entries.get(&id) {
            return entry.status.borrow().clone();
        }
        entries.insert(
            id,
            Entry {
                status,
                orders,
                log,
                gate,
            },
        );
        forget_oldest(&mut entries, self.shared.options.remembered);
        drop(entries);
        // Nobody may be listening.
        let _ = self.shared.events.send(RunnerEvent::Instance {
            instance: first.clone(),
        });
        self.shared
            .tasks
            .spawn("instance", Driver::new(context, told).run(ordered));
        first
    }

    /// Has an instance drain and stop; answers how it is now.
    pub(crate) fn stop(&self, id: InstanceId) -> Option<InstanceStatus> {
        let entry = self.entry(id)?;
        // Full means that it has been told; closed means that it has ended.
        let _ = entry.orders.try_send(Order::Stop);
        Some(entry.status.borrow().clone())
    }

    pub(crate) fn status(&self, id: InstanceId) -> Option<InstanceStatus> {
        Some(self.entry(id)?.status.borrow().clone())
    }

    /// Follows an instance's status.
    pub(crate) fn follow(&self, id: InstanceId) -> Option<watch::Receiver<InstanceStatus>> {
        Some(self.entry(id)?.status)
    }

    /// Ends when the runner shuts down and every instance has had its last word.
    pub(crate) async fn over(&self) {
        self.shared.tasks.draining().await;
        for mut status in self.receivers() {
            // Closed once the instance has ended.
            while status.changed().await.is_ok() {}
        }
    }

    fn receivers(&self) -> Vec<watch::Receiver<InstanceStatus>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().map(|entry| entry.status.clone()).collect()
    }

    pub(crate) fn statuses(&self) -> Vec<InstanceStatus> {
        let receivers = self.receivers();
        let mut all: Vec<_> = receivers
            .iter()
            .map(|status| status.borrow().clone())
            .collect();
        all.sort_by_key(|status| (status.started_at_ms, status.id));
        all
    }

    pub(crate) fn log(&self, id: InstanceId, lines: usize) -> Option<Vec<String>> {
        Some(self.entry(id)?.log.tail(lines))
    }

    pub(crate) fn gate(&self, id: InstanceId) -> Option<Gate> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&id).map(|entry| entry.gate.clone())
    }

    fn entry(&self, id: InstanceId) -> Option<Entry> {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }
}

/// Forgets the oldest of the ended instances that are too many.
fn forget_oldest(entries: &mut HashMap<InstanceId, Entry>, remembered: usize) {
    let mut ended: Vec<(u64, InstanceId)> = entries
        .values()
        .map(|entry| entry.status.borrow().clone())
        .filter(|status| status.state.is_terminal())
        .map(|status| (status.started_at_ms, status.id))
        .collect();
    ended.sort_unstable();
    for (_, id) in ended.iter().take(ended.len().saturating_sub(remembered)) {
        entries.remove(id);
    }
}

/// Refuses numbers that no engine can take.
pub(crate) fn check_settings(settings: &ModelSettings) -> Result<(), ApiError> {
    let within = |field: &str, value: u32, min: u32, max: u32| {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        let message = format!("`{field}` is {value} and must be {min} to {max}");
        Err(ApiError::new(ErrorCode::Invalid, message).with_field(field))
    };
    within("parallel", settings.parallel, 1, 1_024)?;
    within("devices", settings.devices, 1, 64)?;
    if let Some(context) = settings.context_tokens {
        within("context_tokens", context, 128, 16_777_216)?;
    }
    Ok(())
}

fn job(id: InstanceId, start: StartInstance, devices: &[Device]) -> Result<Job, ApiError> {
    let find = |wanted: &helix_proto::runner::DeviceMemory| {
        let device = devices.iter().find(|device| device.id == wanted.device);
        device
            .map(|device| (device.clone(), wanted.bytes))
            .ok_or_else(|| {
                let message = format!("this runner has no device `{}`", wanted.device);
                ApiError::new(ErrorCode::Invalid, message).with_field("devices")
            })
    };
    let devices = start.devices.iter().map(find).collect::<Result<_, _>>()?;
    let key = format!("{:032x}", rand::rng().random::<u128>());
    Ok(Job {
        id,
        start,
        devices,
        key: SecretString::from(key),
    })
}
