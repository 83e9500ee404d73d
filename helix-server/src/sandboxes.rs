//! Sandboxes, and the machines that host them.
//!
//! A host dials in (`/api/v1/revdial`) with its own credential. The database says what
//! must exist; what a host says over its tunnel says how things stand. After every
//! connection both are brought together: what is missing is asked for again, what was
//! deleted meanwhile is removed, and the host is told its live set.
//!
//! **Invariants.** A row of the database comes before anything on a host, and goes
//! after it. What is done to one sandbox is done one thing after the other. An answer
//! of a host changes no row: its events do, which come in order.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use helix_base::{Clock, Ids, TaskGroup};
use helix_proto::{
    SandboxHostId, SandboxId,
    sandbox::{Sandbox, SandboxState, host::SandboxHostState},
    tunnel::TunnelState,
};
use helix_tunnel::Hub;
use tokio::sync::{Notify, watch};

use crate::{
    Foundation,
    api::Failure,
    events::{Bus, Notice, Topic},
    machines::{Error, Machines, Role, View},
    options::SandboxOptions,
    secrets::Secrets,
    serve,
    store::{Store, sandbox_hosts::StoredHost, sandboxes::StoredSandbox},
};

mod change;
pub(crate) mod client;
mod connection;
mod hosts;
mod life;
mod locks;
mod metrics;
pub(crate) mod origins;
pub(crate) mod programs;
mod quota;
mod reconcile;
mod secrets;
mod snapshots;
mod watchdog;

pub(crate) use client::{Action, Client};

use locks::Locks;
use origins::PortOrigins;

/// How long a request waits until an event of the host has said what its answer said.
const SETTLE: Duration = Duration::from_secs(1);

/// All sandboxes and their hosts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandboxes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Ids,
    bus: Arc<dyn Bus>,
    tasks: TaskGroup,
    options: SandboxOptions,
    origins: Option<PortOrigins>,
    machines: Machines<SandboxHostId, StoredHost, Client>,
    /// One sandbox is placed at a time, so that none is promised what another was.
    placing: tokio::sync::Mutex<()>,
    locks: Locks,
    secrets: Secrets,
    /// Sandboxes that are being given their secrets.
    giving: Locks,
    /// Sandboxes that run and were given theirs since they do.
    given: Mutex<HashSet<SandboxId>>,
    /// Until when what is creating may be; more than is creating now, perhaps.
    deadlines: Mutex<BTreeSet<(u64, SandboxId)>>,
    /// There is another deadline.
    expecting: Notify,
    /// Counts up whenever a row changed.
    changes: watch::Sender<u64>,
}

/// A host as it is now; `info` and `last_seen_at_ms` are as of now too.
pub(crate) type HostView = View<StoredHost>;

impl HostView {
    /// Whether it takes sandboxes.
    pub(crate) const fn state(&self) -> SandboxHostState {
        match self.reached() {
            TunnelState::Disconnected => SandboxHostState::Offline,
            TunnelState::Reconnecting => SandboxHostState::Reconnecting,
            TunnelState::Connected if self.known.draining => SandboxHostState::Draining,
            TunnelState::Connected => SandboxHostState::Online,
        }
    }
}

impl Sandboxes {
    /// Starts it, with all hosts disconnected.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(foundation: &Foundation) -> Result<Self, serve::Error> {
        let store = foundation.store.clone();
        let origins = port_origins(foundation)?;
        // Nobody waits any more for what was being taken.
        store.delete_unfinished_snapshots().await?;
        let hosts = store.sandbox_hosts().await?;
        let creating = store.sandboxes_in(SandboxState::Creating).await?;
        let deadline = |it: &StoredSandbox| Some((it.deadline_at_ms?, it.id()));
        let known = hosts.into_iter().map(|known| (known.id, known));
        let sandboxes = Self {
            inner: Arc::new(Inner {
                store,
                clock: Arc::clone(&foundation.clock),
                ids: foundation.ids.clone(),
                bus: Arc::clone(&foundation.bus),
                tasks: foundation.tasks.clone(),
                options: foundation.options.sandboxes.clone(),
                origins,
                machines: Machines::new(foundation, known)?,
                placing: tokio::sync::Mutex::new(()),
                locks: Locks::default(),
                secrets: Secrets::new(foundation),
                giving: Locks::default(),
                given: Mutex::default(),
                deadlines: Mutex::new(creating.iter().filter_map(deadline).collect()),
                expecting: Notify::new(),
                changes: watch::Sender::new(0),
            }),
        };
        sandboxes.spawn_watchdog();
        Ok(sandboxes)
    }

    /// Where hosts dial in.
    pub(crate) fn hub(&self) -> &Hub<SandboxHostId> {
        self.inner.machines.hub()
    }

    /// Where browsers open servers in sandboxes, if that is set up.
    pub(crate) fn origins(&self) -> Option<&PortOrigins> {
        self.inner.origins.as_ref()
    }

    /// The way to a host, while it is connected.
    ///
    /// # Errors
    /// [`Error::Offline`].
    pub(crate) fn client(&self, host: SandboxHostId) -> Result<Client, Error> {
        self.inner
            .machines
            .link(host)
            .ok_or(Error::Offline(Role::SandboxHost))
    }

    /// A sandbox that is not deleted. Who may do what in it is for
    /// [`Sharing`](crate::sharing::Sharing) to say.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn find(&self, id: SandboxId) -> Result<StoredSandbox, Failure> {
        let found = self.inner.store.sandbox(id).await?;
        let found = found.filter(|it| it.state != SandboxState::Deleted);
        found.ok_or_else(|| Failure::not_found("sandbox"))
    }

    /// The way to the host of a sandbox.
    ///
    /// # Errors
    /// Not found, or a host that is not connected.
    pub(crate) async fn client_of(&self, id: SandboxId) -> Result<Client, Failure> {
        let sandbox = self.find(id).await?;
        Ok(self.client(sandbox.host_id)?)
    }

    /// A sandbox as REST shows it.
    pub(crate) fn shown(&self, sandbox: StoredSandbox) -> Sandbox {
        let reached = self
            .inner
            .machines
            .look(sandbox.host_id, |_, reached| reached);
        let origins = self.inner.origins.as_ref();
        Sandbox {
            id: sandbox.spec.id,
            ports_url: origins.map(|origins| origins.pattern(sandbox.spec.id)),
            name: sandbox.spec.name,
            user_id: sandbox.user_id,
            host_id: Some(sandbox.host_id),
            state: sandbox.state,
            reachable: reached == Some(TunnelState::Connected),
            phase: sandbox.phase,
            end: sandbox.end,
            rootfs: sandbox.spec.rootfs,
            egress: sandbox.spec.egress,
            limits: sandbox.spec.limits,
            docker: sandbox.spec.docker,
            desktop: sandbox.spec.desktop,
            idle_timeout_ms: sandbox.spec.idle_timeout_ms,
            expires_at_ms: sandbox.spec.expires_at_ms,
            created_at_ms: sandbox.created_at_ms,
            used_at_ms: sandbox.used_at_ms,
        }
    }

    /// Tells its owner, and administrators, that a sandbox changed.
    fn tell(&self, sandbox: StoredSandbox) {
        self.tell_owner(sandbox);
        self.changed();
    }

    /// Tells its owner that a sandbox changed.
    fn tell_owner(&self, sandbox: StoredSandbox) {
        let owner = Topic::User(sandbox.user_id);
        let sandbox = Arc::new(self.shown(sandbox));
        let notice = Notice::SandboxChanged { sandbox };
        self.inner.bus.publish(Topic::Sandboxes, notice.clone());
        self.inner.bus.publish(owner, notice);
    }

    /// As [`Self::tell`], of a row that was just changed.
    async fn tell_of(&self, id: SandboxId) -> Result<(), Failure> {
        if let Some(sandbox) = self.inner.store.sandbox(id).await? {
            self.tell(sandbox);
        }
        Ok(())
    }

    /// Tells that a sandbox is gone, or about to be.
    fn tell_deleted(&self, sandbox: &StoredSandbox) {
        let sandbox_id = sandbox.id();
        let notice = Notice::SandboxDeleted { sandbox_id };
        self.inner.bus.publish(Topic::Sandboxes, notice.clone());
        self.inner.bus.publish(Topic::User(sandbox.user_id), notice);
        self.changed();
    }

    /// Tells administrators that something about hosts changed.
    fn changed(&self) {
        self.inner.changes.send_modify(|count| *count += 1);
        self.inner
            .bus
            .publish(Topic::Fleet, Notice::SandboxHostsChanged);
    }

    /// By when something that is creating must be done.
    fn deadline(&self, id: SandboxId) -> u64 {
        let within = self.inner.options.create_timeout.as_millis();
        let within = u64::try_from(within).unwrap_or(u64::MAX);
        let at_ms = self.inner.clock.now_ms().saturating_add(within);
        self.deadlines().insert((at_ms, id));
        self.inner.expecting.notify_one();
        at_ms
    }
}

fn port_origins(foundation: &Foundation) -> Result<Option<PortOrigins>, serve::Error> {
    let domain = foundation.options.sandboxes.ports_domain.as_deref();
    let origins = domain.map(|domain| PortOrigins::new(domain, &foundation.public_url));
    origins.transpose().map_err(|reason| serve::Error::Option {
        option: "sandboxes.ports_domain".to_owned(),
        reason,
    })
}
