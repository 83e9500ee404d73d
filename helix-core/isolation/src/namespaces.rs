//! The default backend: Linux namespaces, cgroups, seccomp.
//!
//! A sandbox is a directory with a disk image, and, while it runs, one tree of processes
//! whose first serves the [`guest`](crate::guest)'s routes. Everything that the kernel
//! holds for it (mounts, loop device, network, namespaces) hangs on those processes and
//! goes with them; only its cgroups, its firewall entries and its socket are removed by
//! hand. `launch` says how one is started.

mod capabilities;
mod cgroup;
mod create;
mod disk;
mod docker_images;
mod host_root;
mod launch;
mod launcher;
mod limits;
mod loops;
mod options;
mod origins;
mod process;
mod processes;
mod sandbox;
mod spares;
mod start;
mod state;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    slice::from_ref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use helix_base::{Clock, TaskGroup};
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{
        Egress,
        host::{HostCapability, HostImage, SandboxSpec},
    },
};

pub(crate) use self::launch::own_ids;
pub use self::origins::made_from;
use self::{
    cgroup::Hierarchies, host_root::HostRoot, launcher::Launcher, sandbox::Sandbox, spares::Spares,
    state::Places,
};
pub use self::{
    docker_images::import_docker_image,
    launch::{
        ARGUMENT, launch_main,
        own_ids::{enter_own_ids, uses_own_ids},
    },
    options::Options,
};
use crate::{
    Environment, Error, ErrorKind, Found, FoundState, Isolation,
    dns::{LocalNames, NoNames},
    docker::{self, images::DockerImages},
    images::Images,
    network::{self, Networks},
};

/// Sandboxes of Linux namespaces.
#[derive(Debug)]
pub struct Namespaces {
    backend: Arc<Backend>,
}

/// What all sandboxes of a backend share.
#[derive(Debug)]
struct Backend {
    options: Options,
    /// Whether the ids are [`own_ids`].
    own_ids: bool,
    places: Places,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    hierarchies: Hierarchies,
    capabilities: Vec<HostCapability>,
    host: Option<HostRoot>,
    images: Images,
    docker_images: DockerImages,
    networks: Option<Networks>,
    launcher: Arc<Launcher>,
    spares: Arc<Spares>,
    /// The ranges of ids that sandboxes have, by their number.
    ranges: Mutex<BTreeSet<u32>>,
    sandboxes: Mutex<HashMap<SandboxId, Arc<Sandbox>>>,
    /// Held as long as this lives: one daemon for one place.
    _lock: Arc<File>,
}

impl Namespaces {
    /// A backend that keeps everything below `options.data`, and goes on with the
    /// sandboxes that are there. Looks through the host's system, which takes a moment.
    ///
    /// # Errors
    ///
    /// Where the place cannot be used, or another process uses it. What the machine
    /// cannot do is no error: [`Isolation::capabilities`] says it.
    pub async fn new(
        options: Options,
        clock: Arc<dyn Clock>,
        tasks: TaskGroup,
    ) -> Result<Self, Error> {
        let mut backend = tokio::task::spawn_blocking(move || Backend::open(options, clock, tasks))
            .await
            .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))??;
        backend.open_network().await;
        let backend = Arc::new(backend);
        backend.adopt().await?;
        backend.spares.fill(&backend.tasks);
        Ok(Self { backend })
    }
}

impl Namespaces {
    /// Removes what belongs to no sandbox but to the backend, for whoever removes the data
    /// directory too. Everything comes back when a backend is made again.
    ///
    /// # Errors
    ///
    /// Where sandboxes are left, or the kernel refuses.
    pub async fn dispose(&self) -> Result<(), Error> {
        if !self.backend.sandboxes().is_empty() {
            let message = "there are sandboxes: remove them first";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if let Some(networks) = &self.backend.networks {
            networks.close().await?;
        }
        let backend = Arc::clone(&self.backend);
        let disposed = move || {
            backend.spares.close();
            backend.hierarchies.dispose()
        };
        tokio::task::spawn_blocking(disposed)
            .await
            .map_err(std::io::Error::other)
            .and_then(|result| result)
            .map_err(|error| Error::io("removing the control groups of the sandboxes", error))
    }
}

impl Backend {
    fn open(mut options: Options, clock: Arc<dyn Clock>, tasks: TaskGroup) -> Result<Self, Error> {
        fs::create_dir_all(&options.data)
            .and_then(|()| fs::set_permissions(&options.data, Permissions::from_mode(0o700)))
            .and_then(|()| {
                options.data = options.data.canonicalize()?;
                Ok(())
            })
            .map_err(|error| Error::io(options.data.display(), error))?;
        let places = Places {
            data: options.data.clone(),
        };
        let lock = Arc::new(lock(&places)?);
        places.check()?;
        let parent = options.cgroup.clone().unwrap_or_else(|| places.tag());
        let mut hierarchies = Hierarchies::find(parent)
            .map_err(|error| Error::io("looking for control groups", error))?;
        let mut capabilities = capabilities::find(&options, &hierarchies);
        if uses_own_ids() && !capabilities::has(&capabilities, "limits") {
            hierarchies.give_up();
        }
        let images = Images::open(options.images())?;
        let docker_images = DockerImages::open(options.docker_images())?;
        let mut host = None;
        if capabilities::has(&capabilities, "namespaces") {
            match HostRoot::make(Path::new("/"), &places.host(), from_ref(&places.data)) {
                Ok(made) => host = Some(made),
                Err(error) => capabilities::cannot(&mut capabilities, "host_rootfs", &error),
            }
        }
        let launcher = Arc::new(Launcher::new(options.program.clone()));
        let spares = Arc::new(Spares::new(
            places.clone(),
            options.spare_disks,
            Arc::clone(&lock),
        ));
        Ok(Self {
            options,
            own_ids: uses_own_ids(),
            places,
            clock,
            tasks,
            hierarchies,
            capabilities,
            host,
            images,
            docker_images,
            networks: None,
            launcher,
            spares,
            ranges: Mutex::default(),
            sandboxes: Mutex::default(),
            _lock: lock,
        })
    }

    async fn open_network(&mut self) {
        if !capabilities::has(&self.capabilities, "namespaces") {
            return;
        }
        if self.own_ids {
            let why = capabilities::NO_NETWORK;
            return capabilities::cannot(&mut self.capabilities, "network", &why);
        }
        let options = self
            .options
            .network
            .clone()
            .unwrap_or_else(|| network::Options::for_data_dir(&self.options.data));
        match Networks::open(&options, Arc::clone(&self.clock), &self.tasks).await {
            Ok(networks) => {
                let how = format!(
                    "a veth pair and NAT for each sandbox, in {}",
                    networks.subnet()
                );
                capabilities::can(&mut self.capabilities, "network", &how);
                self.networks = Some(networks);
            }
            Err(error) => capabilities::cannot(&mut self.capabilities, "network", &error),
        }
    }

    /// A sandbox that may reach something needs a network to do so.
    fn check_egress(&self, egress: &Egress) -> Result<(), Error> {
        match (egress, &self.networks) {
            (Egress::None, _) | (_, Some(_)) => Ok(()),
            (_, None) => Err(Error::new(
                ErrorKind::Unsupported,
                capabilities::missing(&self.capabilities, "network")
                    .unwrap_or("this host has no network for sandboxes"),
            )),
        }
    }

    /// Finds what an earlier process made, and removes what it left half made.
    async fn adopt(self: &Arc<Self>) -> Result<(), Error> {
        let failed = |error| Error::io(self.places.sandboxes().display(), error);
        let mut used = HashSet::new();
        for entry in fs::read_dir(self.places.sandboxes()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(id) = name.parse::<SandboxId>() else {
                tracing::info!(name, "removing what was half made or half removed");
                fs::remove_dir_all(entry.path()).map_err(failed)?;
                continue;
            };
            match Sandbox::adopt(self, id).await {
                Ok(sandbox) => {
                    used.extend(sandbox.host_root());
                    self.sandboxes().insert(id, Arc::new(sandbox));
                }
                Err(error) => {
                    // Only a crash of the whole machine leaves this: its newest files
                    // were not on disk yet.
                    tracing::warn!(%id, %error, "removing a sandbox whose files cannot be read");
                    fs::remove_dir_all(entry.path()).map_err(failed)?;
                }
            }
        }
        self.recover_network().await?;
        self.tidy_docker_images().await?;
        used.extend(self.host.as_ref().map(|host| host.directory.clone()));
        HostRoot::tidy(&self.places.host(), &used).map_err(failed)
    }

    async fn recover_network(&self) -> Result<(), Error> {
        let Some(networks) = &self.networks else {
            return Ok(());
        };
        let sandboxes: Vec<_> = self.sandboxes().values().cloned().collect();
        let live = sandboxes.iter().filter_map(|sandbox| {
            sandbox.running()?;
            let spec = sandbox.spec();
            Some(network::Live {
                id: spec.id,
                index: sandbox.state().network?,
                egress: spec.egress,
                names: self.names(spec.id),
            })
        });
        networks.recover(live.collect()).await.map(drop)
    }

    fn sandboxes(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<Sandbox>>> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ranges(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What answers for the names of a sandbox's containers.
    fn names(&self, id: SandboxId) -> Arc<dyn LocalNames> {
        match self.get(id) {
            Some(sandbox) if sandbox.spec().docker => {
                let sandbox: Arc<dyn Environment> = sandbox;
                Arc::new(docker::GuestNames::new(Arc::downgrade(&sandbox)))
            }
            _ => Arc::new(NoNames),
        }
    }

    fn get(&self, id: SandboxId) -> Option<Arc<Sandbox>> {
        self.sandboxes().get(&id).cloned()
    }
}

/// Blocks for up to two seconds: a child that a daemon had just forked when it died holds
/// its lock until it runs a program of its own.
fn lock(places: &Places) -> Result<File, Error> {
    use rustix::fs::{FlockOperation, flock};
    let path = places.data.join("lock");
    let file = File::create(&path).map_err(|error| Error::io(path.display(), error))?;
    for _ in 0..100 {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(file);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let data = places.data.display();
    let message =
        format!("another process keeps its sandboxes in {data}: give each a directory of its own");
    Err(Error::new(ErrorKind::Conflict, message))
}

#[async_trait]
impl Isolation for Namespaces {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn capabilities(&self) -> Vec<HostCapability> {
        self.backend.capabilities.clone()
    }

    async fn images(&self) -> Result<Vec<HostImage>, Error> {
        self.backend.images.list()
    }

    async fn found(&self) -> Result<Vec<Found>, Error> {
        let sandboxes: Vec<_> = self.backend.sandboxes().values().cloned().collect();
        Ok(sandboxes
            .into_iter()
            .map(|sandbox| Found {
                state: sandbox.found_state(),
                environment: sandbox,
            })
            .collect())
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Environment>, Error> {
        create::create(&self.backend, spec)
            .await
            .map(|sandbox| sandbox as Arc<dyn Environment>)
    }

    async fn remove(&self, id: SandboxId) -> Result<(), Error> {
        if let Some(sandbox) = self.backend.get(id) {
            sandbox.remove().await?;
            self.backend.sandboxes().remove(&id);
        }
        self.backend.docker_images.forget(&id.to_string())
    }

    async fn snapshots(&self) -> Result<Vec<(SnapshotId, u64)>, Error> {
        let place = self.backend.places.snapshots();
        let failed = |error| Error::io(place.display(), error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".img"));
            if let Some(id) = id.and_then(|id| id.parse().ok()) {
                found.push((id, disk::used(&entry.path()).map_err(failed)?));
            }
        }
        Ok(found)
    }

    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        let path = self.backend.places.snapshot(&id.to_string());
        disk::remove(&path).map_err(|error| Error::io(path.display(), error))?;
        let layers = self.backend.places.snapshot_layers(&id.to_string());
        match fs::remove_file(&layers) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| Error::io(layers.display(), error)),
        }?;
        self.backend.docker_images.forget(&id.to_string())
    }
}

impl Sandbox {
    fn found_state(&self) -> FoundState {
        match self.running() {
            None => FoundState::Stopped,
            Some(_) if self.is_paused() => FoundState::Paused,
            Some(_) => FoundState::Running,
        }
    }
}
