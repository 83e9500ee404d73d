//! Carries out what the machine says: tasks, timers, processes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use helix_base::{Clock, TaskGroup};
use helix_proto::runner::{
    DeviceMemory, Failure, InstanceState, InstanceStatus, Progress, RunnerEvent,
};
use tokio::sync::{broadcast, mpsc, watch};

use super::{
    Action, Event, Fault, Gate, LifeOptions, Machine, Upstream,
    diagnosis::{diagnose, kernel_oom_kills},
    work::{self, Done},
};
use crate::{
    devices::Devices,
    engine::{Endpoint, Engine, Error, Job, Plan, ProgressSink, Readiness, Stage},
    process::{Exit, LogBuffer, Running, Supervisor},
};

/// How often progress and memory are looked at.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
const MEMORY_INTERVAL: Duration = Duration::from_secs(3);

/// How many of the engine's last lines a failure carries.
const FAILURE_LINES: usize = 20;

/// What can be ordered of an instance.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Drain and stop.
    Stop,
}

/// What an instance needs from its runner.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) job: Job,
    pub(crate) options: LifeOptions,
    pub(crate) supervisor: Supervisor,
    pub(crate) devices: Arc<dyn Devices>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Calls engines on this machine, past any proxy.
    pub(crate) direct: reqwest::Client,
    /// Calls engines elsewhere.
    pub(crate) outward: reqwest::Client,
    pub(crate) tasks: TaskGroup,
    pub(crate) log: LogBuffer,
    pub(crate) gate: Gate,
    pub(crate) events: broadcast::Sender<RunnerEvent>,
}

impl Context {
    /// The status of an instance that has just been asked for.
    pub(crate) fn first_status(&self) -> InstanceStatus {
        let start = &self.job.start;
        InstanceStatus {
            id: self.job.id,
            model_id: start.model_id,
            model_name: start.model_name.clone(),
            engine: start.engine,
            state: InstanceState::Downloading,
            progress: None,
            failure: None,
            reserved: start.devices.clone(),
            peak: Vec::new(),
            engine_model: start.model_name.clone(),
            restarts: 0,
            started_at_ms: self.clock.now_ms(),
            ready_at_ms: None,
        }
    }
}

/// Runs one instance until it has ended.
pub(crate) struct Driver {
    context: Context,
    machine: Machine,
    status: InstanceStatus,
    told: watch::Sender<InstanceStatus>,
    sink: ProgressSink,
    progress: watch::Receiver<Option<(Stage, Progress)>>,
    work: Option<BoxFuture<'static, Done>>,
    probe: Option<BoxFuture<'static, Result<Readiness, Error>>>,
    measure: Option<BoxFuture<'static, Vec<DeviceMemory>>>,
    process: Option<Running>,
    plan: Option<Plan>,
    weights: Option<crate::engine::Weights>,
    draining: bool,
    oom_kills: u64,
    /// Where the log of the engine's present start begins.
    log_mark: usize,
}

/// What the driver waited for.
enum Woken {
    Machine(Event),
    Work(Done),
    Measured(Vec<DeviceMemory>),
    MeasureNow,
    LookAtProgress,
}

impl Driver {
    /// A driver that has not begun.
    pub(crate) fn new(context: Context, told: watch::Sender<InstanceStatus>) -> Self {
        let ready_timeout = Duration::from_millis(context.job.settings().ready_timeout_ms);
        let seed = context.clock.now_ms() ^ context.job.id.to_string().len() as u64;
        let (machine, first) = Machine::new(context.options, ready_timeout, seed);
        let (sink, progress) = ProgressSink::new();
        let status = told.borrow().clone();
        let mut driver = Self {
            context,
            machine,
            status,
            told,
            sink,
            progress,
            work: None,
            probe: None,
            measure: None,
            process: None,
            plan: None,
            weights: None,
            draining: false,
            oom_kills: 0,
            log_mark: 0,
        };
        driver.act(first);
        driver
    }

    /// Runs until the instance has ended, however it ends.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut progress_timer = tokio::time::interval(PROGRESS_INTERVAL);
        let mut memory_timer = tokio::time::interval(MEMORY_INTERVAL);
        let tasks = self.context.tasks.clone();
        let mut told_to_stop = false;
        while !self.machine.state().is_terminal() {
            let wake = self
                .machine
                .wake_at()
                .map(|at| at.saturating_duration_since(self.now()));
            let woken = tokio::select! {
                Some(Order::Stop) = orders.recv() => Woken::Machine(Event::Stop),
                () = tasks.draining(), if !told_to_stop => {
                    told_to_stop = true;
                    Woken::Machine(Event::Stop)
                }
                done = maybe(&mut self.work) => Woken::Work(done),
                health = maybe(&mut self.probe) => Woken::Machine(match health {
                    Ok(Readiness::Ready) => Event::Healthy,
                    Ok(Readiness::Loading) => Event::Unhealthy("it does not answer".to_owned()),
                    Err(error) => Event::Unhealthy(error.to_string()),
                }),
                used = maybe(&mut self.measure) => Woken::Measured(used),
                exit = exited(&mut self.process) => Woken::Machine(self.ended(exit)),
                () = self.context.gate.quiet(), if self.draining => {
                    self.draining = false;
                    Woken::Machine(Event::Quiet)
                }
                () = sleep_maybe(wake) => Woken::Machine(Event::Tick),
                _ = progress_timer.tick(), if self.work.is_some() => Woken::LookAtProgress,
                _ = memory_timer.tick(), if self.process.is_some() && self.measure.is_none() => {
                    Woken::MeasureNow
                }
            };
            self.woken(woken);
            self.publish();
        }
        self.context.gate.set(None);
    }

    fn now(&self) -> Instant {
        self.context.clock.now()
    }

    fn woken(&mut self, woken: Woken) {
        match woken {
            Woken::Machine(event) => self.handle(event),
            Woken::Work(done) => self.work_done(done),
            Woken::MeasureNow => self.measure = self.measurement(),
            Woken::Measured(used) => self.measured(&used),
            Woken::LookAtProgress => {
                if !self.progress.has_changed().unwrap_or(false) {
                    return;
                }
                let latest = self.progress.borrow_and_update().clone();
                if let Some((stage, progress)) = latest {
                    self.handle(Event::Progress(stage, progress));
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let before = self.machine.state();
        tracing::trace!(?event, "instance event");
        for action in self.machine.handle(event, self.now()) {
            self.act(action);
        }
        let after = self.machine.state();
        if before != after {
            self.entered(after);
        }
    }

    /// Opens and closes the gate as the state changes, and logs the change.
    fn entered(&mut self, state: InstanceState) {
        let upstream = self
            .plan
            .as_ref()
            .filter(|_| state == InstanceState::Ready)
            .map(|plan| Upstream::new(&plan.url, plan.key.as_ref(), plan.process.is_some()));
        self.context.gate.set(upstream);
        let (id, model) = (self.context.job.id, &self.context.job.start.model_name);
        match self.machine.fault() {
            Some(fault) => {
                tracing::warn!(instance = %id, model, kind = ?fault.kind, reason = %fault.message, "instance failed");
            }
            None => tracing::info!(instance = %id, model, ?state, "instance changed"),
        }
        if state == InstanceState::Ready {
            let now = self.context.clock.now_ms();
            self.status.ready_at_ms = Some(now);
            self.measure = self.measurement();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Fetch => {
                self.work = Some(work::fetch(self.context.clone(), self.sink.clone()).boxed());
            }
            Action::Launch => {
                if let Some(weights) = self.weights.clone() {
                    self.work = Some(work::plan(self.context.clone(), weights).boxed());
                }
            }
            Action::CancelWork => self.work = None,
            Action::Probe => {
                if let Some(endpoint) = self.endpoint() {
                    let engine = Arc::clone(&self.context.engine);
                    self.probe = Some(async move { engine.probe(&endpoint).await }.boxed());
                }
            }
            Action::Drain => {
                self.context.gate.set(None);
                self.draining = true;
            }
            Action::Terminate => self.terminate(),
            Action::Kill => self.process.iter_mut().for_each(Running::kill),
        }
    }

    fn terminate(&mut self) {
        self.context.gate.set(None);
        match &mut self.process {
            Some(process) => process.terminate(),
            None => {
                let nobody = diagnose(Exit::NoProcess, &[], false);
                self.work = Some(std::future::ready(Done::Event(Event::Exited(nobody))).boxed());
            }
        }
    }

    fn work_done(&mut self, done: Done) {
        match done {
            Done::Event(event) => self.handle(event),
            Done::Fetched(weights) => {
                self.weights = Some(weights);
                self.handle(Event::Fetched);
            }
            Done::Planned(plan) => self.start(plan),
        }
    }

    fn start(&mut self, plan: Plan) {
        self.oom_kills = kernel_oom_kills();
        self.log_mark = self.context.log.mark();
        let context = &self.context;
        if let Some(spec) = &plan.process {
            context
                .log
                .push(format!("starting {}", spec.program.display()));
            match Running::start(&context.supervisor, spec, &context.log, &context.tasks) {
                Ok(process) => self.process = Some(process),
                Err(error) => {
                    let message = format!("cannot start the engine's supervisor: {error}");
                    let kind = helix_proto::runner::FailureKind::EngineMissing;
                    let fault = Fault {
                        kind,
                        message,
                        by_chance: false,
                    };
                    return self.handle(Event::WorkFailed(fault));
                }
            }
        }
        self.status.engine_model.clone_from(&plan.engine_model);
        self.plan = Some(plan);
        if let Some(endpoint) = self.endpoint() {
            let work = work::bring_up(self.context.clone(), endpoint, self.sink.clone());
            self.work = Some(work.boxed());
        }
    }

    fn endpoint(&self) -> Option<Endpoint> {
        let plan = self.plan.as_ref()?;
        let client = if plan.process.is_some() {
            &self.context.direct
        } else {
            &self.context.outward
        };
        Some(Endpoint {
            url: plan.url.clone(),
            key: plan.key.clone(),
            client: client.clone(),
        })
    }

    fn ended(&mut self, exit: Exit) -> Event {
        self.process = None;
        self.probe = None;
        self.draining = false;
        let oom_killed = kernel_oom_kills() > self.oom_kills;
        let log = &self.context.log;
        let fault = diagnose(exit, &log.since(self.log_mark), oom_killed);
        log.push(format!("the engine {exit}"));
        Event::Exited(fault)
    }

    fn measurement(&self) -> Option<BoxFuture<'static, Vec<DeviceMemory>>> {
        let pids = self.process.as_ref()?.supervisor();
        Some(work::measure(self.context.clone(), pids, self.endpoint()).boxed())
    }

    fn measured(&mut self, used: &[DeviceMemory]) {
        let peaks = &mut self.status.peak;
        for now in used {
            match peaks.iter_mut().find(|peak| peak.device == now.device) {
                Some(peak) => peak.bytes = peak.bytes.max(now.bytes),
                None => peaks.push(now.clone()),
            }
        }
    }

    /// Tells the status to whoever follows, if it changed since last told.
    fn publish(&mut self) {
        let machine = &self.machine;
        self.status.state = machine.state();
        self.status.progress = machine.progress().cloned();
        self.status.restarts = machine.restarts();
        if self.status.failure.is_none() {
            self.status.failure = machine.fault().map(|fault| Failure {
                kind: fault.kind,
                message: fault.message.clone(),
                log: self.context.log.tail(FAILURE_LINES),
            });
        }
        if *self.told.borrow() != self.status {
            self.told.send_replace(self.status.clone());
            let event = RunnerEvent::Instance {
                instance: self.status.clone(),
            };
            // Nobody may be listening.
            let _ = self.context.events.send(event);
        }
    }
}

/// Waits for a future if there is one, and takes it away when it is done.
async fn maybe<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let output = future.await;
            *slot = None;
            output
        }
        None => std::future::pending().await,
    }
}

async fn exited(process: &mut Option<Running>) -> Exit {
    match process {
        Some(process) => process.wait().await,
        None => std::future::pending().await,
    }
}

async fn sleep_maybe(wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake).await,
        None => std::future::pending().await,
    }
}
