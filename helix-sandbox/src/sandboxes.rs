//! All sandboxes of a host.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use helix_isolation::{
    FoundState,
    lifecycle::{At, Goal, Life},
};
use helix_proto::{
    ApiError, ErrorCode, SandboxId, SnapshotId,
    sandbox::{
        SandboxState,
        host::{
            HostCapacity, LiveSet, LiveSetReport, SandboxSpec, SandboxStatus, SandboxUse,
            SnapshotStatus,
        },
    },
};
use tokio::time::timeout;

use crate::{
    Error,
    failure::answer_of,
    live_set::Unknown,
    records::Record,
    sandbox::{Ask, Driver, Sandbox, Shared, Start},
};

/// How many sandboxes are measured, or stopped, at a time.
const AT_A_TIME: usize = 16;

/// How old what was measured of all sandboxes may be.
const FRESH: Duration = Duration::from_secs(1);

/// How long listing, and removing what nobody knows, may take.
const SHORT: Duration = Duration::from_secs(60);

/// All sandboxes of a host. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sandboxes {
    inner: Arc<All>,
}

#[derive(Debug)]
struct All {
    shared: Arc<Shared>,
    entries: Mutex<HashMap<SandboxId, Sandbox>>,
    unknown: Mutex<Unknown>,
    /// The last measurement of all; one is made at a time.
    measured: tokio::sync::Mutex<Option<(Instant, Arc<[SandboxUse]>)>>,
}

impl Sandboxes {
    /// Goes on with what an earlier host left.
    ///
    /// # Errors
    ///
    /// It cannot be listed.
    pub(crate) async fn open(shared: Arc<Shared>) -> Result<Self, Error> {
        let records = shared.records.all()?;
        let found = shared.isolation.found().await?;
        let this = Self {
            inner: Arc::new(All {
                shared,
                entries: Mutex::default(),
                unknown: Mutex::default(),
                measured: tokio::sync::Mutex::default(),
            }),
        };
        let mut records: HashMap<_, _> = records
            .into_iter()
            .map(|record| (record.spec.id, record))
            .collect();
        for found in found {
            let mut spec = found.environment.spec();
            let record = records.remove(&spec.id);
            if let Some(record) = &record {
                // The backend does not know of later ones.
                spec.set_times(record.spec.times());
            }
            let start = this.adopt(record, spec, found.state);
            this.begin(Start {
                environment: Some(found.environment),
                ..start
            });
        }
        // Being made when the last host ended, or failed before there were files.
        for Record {
            spec,
            created_at_ms,
            life,
        } in records.into_values()
        {
            this.begin(Start {
                spec,
                created_at_ms,
                life,
                at: At::Nothing,
                environment: None,
            });
        }
        Ok(this)
    }

    fn adopt(&self, record: Option<Record>, spec: SandboxSpec, state: FoundState) -> Start {
        let (at, goal) = match state {
            FoundState::Running => (At::Running, Goal::Running),
            FoundState::Paused => (At::Paused, Goal::Paused),
            FoundState::Stopped => (At::Stopped, Goal::Stopped),
        };
        let now = self.inner.shared.clock.now_ms();
        let (mut life, created_at_ms) = record.map_or_else(
            || {
                (
                    Life {
                        goal,
                        ..Life::new(now)
                    },
                    now,
                )
            },
            |record| (record.life, record.created_at_ms),
        );
        life.made = true;
        Start {
            spec,
            created_at_ms,
            life,
            at,
            environment: None,
        }
    }

    fn begin(&self, start: Start) -> Sandbox {
        let shared = &self.inner.shared;
        let (driver, sandbox, orders) = Driver::new(shared, self.clone(), start);
        self.lock().insert(sandbox.id(), sandbox.clone());
        shared.tasks.spawn("sandbox", Box::pin(driver.run(orders)));
        sandbox
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SandboxId, Sandbox>> {
        let entries = self.inner.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn find(&self, id: SandboxId) -> Option<Sandbox> {
        self.lock().get(&id).cloned()
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Sandbox> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(Sandbox::id);
        all
    }

    pub(crate) fn statuses(&self) -> Vec<SandboxStatus> {
        self.all().iter().map(Sandbox::status).collect()
    }

    /// Makes one and starts it, unless there is one by its id.
    ///
    /// # Errors
    ///
    /// Limits that cannot be kept, a disk that is nearly full, too many sandboxes.
    pub(crate) fn put(&self, spec: SandboxSpec) -> Result<SandboxStatus, ApiError> {
        if let Some(sandbox) = self.find(spec.id) {
            let status = sandbox.status();
            if status.state == SandboxState::Deleted {
                let message = format!("sandbox {} is being deleted", spec.id);
                return Err(ApiError::new(ErrorCode::Conflict, message));
            }
            return Ok(status);
        }
        let shared = &self.inner.shared;
        if shared.tasks.is_draining() {
            let message = "this host is shutting down";
            return Err(ApiError::new(ErrorCode::Unavailable, message));
        }
        let wrong = |why| ApiError::new(ErrorCode::Invalid, why).with_field("limits");
        spec.limits.check().map_err(wrong)?;
        let full = |why| ApiError::new(ErrorCode::InsufficientStorage, why);
        shared.machine.check_disk().map_err(full)?;
        let most = shared.options.max_sandboxes;
        if self.lock().len() >= most {
            let message = format!("this host has {most} sandboxes, as many as it may: delete some");
            return Err(ApiError::new(ErrorCode::Unavailable, message));
        }
        let now = shared.clock.now_ms();
        let sandbox = self.begin(Start {
            spec,
            created_at_ms: now,
            life: Life::new(now),
            at: At::Nothing,
            environment: None,
        });
        Ok(sandbox.status())
    }

    /// Removes one with everything of it, and whatever else goes by its id.
    ///
    /// # Errors
    ///
    /// Something could not be removed; it is tried again.
    pub(crate) async fn delete(&self, id: SandboxId) -> Result<(), ApiError> {
        let Some(sandbox) = self.find(id) else {
            let removed = timeout(SHORT, self.inner.shared.isolation.remove(id)).await;
            return removed.map_or_else(
                |_| Err(slow("removing a sandbox")),
                |removed| removed.map_err(|error| answer_of(&error)),
            );
        };
        match sandbox.ask(Ask::Delete).await {
            // Another deletion was faster.
            Err(error) if error.code == ErrorCode::NotFound => Ok(()),
            other => other.map(drop),
        }
    }

    pub(crate) fn forget(&self, id: SandboxId) {
        self.lock().remove(&id);
    }

    /// Stops all that run, because the host stops.
    pub(crate) async fn halt(&self) {
        let all = stream::iter(self.all());
        let halted = all.for_each_concurrent(AT_A_TIME, |sandbox| async move {
            sandbox.halt().await;
        });
        halted.await;
    }

    /// What those that run use, at most [`FRESH`] old: however many ask, it is measured no
    /// more often.
    pub(crate) async fn uses(&self) -> Arc<[SandboxUse]> {
        let mut measured = self.inner.measured.lock().await;
        let now = self.inner.shared.clock.now();
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < FRESH;
        if let Some((_, uses)) = measured.as_ref().filter(|(at, _)| fresh(at)) {
            return Arc::clone(uses);
        }
        let uses: Arc<[SandboxUse]> = self.measure().await.into();
        *measured = Some((now, Arc::clone(&uses)));
        uses
    }

    async fn measure(&self) -> Vec<SandboxUse> {
        let lives = |sandbox: &Sandbox| {
            let state = sandbox.status().state;
            matches!(state, SandboxState::Running | SandboxState::Paused)
        };
        let all: Vec<_> = self.all().into_iter().filter(lives).collect();
        let measured = stream::iter(all).map(|sandbox| async move {
            match sandbox.stats().await {
                Ok(stats) => Some(SandboxUse {
                    id: sandbox.id(),
                    stats,
                }),
                Err(error) => {
                    tracing::debug!(sandbox = %sandbox.id(), %error, "it cannot be measured");
                    None
                }
            }
        });
        let measured = measured.buffered(AT_A_TIME);
        measured.filter_map(std::future::ready).collect().await
    }

    /// What the machine has, and what of it is promised.
    pub(crate) fn capacity(&self) -> HostCapacity {
        let mut capacity = self.inner.shared.machine.capacity();
        for sandbox in self.all() {
            let limits = sandbox.spec().limits;
            let state = sandbox.status().state;
            if matches!(state, SandboxState::Creating | SandboxState::Running) {
                capacity.cpu_promised_millis = capacity
                    .cpu_promised_millis
                    .saturating_add(limits.cpu_millis);
            }
            if matches!(
                state,
                SandboxState::Creating | SandboxState::Running | SandboxState::Paused
            ) {
                capacity.memory_promised_bytes = capacity
                    .memory_promised_bytes
                    .saturating_add(limits.memory_bytes);
            }
        }
        capacity
    }

    /// Removes what the control plane has not known for the grace.
    ///
    /// # Errors
    ///
    /// The snapshots cannot be listed.
    pub(crate) async fn live_set(&self, set: &LiveSet) -> Result<LiveSetReport, ApiError> {
        let shared = &self.inner.shared;
        let snapshots = timeout(SHORT, shared.isolation.snapshots())
            .await
            .map_err(|_| slow("listing snapshots"))?
            .map_err(|error| answer_of(&error))?;
        let kept: HashSet<_> = set.sandboxes.iter().collect();
        let kept_snapshots: HashSet<_> = set.snapshots.iter().collect();
        let all = self.all();
        let sandboxes = all
            .iter()
            .map(|sandbox| (sandbox.id().to_string(), kept.contains(&sandbox.id())));
        let files = snapshots
            .iter()
            .map(|(id, _)| (id.to_string(), kept_snapshots.contains(id)));
        let grace = shared.options.unknown_grace.as_millis();
        let grace = u64::try_from(grace).unwrap_or(u64::MAX);
        let decisions = {
            let mut unknown = self.inner.unknown.lock();
            let unknown = match &mut unknown {
                Ok(unknown) => &mut **unknown,
                Err(poisoned) => &mut **poisoned.get_mut(),
            };
            let here = sandboxes.chain(files);
            unknown.decide(here, grace, shared.clock.now_ms(), set.dry_run)
        };
        if !set.dry_run {
            for decision in decisions.iter().filter(|decision| decision.remove) {
                tracing::warn!(id = decision.id, reason = decision.reason, "removing");
                self.remove_unknown(&decision.id).await;
            }
        }
        Ok(LiveSetReport { decisions })
    }

    async fn remove_unknown(&self, id: &str) {
        if let Some(sandbox) = id.parse().ok().and_then(|id| self.find(id)) {
            sandbox.begin_delete();
        } else if let Ok(id) = id.parse::<SnapshotId>()
            && let Err(error) = self.remove_snapshot(id).await
        {
            tracing::warn!(snapshot = %id, %error, "it cannot be removed");
        }
    }

    /// Keeps a sandbox's files as they are now.
    ///
    /// # Errors
    ///
    /// There is no such sandbox, or its files cannot be kept.
    pub(crate) async fn snapshot(
        &self,
        sandbox: Sandbox,
        id: SnapshotId,
    ) -> Result<SnapshotStatus, ApiError> {
        // In a task of its own: it goes on when whoever asked leaves.
        let tasks = &self.inner.shared.tasks;
        let taken = tasks.spawn("snapshot", async move { sandbox.snapshot(id).await });
        match taken.await {
            Ok(Some(taken)) => taken.map(|size_bytes| SnapshotStatus { id, size_bytes }),
            _ => Err(ApiError::new(
                ErrorCode::Unavailable,
                "this host is shutting down",
            )),
        }
    }

    /// Removes a snapshot. Idempotent.
    ///
    /// # Errors
    ///
    /// Its files could not be removed.
    pub(crate) async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), ApiError> {
        match timeout(SHORT, self.inner.shared.isolation.remove_snapshot(id)).await {
            Ok(removed) => removed.map_err(|error| answer_of(&error)),
            Err(_) => Err(slow("removing a snapshot")),
        }
    }
}

fn slow(what: &str) -> ApiError {
    let message = format!("{what} took longer than {} s", SHORT.as_secs());
    ApiError::new(ErrorCode::Timeout, message)
}
