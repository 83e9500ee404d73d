//! One sandbox: what is known of it, and the driver that carries out its life.

mod driver;
mod log;
mod phases;
mod service_log;
mod usage;
mod work;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use helix_base::{Clock, TaskGroup};
use helix_isolation::{Environment, Isolation, lifecycle::Goal};
use helix_proto::{
    ApiError, ErrorCode, SandboxId, SnapshotId,
    sandbox::{
        Egress, SandboxLimits, SandboxLogLine, SandboxState, SandboxStats,
        host::{HostEvent, SandboxSpec, SandboxStatus, SandboxTimes},
    },
};
use tokio::sync::{RwLock, Semaphore, broadcast, mpsc, oneshot, watch};

use self::log::Log;
pub(crate) use self::{
    driver::{Driver, Start},
    usage::{Counts, InUse, Usage},
};
use crate::{
    HostOptions, authorities::Authorities, failure::answer_of, machine::Machine, records::Records,
    settings,
};

/// Asks that wait for a driver.
const ORDERS: usize = 64;

/// How long measuring, connecting and the like may take.
const SHORT: Duration = Duration::from_secs(10);

/// What all sandboxes of a host share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) isolation: Arc<dyn Isolation>,
    pub(crate) options: HostOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskGroup,
    pub(crate) events: broadcast::Sender<HostEvent>,
    pub(crate) records: Records,
    pub(crate) machine: Machine,
    /// Variables that every sandbox gets.
    pub(crate) env: BTreeMap<String, String>,
    /// Certificates that every sandbox gets.
    pub(crate) authorities: Option<Authorities>,
}

/// What somebody asks of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Start,
    Pause,
    Resume,
    Stop,
    Delete,
}

impl Ask {
    pub(crate) const fn goal(self) -> Goal {
        match self {
            Self::Start | Self::Resume => Goal::Running,
            Self::Pause => Goal::Paused,
            Self::Stop => Goal::Stopped,
            Self::Delete => Goal::Deleted,
        }
    }
}

type Reply = oneshot::Sender<Result<(), ApiError>>;

/// What a driver is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Somebody asks something; the reply comes when it is so.
    Ask(Ask, Reply),
    /// The host stops, and its sandboxes with it.
    Halt(Reply),
    /// What it was made from has changed.
    Changed,
}

/// One sandbox. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    id: SandboxId,
    created_at_ms: u64,
    spec: Mutex<SandboxSpec>,
    status: watch::Sender<SandboxStatus>,
    environment: watch::Sender<Option<Arc<dyn Environment>>>,
    /// Whether what the host puts into it is there: requests wait for it.
    furnished: watch::Sender<bool>,
    orders: mpsc::Sender<Order>,
    usage: Arc<Usage>,
    requests: Arc<Semaphore>,
    log: Log,
    /// Held while its files are read; wholly while they are removed.
    files: Arc<RwLock<()>>,
    /// The last figures, for how much processor time is in use.
    stats: Mutex<SandboxStats>,
    /// What it was made from changes one at a time.
    changing: tokio::sync::Mutex<()>,
    /// What it says of its Docker daemon is read one at a time.
    service_log: tokio::sync::Mutex<()>,
}

impl Sandbox {
    pub(crate) fn id(&self) -> SandboxId {
        self.inner.id
    }

    /// How it is now.
    pub(crate) fn status(&self) -> SandboxStatus {
        let mut status = self.inner.status.borrow().clone();
        status.used_at_ms = self.inner.usage.last(self.inner.shared.clock.now_ms());
        status
    }

    /// What it was made from, with the policy that holds now.
    pub(crate) fn spec(&self) -> SandboxSpec {
        self.lock_spec().clone()
    }

    fn lock_spec(&self) -> MutexGuard<'_, SandboxSpec> {
        let spec = self.inner.spec.lock();
        spec.unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks something, and waits until it is so. A start is begun only.
    ///
    /// # Errors
    ///
    /// It cannot be so now, did not come to be, or something else was asked meanwhile.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<SandboxStatus, ApiError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inner.orders.send(Order::Ask(ask, reply)).await;
        let answer = match sent {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        match answer {
            Some(answered) => answered.map(|()| self.status()),
            // Its driver is gone: with the sandbox, or with the host.
            None if self.status().state == SandboxState::Deleted => Err(ApiError::new(
                ErrorCode::NotFound,
                format!("sandbox {} is deleted", self.id()),
            )),
            None => Err(ApiError::new(
                ErrorCode::Unavailable,
                "this host is shutting down",
            )),
        }
    }

    /// Asks for its removal without waiting.
    pub(crate) fn begin_delete(&self) {
        let (reply, _) = oneshot::channel();
        // Where the queue is full it is asked again by the next live set.
        let _ = self.inner.orders.try_send(Order::Ask(Ask::Delete, reply));
    }

    /// Stops it because the host stops, and waits until it is so.
    pub(crate) async fn halt(&self) {
        let (reply, answer) = oneshot::channel();
        if self.inner.orders.send(Order::Halt(reply)).await.is_ok() {
            // Its driver may be gone before it answers.
            let _ = answer.await;
        }
    }

    /// What it is made of, once its files are there.
    ///
    /// # Errors
    ///
    /// They are not, or not yet.
    pub(crate) fn environment(&self) -> Result<Arc<dyn Environment>, ApiError> {
        let environment = self.inner.environment.borrow().clone();
        environment.ok_or_else(|| self.conflict("has no files", "wait until it was made"))
    }

    /// Puts into it what the host has for it, in a task of its own: a start that is under
    /// way may be dropped, one that is done may not.
    fn furnish(&self) {
        let shared = &self.inner.shared;
        let Ok(environment) = self.environment() else {
            return;
        };
        if self.spec().desktop.is_some() {
            self.settle_editors(Arc::clone(&environment));
        }
        let Some(authorities) = shared.authorities.clone() else {
            return;
        };
        self.inner.furnished.send_replace(false);
        let sandbox = self.clone();
        shared.tasks.spawn("furnish a sandbox", async move {
            let put = within(SHORT, "putting authorities in", authorities.put(environment)).await;
            if let Err(error) = put {
                tracing::warn!(sandbox = %sandbox.id(), %error, "it has no authorities of the host");
                let why = error.message;
                sandbox.say(format!("the host's authorities could not be put in: {why}"));
            }
            sandbox.inner.furnished.send_replace(true);
        });
    }

    /// Tells editors on its desktop of its agent. Nobody waits for that.
    fn settle_editors(&self, environment: Arc<dyn Environment>) {
        let sandbox = self.clone();
        let tasks = &self.inner.shared.tasks;
        tasks.spawn("settings of editors", async move {
            let put = within(SHORT, "writing settings", settings::put(environment)).await;
            if let Err(error) = put {
                let why = error.message;
                sandbox.say(format!("editors were not told of the agent: {why}"));
            }
        });
    }

    /// Waits, boundedly, until what the host puts into it is there.
    pub(crate) async fn furnished(&self) {
        let mut furnished = self.inner.furnished.subscribe();
        let there = furnished.wait_for(|furnished| *furnished);
        // After this time the request goes on without it.
        drop(tokio::time::timeout(SHORT, there).await);
    }

    /// A request's place, and the environment that it is for.
    ///
    /// # Errors
    ///
    /// It does not run, or has too many requests.
    pub(crate) fn enter(&self, counts: Counts) -> Result<(Arc<dyn Environment>, InUse), ApiError> {
        match self.inner.status.borrow().state {
            SandboxState::Running => {}
            SandboxState::Paused => return Err(self.conflict("is paused", "resume it first")),
            SandboxState::Stopped => return Err(self.conflict("is stopped", "start it first")),
            SandboxState::Failed => return Err(self.conflict("has failed", "start it again")),
            SandboxState::Creating => {
                let mut early = self.conflict("is being made", "try again when it runs");
                early.retryable = true;
                return Err(early);
            }
            SandboxState::Deleted => return Err(self.conflict("is deleted", "make another")),
        }
        let Ok(place) = Arc::clone(&self.inner.requests).try_acquire_owned() else {
            let message = format!(
                "sandbox {} has {} requests under way, as many as it may: wait for some to end",
                self.id(),
                self.inner.shared.options.relay.requests
            );
            return Err(ApiError::new(ErrorCode::TooManyRequests, message));
        };
        let (usage, clock) = (&self.inner.usage, &self.inner.shared.clock);
        let in_use = match counts {
            Counts::Use => InUse::new(usage, clock, place),
            Counts::Glance => InUse::glance(usage, clock, place),
        };
        Ok((self.environment()?, in_use))
    }

    fn conflict(&self, what: &str, todo: &str) -> ApiError {
        let message = format!("sandbox {} {what}: {todo}", self.id());
        ApiError::new(ErrorCode::Conflict, message)
    }

    /// Changes what it may reach, running or not.
    ///
    /// # Errors
    ///
    /// A rule that cannot be read, or something that the backend cannot do.
    pub(crate) async fn set_egress(&self, egress: Egress) -> Result<SandboxStatus, ApiError> {
        let _turn = self.inner.changing.lock().await;
        let environment = self.made().await?;
        let change = environment.set_egress(&egress);
        within(SHORT, "changing what it may reach", change).await?;
        Ok(self.changed(|spec| spec.egress = egress).await)
    }

    /// Changes the most that it may use, as far as that can be changed now.
    ///
    /// # Errors
    ///
    /// Limits that cannot be kept, or something that the backend cannot do now.
    pub(crate) async fn set_limits(
        &self,
        limits: SandboxLimits,
    ) -> Result<SandboxStatus, ApiError> {
        let _turn = self.inner.changing.lock().await;
        let environment = self.made().await?;
        let change = environment.set_limits(&limits);
        let deadline = self.inner.shared.options.deadlines.filesystem;
        within(deadline, "changing its limits", change).await?;
        self.say("its limits were changed".to_owned());
        Ok(self.changed(|spec| spec.limits = limits).await)
    }

    /// Changes when it is stopped although nobody asks.
    pub(crate) async fn set_times(&self, times: SandboxTimes) -> SandboxStatus {
        let _turn = self.inner.changing.lock().await;
        self.changed(|spec| spec.set_times(times)).await
    }

    /// What it is made of, once its files are there: waits for a creation under way.
    async fn made(&self) -> Result<Arc<dyn Environment>, ApiError> {
        let mut environment = self.inner.environment.subscribe();
        let deadline = self.inner.shared.options.deadlines.filesystem;
        let made = tokio::time::timeout(deadline, environment.wait_for(Option::is_some)).await;
        drop(made);
        self.environment()
    }

    /// Notes that what it was made from is another now, and tells of it.
    async fn changed(&self, change: impl FnOnce(&mut SandboxSpec)) -> SandboxStatus {
        let spec = {
            let mut spec = self.lock_spec();
            change(&mut spec);
            spec.clone()
        };
        self.inner.status.send_modify(|status| {
            status.limits = spec.limits;
            status.times = spec.times();
            status.egress = spec.egress;
        });
        let status = self.status();
        self.tell(HostEvent::Sandbox(status.clone()));
        // Where the driver is gone there is nothing to write down any more.
        let _ = self.inner.orders.send(Order::Changed).await;
        status
    }

    /// Keeps its files as they are now.
    ///
    /// # Errors
    ///
    /// A full disk, or something that the backend cannot do.
    pub(crate) async fn snapshot(&self, id: SnapshotId) -> Result<u64, ApiError> {
        let full = |why| ApiError::new(ErrorCode::InsufficientStorage, why);
        self.inner.shared.machine.check_disk().map_err(full)?;
        let environment = self.environment()?;
        let _files = Arc::clone(&self.inner.files).read_owned().await;
        let deadline = self.inner.shared.options.deadlines.filesystem;
        let size = within(deadline, "taking a snapshot", environment.snapshot(id)).await?;
        self.inner.usage.touch(self.inner.shared.clock.now_ms());
        self.say(format!("snapshot {id} was taken"));
        Ok(size)
    }

    /// What it uses now.
    ///
    /// # Errors
    ///
    /// It has no files, or the kernel's accounts cannot be read.
    pub(crate) async fn stats(&self) -> Result<SandboxStats, ApiError> {
        let environment = self.environment()?;
        let mut now = within(SHORT, "measuring", environment.stats()).await?;
        let mut last = self.inner.stats.lock();
        let last = match &mut last {
            Ok(last) => &mut **last,
            Err(poisoned) => &mut **poisoned.get_mut(),
        };
        now.cpu_millis = usage::cpu_millis(last, &now);
        // Over too short a time the figure is noise.
        if now.at_ms.saturating_sub(last.at_ms) >= 1_000 {
            *last = now;
        }
        Ok(now)
    }

    /// The newest lines of its log, with those of its Docker daemon and its desktop while it runs.
    pub(crate) async fn log(&self, tail: usize) -> Vec<SandboxLogLine> {
        let mut lines = self.inner.log.tail(tail);
        let runs = self.inner.status.borrow().state == SandboxState::Running;
        let (docker, desktop) = {
            let spec = self.lock_spec();
            (spec.docker, spec.desktop.is_some())
        };
        for (service, wanted) in [("docker", docker), ("desktop", desktop)] {
            if runs && wanted {
                service_log::merge(&mut lines, self.service_log(service, tail).await);
                lines.drain(..lines.len().saturating_sub(tail));
            }
        }
        lines
    }

    async fn service_log(&self, service: &str, tail: usize) -> Vec<SandboxLogLine> {
        let now = self.inner.shared.clock.now_ms();
        let read = async {
            let environment = self.environment().map_err(|error| error.message)?;
            let _turn = self.inner.service_log.lock().await;
            service_log::read(environment, service, tail, now).await
        };
        let read = tokio::time::timeout(SHORT, read).await;
        let read = read.unwrap_or_else(|_| Err("the sandbox does not answer".to_owned()));
        read.unwrap_or_else(|why| {
            vec![SandboxLogLine {
                at_ms: now,
                source: "host".to_owned(),
                text: format!("the log of its {service} cannot be read: {why}"),
            }]
        })
    }

    /// Writes a line to its log.
    pub(crate) fn say(&self, text: String) {
        let at_ms = self.inner.shared.clock.now_ms();
        self.inner.log.push("host", text, at_ms);
    }

    /// Tells everyone who follows the host.
    pub(crate) fn tell(&self, event: HostEvent) {
        // Nobody may be listening.
        let _ = self.inner.shared.events.send(event);
    }
}

/// Bounds a call of the backend.
async fn within<T>(
    time: Duration,
    what: &str,
    call: impl Future<Output = Result<T, helix_isolation::Error>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(time, call).await {
        Ok(answer) => answer.map_err(|error| answer_of(&error)),
        Err(_) => {
            let message = format!("{what} took longer than {} s", time.as_secs());
            Err(ApiError::new(ErrorCode::Timeout, message))
        }
    }
}
