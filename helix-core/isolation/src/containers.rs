//! The backend for hosts that have a Docker daemon: sandboxes as containers.
//!
//! A sandbox is a container of an image that the Docker daemon has. Docker makes its file
//! system, namespaces, control groups and system call filter; the network, egress policy
//! and resolver are ours ([`network`](crate::network)), the same as of every backend: the
//! container has Docker's network `none`, and a veth pair joins its network namespace to
//! the host. Inside, as process 1, runs the [`guest`](crate::guest).
//!
//! The guest is the daemon's own program, shown read-only in `/.helix` together with the
//! host's dynamic loader and the libraries that it uses, since an image may have another
//! C library or none. [`guest_main`] is its beginning.
//!
//! What root inside may do is less than what Docker gives: eleven capabilities, none over
//! networks or devices, and never more by running a program (`no-new-privileges`).
//!
//! # What it does not do
//!
//! [`capabilities`](crate::Isolation::capabilities) lists these with their reasons:
//!
//! - A limit on the disk is kept only where the Docker daemon's storage driver can. Where it
//!   cannot (`disk_limit`), sandboxes are made all the same, and one may fill the file
//!   system that holds Docker's data.
//! - Ids inside are the host's own unless the Docker daemon maps them (`user_namespace`).
//! - There is no Docker daemon inside, and none starts from the host's own system.
//! - An image that declares volumes is refused: snapshots and forks would lack what is
//!   written there. They hold the file system, without `/dev/shm` and other memory.
//! - An image without a name from which a sandbox started may go with the last snapshot
//!   of it, as images without names do.

mod capabilities;
mod ceiling;
mod config;
mod create;
mod daemon;
mod handshake;
mod images;
mod inside;
mod join;
mod limits;
mod options;
mod places;
mod program;
mod sandbox;
mod start;
mod stats;

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerSummary, ContainerSummaryStateEnum as Summary},
    query_parameters::ListContainersOptionsBuilder,
};
use helix_base::{Clock, TaskGroup};
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::host::{HostCapability, HostImage, SandboxSpec},
};
use rustix::fs::{FlockOperation, flock};

use self::{
    config::{Common, HOST, SANDBOX},
    daemon::failed,
    images::Images,
    places::{Kept, Places},
    sandbox::{Sandbox, State},
};
pub use self::{
    inside::{ARGUMENT, guest_main},
    options::Options,
};
use crate::{
    Environment, Error, ErrorKind, Found, FoundState, Isolation,
    dns::NoNames,
    network::{Live, Networks},
};

/// How long the Docker daemon may take for anything, in seconds: a snapshot of a large
/// sandbox takes its time.
const PATIENCE_S: u64 = 600;

/// Sandboxes in containers of a Docker daemon.
#[derive(Debug)]
pub struct Containers {
    backend: Arc<Backend>,
}

/// What all sandboxes of a backend share.
#[derive(Debug)]
struct Backend {
    docker: Docker,
    common: Common,
    images: Images,
    networks: Networks,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    capabilities: Vec<HostCapability>,
    sandboxes: Mutex<HashMap<SandboxId, Arc<Sandbox>>>,
    turns: Mutex<HashMap<SandboxId, Arc<tokio::sync::Mutex<()>>>>,
    /// Held as long as this lives: one daemon for one place.
    _lock: File,
}

impl Containers {
    /// A backend on the Docker daemon at `options.socket`. Goes on with the sandboxes that
    /// are there, and calls [`Networks::recover`]: nobody else must use `networks`.
    ///
    /// # Errors
    ///
    /// Where the Docker daemon or the place cannot be used, or another process uses the
    /// place. What the Docker daemon cannot do is no error: [`Isolation::capabilities`]
    /// says it.
    pub async fn open(
        options: &Options,
        networks: Networks,
        clock: Arc<dyn Clock>,
        tasks: TaskGroup,
    ) -> Result<Self, Error> {
        let places = Places::open(&options.data)?;
        let lock = lock(&places)?;
        let socket = options.socket.display();
        let at = || format!("reaching the Docker daemon at {socket}");
        let docker =
            Docker::connect_with_unix(&socket.to_string(), PATIENCE_S, API_DEFAULT_VERSION)
                .map_err(failed(at()))?;
        let docker = docker.negotiate_version().await.map_err(failed(at()))?;
        let info = docker.info().await.map_err(failed(at()))?;
        let mounts = std::fs::read_to_string("/proc/self/mounts")
            .map_err(|error| Error::io("reading the table of mounts", error))?;
        let capabilities = capabilities::find(&info, &mounts);
        let common = Common {
            tag: places.tag(),
            start: collect(options, &places).await?,
            cgroup_parent: options.cgroup_parent.clone(),
            most_open_files: most_open_files(&options.socket),
            limits_disk: capabilities::missing(&capabilities, "disk_limit").is_none(),
            places,
        };
        let backend = Arc::new(Backend {
            images: Images {
                docker: docker.clone(),
                tag: common.tag.clone(),
            },
            docker,
            common,
            networks,
            clock,
            tasks,
            capabilities,
            sandboxes: Mutex::default(),
            turns: Mutex::default(),
            _lock: lock,
        });
        backend.adopt().await?;
        Ok(Self { backend })
    }
}

impl Containers {
    /// What to give as the network of another container of the same Docker daemon
    /// (`docker run --network …`), such as one with a desktop: it then has the sandbox's
    /// network as its own, with its address, loopback, names and egress policy, for as long
    /// as the sandbox runs; after that it must be started again. A sandbox of
    /// [`namespaces`](crate::namespaces) needs no such thing: its containers are inside.
    ///
    /// # Errors
    ///
    /// Where there is no such sandbox, or it does not run.
    pub async fn network_of(&self, id: SandboxId) -> Result<String, Error> {
        let states = self.backend.containers().await?;
        let (Some((container, state)), Some(_)) = (states.get(&id), self.backend.get(id)) else {
            let message = format!("there is no sandbox {id} on this host");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        if *state == FoundState::Stopped {
            let message = format!("the sandbox {id} does not run, so it has no network");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(format!("container:{container}"))
    }
}

/// Containers get fewer open files than was asked where the Docker daemon cannot give more,
/// as sandboxes of every backend do that meet a limit of their host.
fn most_open_files(socket: &Path) -> Option<u64> {
    let most = ceiling::open_files(socket);
    match &most {
        Ok(Some(most)) => tracing::warn!(
            most,
            "no sandbox has more open files: the Docker daemon may not raise its own limit"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the Docker daemon's limits are not known"),
    }
    most.ok().flatten()
}

async fn collect(options: &Options, places: &Places) -> Result<Vec<String>, Error> {
    let (program, folder) = (options.program.clone(), places.guest());
    let tools = options.tools;
    let collected = tokio::task::spawn_blocking(move || {
        let start = program::collect(&program, &folder)?;
        program::offer(&start, &folder, tools)?;
        Ok(start)
    });
    let collected = collected.await.map_err(std::io::Error::other);
    collected
        .and_then(|result| result)
        .map_err(|error| Error::io("collecting the guest's program", error))
}

fn lock(places: &Places) -> Result<File, Error> {
    let path = places.data.join("lock");
    let file = File::create(&path).map_err(|error| Error::io(path.display(), error))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let message = format!(
            "another process keeps its sandboxes in {}: give each a directory of its own",
            places.data.display()
        );
        Error::new(ErrorKind::Conflict, message)
    })?;
    Ok(file)
}

impl Backend {
    /// Goes on with what an earlier process made, and removes what it left half made.
    async fn adopt(self: &Arc<Self>) -> Result<(), Error> {
        let mut containers = self.containers().await?;
        let mut live = Vec::new();
        for mut kept in self.common.places.read_all()? {
            let id = kept.spec.id;
            let Some((name, state)) = containers.remove(&id) else {
                tracing::warn!(%id, "somebody removed the container of a sandbox");
                self.common.places.forget(id)?;
                continue;
            };
            let runs = state != FoundState::Stopped;
            match kept.slot {
                Some(index) if runs && kept.ready => live.push(Live {
                    id,
                    index,
                    egress: kept.spec.egress.clone(),
                    names: Arc::new(NoNames),
                }),
                // A life that ended by itself, or a start that was cut.
                _ => self.put_down(&name, &mut kept).await?,
            }
            let state = State::of(if kept.ready {
                state
            } else {
                FoundState::Stopped
            });
            let sandbox = Arc::new(Sandbox::new(self, kept, state));
            self.sandboxes().insert(id, sandbox);
        }
        for (id, (name, _)) in containers {
            tracing::info!(%id, "removing a container that was half made or half removed");
            self.remove_container(&name).await?;
        }
        for id in self.images.bases().await? {
            if self.get(id).is_none() {
                self.images.remove_base(id).await?;
            }
        }
        self.common.places.tidy(|id| self.get(id).is_some())?;
        self.networks.recover(live).await.map(drop)
    }

    /// Ends what is left of a life, before the network is recovered without it.
    async fn put_down(&self, container: &str, kept: &mut Kept) -> Result<(), Error> {
        self.kill(container).await?;
        for (other, interface) in std::mem::take(&mut kept.joined) {
            self.try_to_part(&other, &interface).await;
        }
        let clear = self.common.places.clear(kept.spec.id);
        clear.map_err(|error| Error::io("removing a sandbox's sockets", error))?;
        (kept.slot, kept.ready) = (None, false);
        self.common.places.write(kept)
    }

    /// Our containers by sandbox, as the Docker daemon knows them.
    async fn containers(&self) -> Result<HashMap<SandboxId, (String, FoundState)>, Error> {
        let label = format!("{HOST}={}", self.common.tag);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let all = self.docker.list_containers(Some(options)).await;
        let all = all.map_err(failed("listing containers"))?;
        Ok(all.into_iter().filter_map(summary).collect())
    }

    fn sandboxes(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<Sandbox>>> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: SandboxId) -> Option<Arc<Sandbox>> {
        self.sandboxes().get(&id).cloned()
    }

    /// Whoever holds it may do something to a sandbox, whether it exists or not.
    fn turn(&self, id: SandboxId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(id).or_default().clone()
    }
}

/// Which sandbox a container is, its id, and whether it runs.
fn summary(container: ContainerSummary) -> Option<(SandboxId, (String, FoundState))> {
    let id = container.labels?.get(SANDBOX)?.parse().ok()?;
    let state = match container.state {
        Some(Summary::RUNNING) => FoundState::Running,
        Some(Summary::PAUSED) => FoundState::Paused,
        _ => FoundState::Stopped,
    };
    Some((id, (container.id?, state)))
}

#[async_trait]
impl Isolation for Containers {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn capabilities(&self) -> Vec<HostCapability> {
        self.backend.capabilities.clone()
    }

    async fn images(&self) -> Result<Vec<HostImage>, Error> {
        self.backend.images.list().await
    }

    async fn found(&self) -> Result<Vec<Found>, Error> {
        let states = self.backend.containers().await?;
        let sandboxes: Vec<_> = self.backend.sandboxes().values().cloned().collect();
        let found = |sandbox: Arc<Sandbox>| Found {
            state: states
                .get(&sandbox.id)
                .map_or(FoundState::Stopped, |(_, state)| *state),
            environment: sandbox,
        };
        Ok(sandboxes.into_iter().map(found).collect())
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Environment>, Error> {
        let made = create::create(&self.backend, spec).await;
        made.map(|sandbox| sandbox as Arc<dyn Environment>)
    }

    async fn remove(&self, id: SandboxId) -> Result<(), Error> {
        let turn = self.backend.turn(id);
        let _turn = turn.lock().await;
        match self.backend.get(id) {
            Some(sandbox) => sandbox.remove(&self.backend).await,
            None => Ok(()),
        }
    }

    async fn snapshots(&self) -> Result<Vec<(SnapshotId, u64)>, Error> {
        let images = &self.backend.images;
        let mut all = Vec::new();
        for id in images.snapshots().await? {
            all.push((id, images.size(&images.snapshot(id)).await?));
        }
        Ok(all)
    }

    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.backend.images.remove_snapshot(id).await
    }
}
