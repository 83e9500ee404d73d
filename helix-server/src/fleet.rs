//! Runners: who is registered, who is connected, and the way to each.
//!
//! A runner dials in (`/api/v1/revdial`) with its own credential; what it says
//! over its tunnel goes to the scheduler as [`Event`]s, and what the scheduler
//! wants of it comes back as commands.
//!
//! **Invariants.** A runner's id comes from its credential. A runner has one
//! tunnel: a newer one takes the place of an older one. A runner whose credential
//! was revoked has none.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use helix_base::{Clock, TaskGroup};
use helix_proto::{
    InstanceId, RunnerId,
    fleet::RunnerState,
    runner::StartInstance,
    tunnel::{RunnerTunnel, TunnelState},
};
use helix_scheduler::Event;
use helix_tunnel::{AcceptOptions, CloseCode, HeartbeatPolicy, Hub, Limits, Tunnel};
use tokio::sync::mpsc;

use crate::{
    Foundation,
    events::{Bus, Notice, Topic},
    serve,
    store::{self, Store, runners::StoredRunner},
};

pub(crate) mod client;
mod connection;
mod lines;
mod metrics;
mod reach;

pub(crate) use client::Client;
pub use client::Error;

use reach::Reach;

/// Events on their way to the scheduler; when full, runners are read no further.
const NEWS: usize = 1_024;

/// Requests under way on one runner at once; the scheduler keeps well below.
const MAX_REQUESTS: u32 = 16_384;

/// Commands on their way to one runner. When full, the command is lost as if the
/// runner had been: the scheduler says it again.
const COMMANDS: usize = 256;

/// What a runner is to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start an instance.
    Start {
        /// Under this id.
        instance: InstanceId,
        /// As it says here.
        start: Box<StartInstance>,
    },
    /// Stop an instance.
    Stop {
        /// Which.
        instance: InstanceId,
    },
}

/// All runners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    bus: Arc<dyn Bus>,
    tasks: TaskGroup,
    news: mpsc::Sender<Event>,
    unread: Mutex<Option<mpsc::Receiver<Event>>>,
    runners: RwLock<BTreeMap<RunnerId, Entry>>,
    /// How many tunnels there were.
    tunnels: AtomicU64,
    /// Everybody's tunnel.
    hub: Hub<RunnerId>,
}

#[derive(Debug)]
struct Entry {
    /// As it is stored, but for `info` and `last_seen_at_ms`, which are as of now.
    known: StoredRunner,
    live: Option<Live>,
    reach: Reach,
}

impl Entry {
    fn new(known: StoredRunner) -> Self {
        Self {
            known,
            live: None,
            reach: Reach::default(),
        }
    }
}

/// A runner that is connected.
#[derive(Debug, Clone)]
struct Live {
    /// Tells this tunnel from the ones before and after it.
    number: u64,
    client: Client,
    tunnel: Tunnel,
    commands: mpsc::Sender<Command>,
}

/// A runner as it is now.
#[derive(Debug, Clone)]
pub(crate) struct RunnerView {
    /// What is known of it.
    pub(crate) known: StoredRunner,
    reach: Reach,
    tunnel: Option<Tunnel>,
}

impl RunnerView {
    /// Whether it takes part.
    pub(crate) const fn state(&self) -> RunnerState {
        match self.reach.state(self.tunnel.is_some()) {
            TunnelState::Disconnected => RunnerState::Offline,
            TunnelState::Reconnecting => RunnerState::Reconnecting,
            TunnelState::Connected if self.known.draining => RunnerState::Draining,
            TunnelState::Connected => RunnerState::Online,
        }
    }

    /// Whether it can be asked something now.
    pub(crate) fn is_connected(&self) -> bool {
        self.reach.state(self.tunnel.is_some()) == TunnelState::Connected
    }

    /// How it is connected, or was.
    pub(crate) fn tunnel(&self) -> RunnerTunnel {
        self.reach.shown(self.tunnel.as_ref())
    }
}

impl Fleet {
    /// Starts it, with all runners disconnected.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(foundation: &Foundation) -> Result<Self, serve::Error> {
        let stored = foundation.store.runners().await?;
        let entry = |known: StoredRunner| (known.id, Entry::new(known));
        let (news, unread) = mpsc::channel(NEWS);
        let options = &foundation.options.tunnel;
        if let Some((option, reason)) = options.fault() {
            return Err(serve::Error::Option {
                option: option.into(),
                reason: reason.into(),
            });
        }
        let accept = AcceptOptions {
            grace: options.grace,
            heartbeat: HeartbeatPolicy {
                interval: options.heartbeat_interval,
                ..HeartbeatPolicy::default()
            },
            limits: Limits {
                max_requests: MAX_REQUESTS,
                ..Limits::default()
            },
            ..AcceptOptions::default()
        };
        let inner = Inner {
            store: foundation.store.clone(),
            clock: Arc::clone(&foundation.clock),
            bus: Arc::clone(&foundation.bus),
            tasks: foundation.tasks.clone(),
            news,
            unread: Mutex::new(Some(unread)),
            runners: RwLock::new(stored.into_iter().map(entry).collect()),
            tunnels: AtomicU64::new(0),
            hub: Hub::new(accept, &foundation.tasks),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What runners say, for the one who drives the scheduler: given once.
    pub(crate) fn news(&self) -> Option<mpsc::Receiver<Event>> {
        self.inner
            .unread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Where runners dial in.
    pub(crate) fn hub(&self) -> &Hub<RunnerId> {
        &self.inner.hub
    }

    /// A runner whose tunnel began. Whoever held its place has given way.
    pub(crate) fn attach(&self, id: RunnerId, tunnel: &Tunnel) {
        let (commands, orders) = mpsc::channel(COMMANDS);
        let client = Client::new(tunnel.clone());
        let number = self.inner.tunnels.fetch_add(1, Ordering::Relaxed);
        let now_ms = self.inner.clock.now_ms();
        let mut runners = self.write();
        let Some(entry) = runners.get_mut(&id) else {
            drop(runners);
            tunnel.close(CloseCode::REVOKED, "the runner was deleted");
            return;
        };
        let live = Live {
            number,
            client: client.clone(),
            tunnel: tunnel.clone(),
            commands,
        };
        if let Some(before) = entry.live.replace(live) {
            entry.reach.ended(reach::last_close(&before.tunnel), now_ms);
        }
        entry.reach.began(now_ms);
        drop(runners);
        connection::Connection::new(self.clone(), id, number, client, tunnel.clone()).spawn(orders);
    }

    /// Ends a runner's tunnel for good: its credential is no longer valid.
    fn revoke(&self, id: RunnerId, reason: &str) {
        if self.inner.hub.close(&id, CloseCode::REVOKED, reason) {
            tracing::info!(runner = %id, reason, "tunnel closed");
        }
        let now_ms = self.inner.clock.now_ms();
        if let Some(entry) = self.write().get_mut(&id)
            && let Some(live) = entry.live.take()
        {
            live.tunnel.close(CloseCode::REVOKED, reason);
            entry.reach.ended(reach::last_close(&live.tunnel), now_ms);
        }
    }

    /// Registers a runner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn register(
        &self,
        runner: StoredRunner,
        credential_hash: &str,
    ) -> Result<(), store::Error> {
        self.inner
            .store
            .insert_runner(&runner, credential_hash)
            .await?;
        self.registered(runner);
        Ok(())
    }

    /// Takes note of a runner that the store knows already.
    pub(crate) fn registered(&self, runner: StoredRunner) {
        tracing::info!(runner = %runner.id, name = runner.name, "runner registered");
        self.write().insert(runner.id, Entry::new(runner));
        self.changed();
    }

    /// Forgets a runner and closes its tunnel at once. Whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn remove(&self, id: RunnerId) -> Result<bool, store::Error> {
        let existed = self.inner.store.delete_runner(id).await?;
        self.revoke(id, "the runner was deleted");
        self.write().remove(&id);
        self.tell(Event::RunnerRemoved { runner: id }).await;
        self.changed();
        Ok(existed)
    }

    /// Gives a runner another credential and closes its tunnel at once. Whether
    /// there is such a runner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn rotate(&self, id: RunnerId, hash: &str) -> Result<bool, store::Error> {
        let exists = self.inner.store.set_runner_credential(id, hash).await?;
        if exists {
            self.revoke(id, "the credential was replaced");
            self.tell(Event::RunnerDown { runner: id }).await;
            self.changed();
        }
        Ok(exists)
    }

    /// Whether a runner is to take nothing new. Whether there is such a runner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn drain(&self, id: RunnerId, drain: bool) -> Result<bool, store::Error> {
        let exists = self.inner.store.set_runner_draining(id, drain).await?;
        if let Some(entry) = self.write().get_mut(&id) {
            entry.known.draining = drain;
        }
        self.tell(if drain {
            Event::RunnerDraining { runner: id }
        } else {
            Event::RunnerResumed { runner: id }
        })
        .await;
        self.changed();
        Ok(exists)
    }

    /// Tells a runner to do something. Never waits; if the runner is not there or
    /// too slow, the command is lost, and the scheduler finds out.
    pub(crate) fn command(&self, id: RunnerId, command: Command) {
        let commands = self.live(id).map(|live| live.commands);
        let sent = commands.is_some_and(|commands| commands.try_send(command).is_ok());
        if !sent {
            tracing::warn!(runner = %id, "a command could not be handed to the runner");
        }
    }

    /// The way to a runner, while it is connected.
    ///
    /// # Errors
    /// [`Error::Offline`].
    pub(crate) fn client(&self, id: RunnerId) -> Result<Client, Error> {
        self.live(id).map(|live| live.client).ok_or(Error::Offline)
    }

    /// What people call a runner.
    pub(crate) fn name(&self, id: RunnerId) -> String {
        self.read()
            .get(&id)
            .map_or_else(|| id.to_string(), |entry| entry.known.name.clone())
    }

    /// All runners, oldest first.
    pub(crate) fn runners(&self) -> Vec<RunnerView> {
        self.read().values().map(view).collect()
    }

    /// One runner.
    pub(crate) fn runner(&self, id: RunnerId) -> Option<RunnerView> {
        self.read().get(&id).map(view)
    }

    fn live(&self, id: RunnerId) -> Option<Live> {
        self.read().get(&id).and_then(|entry| entry.live.clone())
    }

    /// Changes what is known of a runner, if this connection is still its own.
    fn update(&self, id: RunnerId, number: u64, change: impl FnOnce(&mut StoredRunner)) -> bool {
        let mut runners = self.write();
        let Some(entry) = runners.get_mut(&id) else {
            return false;
        };
        if entry.live.as_ref().is_none_or(|live| live.number != number) {
            return false;
        }
        change(&mut entry.known);
        true
    }

    /// Takes note that a tunnel ended. Whether it was the runner's own.
    fn detach(&self, id: RunnerId, number: u64) -> bool {
        let now_ms = self.inner.clock.now_ms();
        let mut runners = self.write();
        let Some(entry) = runners.get_mut(&id) else {
            return false;
        };
        let Some(live) = entry.live.take_if(|live| live.number == number) else {
            return false;
        };
        entry.reach.ended(reach::last_close(&live.tunnel), now_ms);
        true
    }

    /// Takes note that a tunnel's connection broke, or was replaced. Whether it was the
    /// runner's own.
    fn noticed(&self, id: RunnerId, number: u64, away: bool) -> bool {
        let now_ms = self.inner.clock.now_ms();
        let mut runners = self.write();
        let Some(Entry { live, reach, .. }) = runners.get_mut(&id) else {
            return false;
        };
        let Some(live) = live.as_ref().filter(|live| live.number == number) else {
            return false;
        };
        if away {
            reach.broke(reach::last_close(&live.tunnel), now_ms);
        } else {
            reach.resumed(now_ms);
        }
        true
    }

    /// Tells the scheduler.
    async fn tell(&self, event: Event) {
        // Nobody listens only before the start and after the shutdown.
        let _ = self.inner.news.send(event).await;
    }

    fn changed(&self) {
        self.inner.bus.publish(Topic::Fleet, Notice::RunnersChanged);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<RunnerId, Entry>> {
        self.inner
            .runners
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<RunnerId, Entry>> {
        self.inner
            .runners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn view(entry: &Entry) -> RunnerView {
    RunnerView {
        known: entry.known.clone(),
        reach: entry.reach.clone(),
        tunnel: entry.live.as_ref().map(|live| live.tunnel.clone()),
    }
}
