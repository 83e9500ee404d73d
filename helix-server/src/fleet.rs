//! Runners: who is registered, who is connected, and the way to each.
//!
//! A runner dials in (`/api/v1/revdial`) with its own credential; what it says
//! over its tunnel goes to the scheduler as [`Event`]s, and what the scheduler
//! wants of it comes back as commands.
//!
//! **Invariants.** A runner's id comes from its credential. A runner has one
//! tunnel: a newer one takes the place of an older one. A runner whose credential
//! was revoked has none.

use std::sync::{Arc, Mutex, PoisonError};

use helix_base::TaskGroup;
use helix_proto::{
    InstanceId, RunnerId, fleet::RunnerState, runner::StartInstance, tunnel::TunnelState,
};
use helix_scheduler::Event;
use helix_tunnel::{Hub, Tunnel};
use tokio::sync::mpsc;

use crate::{
    Foundation,
    events::{Bus, Notice, Topic},
    machines::{Machines, View},
    metrics::Metrics,
    serve,
    store::{self, Store, runners::StoredRunner},
};

pub(crate) mod client;
mod connection;

pub use crate::machines::{Error, Role};
pub(crate) use client::Client;

/// Events on their way to the scheduler; when full, runners are read no further.
const NEWS: usize = 1_024;

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
    clock: Arc<dyn helix_base::Clock>,
    bus: Arc<dyn Bus>,
    tasks: TaskGroup,
    news: mpsc::Sender<Event>,
    unread: Mutex<Option<mpsc::Receiver<Event>>>,
    machines: Machines<RunnerId, StoredRunner, Live>,
}

/// A runner that is connected.
#[derive(Debug, Clone)]
struct Live {
    client: Client,
    commands: mpsc::Sender<Command>,
}

/// A runner as it is now; `info` and `last_seen_at_ms` are as of now too.
pub(crate) type RunnerView = View<StoredRunner>;

impl RunnerView {
    /// Whether it takes part.
    pub(crate) const fn state(&self) -> RunnerState {
        match self.reached() {
            TunnelState::Disconnected => RunnerState::Offline,
            TunnelState::Reconnecting => RunnerState::Reconnecting,
            TunnelState::Connected if self.known.draining => RunnerState::Draining,
            TunnelState::Connected => RunnerState::Online,
        }
    }
}

impl Fleet {
    /// Starts it, with all runners disconnected.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(foundation: &Foundation) -> Result<Self, serve::Error> {
        let stored = foundation.store.runners().await?;
        let (news, unread) = mpsc::channel(NEWS);
        let known = stored.into_iter().map(|known| (known.id, known));
        let inner = Inner {
            store: foundation.store.clone(),
            clock: Arc::clone(&foundation.clock),
            bus: Arc::clone(&foundation.bus),
            tasks: foundation.tasks.clone(),
            news,
            unread: Mutex::new(Some(unread)),
            machines: Machines::new(foundation, known)?,
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
        self.inner.machines.hub()
    }

    /// A runner whose tunnel began. Whoever held its place has given way.
    pub(crate) fn attach(&self, id: RunnerId, tunnel: &Tunnel) {
        let (commands, orders) = mpsc::channel(COMMANDS);
        let client = Client::new(tunnel.clone());
        let live = Live {
            client: client.clone(),
            commands,
        };
        if let Some(number) = self.inner.machines.attach(id, tunnel, live) {
            connection::Connection::new(self.clone(), id, number, client, orders).spawn();
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
        self.inner.machines.insert(runner.id, runner);
        self.changed();
    }

    /// Forgets a runner and closes its tunnel at once. Whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn remove(&self, id: RunnerId) -> Result<bool, store::Error> {
        let existed = self.inner.store.delete_runner(id).await?;
        self.inner.machines.remove(id, "the runner was deleted");
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
            let why = "the credential was replaced";
            self.inner.machines.revoke(id, why);
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
        self.inner
            .machines
            .change(id, |known| known.draining = drain);
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
        let commands = self.inner.machines.link(id).map(|live| live.commands);
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
        let live = self.inner.machines.link(id);
        live.map(|live| live.client)
            .ok_or(Error::Offline(Role::Runner))
    }

    /// What people call a runner.
    pub(crate) fn name(&self, id: RunnerId) -> String {
        let name = self.inner.machines.look(id, |known, _| known.name.clone());
        name.unwrap_or_else(|| id.to_string())
    }

    /// All runners, oldest first.
    pub(crate) fn runners(&self) -> Vec<RunnerView> {
        self.inner.machines.all()
    }

    /// One runner.
    pub(crate) fn runner(&self, id: RunnerId) -> Option<RunnerView> {
        self.inner.machines.get(id)
    }

    /// How runners' tunnels are now. Made anew at each call, so that nothing stays of
    /// runners that were deleted.
    pub(crate) fn note_metrics(&self, metrics: &Metrics) {
        for view in self.runners() {
            let id = view.known.id.to_string();
            crate::machines::metrics::note(metrics, Role::Runner, &id, &view.tunnel());
        }
    }

    /// Tells the scheduler.
    async fn tell(&self, event: Event) {
        // Nobody listens only before the start and after the shutdown.
        let _ = self.inner.news.send(event).await;
    }

    fn changed(&self) {
        self.inner.bus.publish(Topic::Fleet, Notice::RunnersChanged);
    }
}
