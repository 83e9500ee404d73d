//! Carries out what the machine says: work, timers, records, replies.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use helix_isolation::{
    Environment,
    lifecycle::{Action, At, Event, Goal, Life, Machine, Timeouts, Work},
};
use helix_proto::{
    ApiError, ErrorCode,
    sandbox::{
        SandboxEnd, SandboxPhase, SandboxState, SandboxStats,
        host::{HostEvent, PhaseTime, SandboxSpec, SandboxStatus, SandboxTimes},
    },
};
use tokio::sync::{RwLock, Semaphore, mpsc, watch};

use super::{
    Ask, Inner, ORDERS, Order, Reply, Sandbox, Shared,
    log::Log,
    phases::Phases,
    usage::Usage,
    work::{self, Done},
};
use crate::{failure::answer_of_end, records::Record, sandboxes::Sandboxes};

/// At least this often timeouts are looked at, should the clock have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A later use is written down when it is this much later, for a host that starts again.
const USED_STEP_MS: u64 = 60_000;

/// A sandbox that is new, or was found.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) spec: SandboxSpec,
    pub(crate) created_at_ms: u64,
    pub(crate) life: Life,
    pub(crate) at: At,
    pub(crate) environment: Option<Arc<dyn Environment>>,
}

/// Carries out one sandbox's life.
pub(crate) struct Driver {
    sandbox: Sandbox,
    all: Sandboxes,
    machine: Machine,
    work: Option<BoxFuture<'static, Done>>,
    ended: Option<BoxFuture<'static, SandboxEnd>>,
    phases: Arc<Phases>,
    phase: Option<(SandboxPhase, Instant)>,
    times: Vec<PhaseTime>,
    waiting: Vec<(Ask, Reply)>,
    halting: Option<Reply>,
    saved: Option<Life>,
    saving: Option<BoxFuture<'static, ()>>,
    spec_changed: bool,
}

/// What the driver waited for.
enum Woken {
    Order(Order),
    Phases,
    Done(Done),
    Ended(SandboxEnd),
    Saved,
    Time,
}

impl Driver {
    /// A driver that has not begun, and its sandbox.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        all: Sandboxes,
        start: Start,
    ) -> (Self, Sandbox, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let spec = start.spec;
        let timeouts = timeouts(spec.times());
        let now = shared.clock.now_ms();
        let used_at_ms = start.life.used_at_ms;
        let deadlines = shared.options.deadlines;
        let (machine, first) = Machine::new(deadlines, timeouts, start.life, start.at, now);
        let status = SandboxStatus {
            id: spec.id,
            state: machine.state(),
            phase: machine.phase(),
            end: machine.end(),
            egress: spec.egress.clone(),
            limits: spec.limits,
            times: spec.times(),
            used_at_ms,
            phases: Vec::new(),
        };
        let inner = Inner {
            shared: Arc::clone(shared),
            id: spec.id,
            created_at_ms: start.created_at_ms,
            spec: Mutex::new(spec),
            status: watch::Sender::new(status),
            environment: watch::Sender::new(start.environment),
            furnished: watch::Sender::new(true),
            orders,
            usage: Arc::new(Usage::new(used_at_ms)),
            requests: Arc::new(Semaphore::new(shared.options.relay.requests)),
            log: Log::default(),
            files: Arc::new(RwLock::new(())),
            stats: Mutex::new(SandboxStats::default()),
            changing: tokio::sync::Mutex::new(()),
            service_log: tokio::sync::Mutex::new(()),
        };
        let sandbox = Sandbox {
            inner: Arc::new(inner),
        };
        let mut driver = Self {
            sandbox: sandbox.clone(),
            all,
            machine,
            work: None,
            ended: None,
            phases: Arc::new(Phases::new(Arc::clone(&shared.clock))),
            phase: None,
            times: Vec::new(),
            waiting: Vec::new(),
            halting: None,
            saved: None,
            saving: None,
            spec_changed: false,
        };
        driver.act(first);
        driver.watch_end();
        (driver, sandbox, receiver)
    }

    /// Runs until the sandbox is gone, or the host is.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let tasks = self.sandbox.inner.shared.tasks.clone();
        self.publish();
        while self.machine.at() != At::Gone {
            self.save();
            let wake = self.wake_in();
            let woken = tokio::select! {
                Some(order) = orders.recv() => Woken::Order(order),
                () = self.phases.told() => Woken::Phases,
                done = maybe(&mut self.work) => Woken::Done(done),
                why = maybe(&mut self.ended) => Woken::Ended(why),
                () = maybe(&mut self.saving) => Woken::Saved,
                () = tokio::time::sleep(wake) => Woken::Time,
                // Sandboxes go on without their host.
                () = tasks.draining() => break,
            };
            self.woken(woken);
            self.publish();
            self.reply();
        }
        if let Some(saving) = self.saving.take() {
            saving.await;
        }
        if self.machine.at() == At::Gone {
            self.gone().await;
        } else if self.is_unsaved() {
            self.write().await;
        }
    }

    fn now(&self) -> u64 {
        self.sandbox.inner.shared.clock.now_ms()
    }

    fn wake_in(&self) -> Duration {
        let Some(at) = self.machine.wake_at() else {
            return LOOK_AGAIN;
        };
        Duration::from_millis(at.saturating_sub(self.now())).min(LOOK_AGAIN)
    }

    fn woken(&mut self, woken: Woken) {
        match woken {
            Woken::Order(order) => self.ordered(order),
            Woken::Phases => self.phases_begin(),
            Woken::Done(done) => self.work_done(done),
            Woken::Ended(why) => {
                self.ended = None;
                self.handle(Event::Ended(why));
            }
            Woken::Saved => self.saving = None,
            Woken::Time => {
                let used = self.sandbox.inner.usage.last(self.now());
                self.handle(Event::Used(used));
                self.handle(Event::Tick);
            }
        }
    }

    fn ordered(&mut self, order: Order) {
        match order {
            Order::Ask(ask, reply) => match self.check(ask) {
                Ok(()) => {
                    self.sandbox.inner.usage.touch(self.now());
                    self.handle(Event::Wanted(ask.goal()));
                    self.waiting.push((ask, reply));
                }
                // Whoever asked may have left.
                Err(error) => drop(reply.send(Err(error))),
            },
            Order::Halt(reply) => {
                self.handle(Event::Halt);
                self.halting = Some(reply);
            }
            Order::Changed => {
                self.spec_changed = true;
                let times = self.sandbox.lock_spec().times();
                self.handle(Event::Timeouts(timeouts(times)));
            }
        }
    }

    fn check(&self, ask: Ask) -> Result<(), ApiError> {
        let id = self.sandbox.id();
        let conflict =
            |why: &str| ApiError::new(ErrorCode::Conflict, format!("sandbox {id}: {why}"));
        let state = self.machine.state();
        if ask == Ask::Resume && !matches!(state, SandboxState::Running | SandboxState::Paused) {
            return Err(conflict(
                "it does not run, so it cannot be resumed; start it",
            ));
        }
        let now = self.now();
        self.machine.check(ask.goal(), now).map_err(conflict)
    }

    fn handle(&mut self, event: Event) {
        let before = self.machine.work();
        let now = self.now();
        let actions = self.machine.handle(event, now);
        if before == Some(Work::Start) && self.machine.work().is_none() {
            self.phase_ends(None);
            if self.machine.at() == At::Running {
                self.sandbox.furnish();
            }
        }
        self.act(actions);
        self.watch_end();
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Abandon => self.work = None,
                Action::Begin(work) => {
                    let (sandbox, all) = (self.sandbox.clone(), self.all.clone());
                    let phases = Arc::clone(&self.phases);
                    self.phases.take();
                    self.phase_of(work);
                    self.work = Some(work::begin(work, sandbox, all, phases));
                }
            }
        }
    }

    /// The times are those of the newest start, with the making of the files before it.
    fn phase_of(&mut self, work: Work) {
        let made_just_now = self
            .times
            .last()
            .is_some_and(|time| time.phase == SandboxPhase::Filesystem);
        if work == Work::Create || (work == Work::Start && !made_just_now) {
            self.times.clear();
        }
        self.phase = None;
        if let (Work::Create | Work::Start, Some(phase)) = (work, self.machine.phase()) {
            self.phase = Some((phase, self.sandbox.inner.shared.clock.now()));
        }
    }

    fn phases_begin(&mut self) {
        for (phase, at) in self.phases.take() {
            let known = self.phase.is_some_and(|(before, _)| before == phase);
            if self.machine.work() != Some(Work::Start) || known {
                continue;
            }
            self.phase_ends(Some(at));
            self.phase = Some((phase, at));
            self.handle(Event::Phase(phase));
        }
    }

    fn phase_ends(&mut self, at: Option<Instant>) {
        let at = at.unwrap_or_else(|| self.sandbox.inner.shared.clock.now());
        if let Some((phase, began)) = self.phase.take() {
            let took = at.saturating_duration_since(began).as_micros();
            self.times.push(PhaseTime {
                phase,
                took_us: u64::try_from(took).unwrap_or(u64::MAX),
            });
        }
    }

    fn work_done(&mut self, done: Done) {
        self.work = None;
        self.phases_begin();
        self.phase_ends(None);
        let result = match done {
            Ok(environment) => {
                self.sandbox.inner.environment.send_replace(environment);
                Ok(())
            }
            Err(why) => Err(why),
        };
        self.handle(Event::Done(result));
    }

    /// Waits for the end of what runs.
    fn watch_end(&mut self) {
        if !matches!(self.machine.at(), At::Running | At::Paused) {
            self.ended = None;
        } else if self.ended.is_none()
            && self.machine.work() != Some(Work::Stop)
            && let Ok(environment) = self.sandbox.environment()
        {
            self.ended = Some(async move { environment.ended().await }.boxed());
        }
    }

    /// Tells of how it is, if that is new.
    fn publish(&mut self) {
        let spec = self.sandbox.spec();
        let status = SandboxStatus {
            id: spec.id,
            state: self.machine.state(),
            phase: self.machine.phase(),
            end: self.machine.end(),
            limits: spec.limits,
            times: spec.times(),
            egress: spec.egress,
            used_at_ms: self.sandbox.inner.usage.last(self.now()),
            phases: self.times.clone(),
        };
        let mut before = None;
        let new = self.sandbox.inner.status.send_if_modified(|shown| {
            let used_at_ms = std::mem::replace(&mut shown.used_at_ms, status.used_at_ms);
            let new = *shown != status;
            if new {
                before = Some((shown.state, used_at_ms));
                *shown = status.clone();
            }
            new
        });
        if !new {
            return;
        }
        if before.is_some_and(|(state, _)| state != status.state) {
            self.say(&status);
        }
        self.sandbox.tell(HostEvent::Sandbox(status));
    }

    fn say(&self, status: &SandboxStatus) {
        let id = self.sandbox.id();
        let why = status.end.as_ref().map(|end| end.message.as_str());
        match (status.state, why) {
            (SandboxState::Failed, Some(why)) => tracing::warn!(sandbox = %id, why, "failed"),
            (state, why) => tracing::info!(sandbox = %id, ?state, why, "changed"),
        }
        let state = format!("{:?}", status.state).to_lowercase();
        let text = why.map_or_else(|| state.clone(), |why| format!("{state}: {why}"));
        self.sandbox.say(text);
    }

    /// Answers those whose wait is over.
    fn reply(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (ask, reply) in waiting {
            match self.outcome(ask) {
                // Whoever asked may have left.
                Some(outcome) => drop(reply.send(outcome)),
                None => self.waiting.push((ask, reply)),
            }
        }
        let still = matches!(self.machine.at(), At::Running | At::Paused);
        if !still
            && self.machine.is_settled()
            && let Some(reply) = self.halting.take()
        {
            let _ = reply.send(Ok(()));
        }
    }

    fn outcome(&self, ask: Ask) -> Option<Result<(), ApiError>> {
        let at = self.machine.at();
        let goal = self.machine.life().goal;
        if let Some((_, why)) = self.machine.trouble()
            && !matches!(ask, Ask::Start)
        {
            return Some(Err(answer_of_end(why)));
        }
        if goal != ask.goal() {
            let message = "something else was asked of the sandbox, or it ended";
            return Some(Err(ApiError::new(ErrorCode::Conflict, message)));
        }
        let there = match ask {
            Ask::Start => true,
            Ask::Resume => at == At::Running,
            Ask::Pause => at == At::Paused,
            Ask::Stop => matches!(at, At::Nothing | At::Stopped),
            Ask::Delete => at == At::Gone,
        };
        there.then_some(Ok(()))
    }

    fn is_unsaved(&self) -> bool {
        let life = self.machine.life();
        self.spec_changed
            || self.saved.as_ref().is_none_or(|saved| {
                let later = life.used_at_ms.saturating_sub(saved.used_at_ms);
                let same_time = Life {
                    used_at_ms: life.used_at_ms,
                    ..saved.clone()
                };
                later >= USED_STEP_MS || same_time != *life
            })
    }

    /// Begins to write down what has changed; the sandbox does not wait for the disk.
    fn save(&mut self) {
        if self.saving.is_none() && self.is_unsaved() {
            let write = self.write();
            self.saving = Some(write.boxed());
        }
    }

    fn write(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let life = self.machine.life().clone();
        self.saved = Some(life.clone());
        self.spec_changed = false;
        let record = Record {
            spec: self.sandbox.spec(),
            created_at_ms: self.sandbox.inner.created_at_ms,
            life,
        };
        let records = self.sandbox.inner.shared.records.clone();
        async move {
            let id = record.spec.id;
            let saved = tokio::task::spawn_blocking(move || records.save(&record)).await;
            if let Ok(Err(error)) = saved {
                tracing::error!(sandbox = %id, %error, "its state cannot be written down");
            }
        }
    }

    async fn gone(self) {
        let id = self.sandbox.id();
        let records = self.sandbox.inner.shared.records.clone();
        let removed = tokio::task::spawn_blocking(move || records.remove(id)).await;
        if let Ok(Err(error)) = removed {
            tracing::error!(sandbox = %id, %error, "its record cannot be removed");
        }
        self.all.forget(id);
        self.sandbox.tell(HostEvent::Gone(id));
        for (ask, reply) in self.waiting {
            let answer = match ask.goal() {
                Goal::Deleted => Ok(()),
                _ => Err(ApiError::new(
                    ErrorCode::NotFound,
                    format!("sandbox {id} is deleted"),
                )),
            };
            let _ = reply.send(answer);
        }
    }
}

const fn timeouts(times: SandboxTimes) -> Timeouts {
    Timeouts {
        idle_ms: times.idle_timeout_ms,
        expires_at_ms: times.expires_at_ms,
    }
}

/// The work under way; pending for ever where there is none.
async fn maybe<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
