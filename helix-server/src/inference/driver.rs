//! The driver of the scheduler: tells it what happened, and does what it decides.
//!
//! The scheduler is pure and quick, so that it sits behind a mutex and not behind
//! a channel: a request that finds a free place is dispatched in the call that
//! queued it. Nothing is awaited under the lock; what must go out in order
//! (commands to a runner) is put into that runner's queue before it is released.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use helix_base::{Clock, TaskGroup};
use helix_proto::{
    InstanceId, ModelId, RequestId, RunnerId, UserId,
    model::Model,
    runner::{DeviceMemory, StartInstance},
};
use helix_scheduler::{
    Action, Decision, Event, Outcome, RejectReason, RequestSpec, Scheduler, Stage,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::body::{End, Hold};
use crate::{
    events::{Bus, Notice, Topic},
    fleet::{Command, Fleet},
    store::models::StoredNeed,
};

/// How often time passes for the scheduler, and how often while no request waits or is in flight: an
/// idle control plane is to cost next to nothing.
const TICK: Duration = Duration::from_millis(250);
const QUIET_TICK: Duration = Duration::from_secs(2);

/// When a user of whom too many requests wait may try again.
const RETRY_AFTER_MS: u64 = 2_000;

/// Learned needs on their way to the database; each is small and rare.
const LEARNED: usize = 256;

/// Where a request is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dispatched {
    pub(super) runner: RunnerId,
    pub(super) instance: InstanceId,
    /// The name under which the engine knows the model, if the runner gave one.
    pub(super) engine_model: Option<Arc<str>>,
}

type Ending = Result<Dispatched, RejectReason>;

/// Tells the scheduler what happened and does what it decides. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Mutex<Core>,
    clock: Arc<dyn Clock>,
    fleet: Fleet,
    learned: mpsc::Sender<StoredNeed>,
    /// Something happened.
    stirred: Notify,
    /// How many requests of one user may wait.
    per_user: u32,
}

#[derive(Debug)]
struct Core {
    scheduler: Scheduler,
    models: HashMap<ModelId, Arc<Model>>,
    requests: HashMap<RequestId, Request>,
    /// Nothing is queued any more.
    closed: bool,
    /// By instances that have not ended.
    engine_models: HashMap<InstanceId, Arc<str>>,
}

/// A request between its call and its end.
#[derive(Debug)]
struct Request {
    user: Option<UserId>,
    /// Absent while the request is in flight.
    answer: Option<oneshot::Sender<Ending>>,
    waiting: Option<Arc<watch::Sender<String>>>,
    /// Somebody else than the client gave it up.
    cancelled: CancellationToken,
}

impl Driver {
    /// A driver that knows neither models nor runners yet, and what it learns.
    pub(super) fn new(
        scheduler: Scheduler,
        clock: Arc<dyn Clock>,
        fleet: Fleet,
        per_user: u32,
    ) -> (Self, mpsc::Receiver<StoredNeed>) {
        let (learned, needs) = mpsc::channel(LEARNED);
        let core = Core {
            scheduler,
            models: HashMap::new(),
            requests: HashMap::new(),
            closed: false,
            engine_models: HashMap::new(),
        };
        let inner = Inner {
            core: Mutex::new(core),
            clock,
            fleet,
            learned,
            stirred: Notify::new(),
            per_user,
        };
        (
            Self {
                inner: Arc::new(inner),
            },
            needs,
        )
    }

    /// Lets time pass for the scheduler until the group drains; then nobody waits
    /// any longer, and what is in flight is finished.
    pub(super) fn spawn_ticks(&self, tasks: &TaskGroup, bus: Arc<dyn Bus>) {
        let driver = self.clone();
        let draining = tasks.draining_token().clone();
        tasks.spawn("scheduler-ticks", async move {
            draining.run_until_cancelled(driver.tick(bus)).await;
            driver.turn_away();
        });
    }

    async fn tick(&self, bus: Arc<dyn Bus>) {
        let mut shown = (0, 0);
        loop {
            if shown == (0, 0) {
                let stirred = self.inner.stirred.notified();
                let _ = tokio::time::timeout(QUIET_TICK - TICK, stirred).await;
            }
            tokio::time::sleep(TICK).await;
            self.apply(Event::Tick);
            self.tell_who_waits();
            let now = self.ask(|scheduler| (scheduler.waiting(), scheduler.running()));
            if now != shown || now.0 > 0 {
                bus.publish(Topic::Fleet, Notice::QueueChanged);
            }
            shown = now;
        }
    }

    /// Ends every wait, and those to come.
    fn turn_away(&self) {
        let mut core = self.lock();
        core.closed = true;
        let waiting: Vec<_> = core.scheduler.waiting_ids().collect();
        drop(core);
        for request in waiting {
            self.apply(Event::RequestCancelled { request });
        }
    }

    /// Asks the scheduler something. Not to be held long.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Scheduler) -> T) -> T {
        question(&self.lock().scheduler)
    }

    /// Registers or changes a model.
    pub(super) fn put_model(&self, model: Arc<Model>, spec: helix_scheduler::ModelSpec) {
        self.lock().models.insert(model.id, model);
        self.apply(Event::ModelPut(Box::new(spec)));
    }

    /// Forgets a model: who waits for it is told, its instances end.
    pub(super) fn remove_model(&self, model: ModelId) {
        self.apply(Event::ModelRemoved { model });
        self.lock().models.remove(&model);
    }

    /// Tells the scheduler what happened and does what it decides.
    pub(super) fn apply(&self, event: Event) {
        if !matches!(event, Event::Tick) {
            self.inner.stirred.notify_one();
        }
        let mut core = self.lock();
        let answers = self.handle(&mut core, event);
        drop(core);
        for (answer, ending) in answers {
            // Who asked has gone, and says so itself: see `Ticket`.
            let _ = answer.send(ending);
        }
    }

    /// Waits for a place on an instance of a model.
    ///
    /// Cancel safe: a future that is dropped leaves the queue.
    pub(super) async fn place(
        &self,
        spec: RequestSpec,
        waiting: Option<Arc<watch::Sender<String>>>,
    ) -> Result<(Ticket, Dispatched), RejectReason> {
        let request = spec.id;
        let (answer, ending) = oneshot::channel();
        let cancelled = CancellationToken::new();
        let entry = Request {
            user: spec.user,
            answer: Some(answer),
            waiting,
            cancelled: cancelled.clone(),
        };
        self.admit(request, entry)?;
        let ticket = Ticket {
            driver: self.clone(),
            request,
            cancelled,
            open: true,
        };
        self.apply(Event::RequestQueued(spec));
        ticket.wait(ending).await
    }

    /// Takes note of a request, unless too many of its user's wait.
    fn admit(&self, request: RequestId, entry: Request) -> Result<(), RejectReason> {
        let mut core = self.lock();
        if core.closed {
            return Err(RejectReason::Cancelled);
        }
        core.bound(entry.user, self.inner.per_user)?;
        core.requests.insert(request, entry);
        Ok(())
    }

    /// Takes a request out of the queue or, if it is in flight, frees its place.
    /// Whether there was such a request.
    pub(super) fn cancel(&self, request: RequestId) -> bool {
        let found = self
            .lock()
            .requests
            .get(&request)
            .map(|found| found.cancelled.clone());
        let Some(cancelled) = found else { return false };
        self.apply(Event::RequestCancelled { request });
        cancelled.cancel();
        true
    }

    fn finish(&self, request: RequestId, outcome: Outcome) {
        self.lock().requests.remove(&request);
        self.apply(Event::RequestFinished { request, outcome });
    }

    /// An instance of a model that answers requests now.
    pub(super) fn ready(&self, model: ModelId) -> Option<Dispatched> {
        let core = self.lock();
        let mut instances = core.scheduler.instances();
        let found = instances
            .find(|it| it.model == model && it.stage == Stage::Ready && it.ending.is_none())?;
        Some(Dispatched {
            runner: found.runner,
            instance: found.id,
            engine_model: core.engine_models.get(&found.id).cloned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.inner
            .core
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, core: &mut Core, event: Event) -> Vec<(oneshot::Sender<Ending>, Ending)> {
        let now_ms = self.inner.clock.now_ms();
        core.note_engine_models(&event);
        let decisions = core.scheduler.handle(event, now_ms);
        let mut answers = Vec::new();
        for Decision { action, reason } in decisions {
            match action {
                Action::Dispatch {
                    request,
                    instance,
                    runner,
                } => {
                    tracing::debug!(%request, %instance, %runner, reason, "dispatch");
                    let engine_model = core.engine_models.get(&instance).cloned();
                    let found = core.requests.get_mut(&request);
                    let answer = found.and_then(|found| found.answer.take());
                    let to = Dispatched {
                        runner,
                        instance,
                        engine_model,
                    };
                    answers.extend(answer.map(|it| (it, Ok(to))));
                }
                Action::Reject { request, why } => {
                    tracing::info!(%request, reason, "reject");
                    let answer = core
                        .requests
                        .remove(&request)
                        .and_then(|found| found.answer);
                    answers.extend(answer.map(|it| (it, Err(why))));
                }
                Action::StartInstance {
                    instance,
                    runner,
                    model,
                    devices,
                } => {
                    tracing::info!(%instance, %runner, %model, reason, "start instance");
                    self.start(core, instance, runner, model, devices);
                }
                Action::StopInstance {
                    instance,
                    runner,
                    why,
                } => {
                    tracing::info!(%instance, %runner, %why, reason, "stop instance");
                    self.inner.fleet.command(runner, Command::Stop { instance });
                }
                Action::RecordNeed {
                    model,
                    memory_key,
                    class,
                    need,
                } => {
                    tracing::info!(%model, class = class.0, bytes = need.bytes, reason, "learned");
                    let need = StoredNeed {
                        model,
                        memory_key,
                        class,
                        need,
                    };
                    if self.inner.learned.try_send(need).is_err() {
                        tracing::warn!(%model, "what was learned is not kept: the database is too slow");
                    }
                }
            }
        }
        answers
    }

    fn start(
        &self,
        core: &Core,
        instance: InstanceId,
        runner: RunnerId,
        model: ModelId,
        devices: Vec<DeviceMemory>,
    ) {
        let Some(model) = core.models.get(&model) else {
            return;
        };
        let start = StartInstance {
            model_id: model.id,
            model_name: model.name.clone(),
            engine: model.engine,
            source: model.source.clone(),
            settings: model.settings.clone(),
            devices,
        };
        self.inner.fleet.command(
            runner,
            Command::Start {
                instance,
                start: Box::new(start),
            },
        );
    }

    /// Tells those who want to know what their request waits for.
    fn tell_who_waits(&self) {
        let core = self.lock();
        for (id, request) in &core.requests {
            let (Some(_), Some(waiting)) = (&request.answer, &request.waiting) else {
                continue;
            };
            let Some(reason) = core.scheduler.explain(*id).map(|why| why.to_string()) else {
                continue;
            };
            waiting.send_if_modified(|told| {
                let changed = *told != reason;
                *told = reason;
                changed
            });
        }
    }
}

impl Core {
    /// Refuses a request of a user of whom too many wait already.
    fn bound(&self, user: Option<UserId>, capacity: u32) -> Result<(), RejectReason> {
        // Counted only when it can matter.
        let capacity = capacity as usize;
        if user.is_none() || self.scheduler.waiting() < capacity {
            return Ok(());
        }
        let mine = |request: &&Request| request.answer.is_some() && request.user == user;
        if self.requests.values().filter(mine).count() < capacity {
            return Ok(());
        }
        Err(RejectReason::QueueFull {
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
            retry_after_ms: RETRY_AFTER_MS,
        })
    }

    fn note_engine_models(&mut self, event: &Event) {
        let statuses = match event {
            Event::RunnerUp { info, .. } => info.instances.as_slice(),
            Event::InstanceReported { status, .. } => std::slice::from_ref(&**status),
            _ => return,
        };
        for status in statuses {
            if status.state.is_terminal() {
                self.engine_models.remove(&status.id);
            } else {
                self.engine_models
                    .insert(status.id, status.engine_model.as_str().into());
            }
        }
    }
}

/// A request's place in the queue and then on an instance. Dropping it gives the
/// place up.
#[derive(Debug)]
pub(super) struct Ticket {
    driver: Driver,
    request: RequestId,
    cancelled: CancellationToken,
    open: bool,
}

impl Ticket {
    /// Ends when somebody else than the client gives the request up.
    pub(super) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    async fn wait(
        mut self,
        ending: oneshot::Receiver<Ending>,
    ) -> Result<(Self, Dispatched), RejectReason> {
        // The sender is dropped unused only with the driver, at shutdown.
        match ending.await.unwrap_or(Err(RejectReason::Cancelled)) {
            Ok(dispatched) => Ok((self, dispatched)),
            Err(reason) => {
                self.open = false;
                self.driver.lock().requests.remove(&self.request);
                Err(reason)
            }
        }
    }

    /// The instance was lost before anything was answered: waits for another one.
    pub(super) async fn again(self) -> Result<(Self, Dispatched), RejectReason> {
        let (answer, ending) = oneshot::channel();
        let request = self.request;
        match self.driver.lock().requests.get_mut(&request) {
            Some(found) => found.answer = Some(answer),
            None => return Err(RejectReason::Cancelled),
        }
        let outcome = Outcome::LostBeforeResponse;
        self.driver
            .apply(Event::RequestFinished { request, outcome });
        self.wait(ending).await
    }

    /// The request is over, with nothing for the client to hold on to.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.open = false;
        self.driver.finish(self.request, outcome);
    }
}

impl Hold for Ticket {
    fn ended(&mut self, how: End) {
        self.open = false;
        let outcome = match how {
            End::Complete => Outcome::Completed,
            End::Broken => Outcome::Failed,
            End::Left => Outcome::Cancelled,
        };
        self.driver.finish(self.request, outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.driver.lock().requests.remove(&self.request);
            self.driver.apply(Event::RequestCancelled {
                request: self.request,
            });
        }
    }
}
