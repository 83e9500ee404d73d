//! One sandbox.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{Egress, SandboxEnd, SandboxEndKind, SandboxStats, host::SandboxSpec},
};
use tokio::{
    net::UnixStream,
    sync::{OwnedMutexGuard, watch},
    time::{sleep, timeout},
};

use super::{
    Backend,
    create::{Held, Source as _},
    disk,
    process::Process,
    state::{self, Places, State, write_json},
};
use crate::{
    Connection, Environment, Error, ErrorKind, Watch,
    network::{Slot, policy::Policy},
};

/// How long the kernel may take for what it does at once: killing, freezing, unmounting.
pub(super) const KERNEL: Duration = Duration::from_secs(20);
/// How often it is asked again.
const AGAIN: Duration = Duration::from_millis(1);

/// A sandbox, running or not.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) backend: Weak<Backend>,
    pub(super) places: Places,
    pub(super) id: SandboxId,
    /// The id as the name of files.
    pub(super) name: String,
    /// One thing at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    facts: Mutex<Facts>,
    process: watch::Sender<Option<Running>>,
}

#[derive(Debug)]
struct Facts {
    spec: SandboxSpec,
    state: State,
    removed: bool,
    measured: Option<(std::time::Instant, u64)>,
}

/// The first process of a sandbox.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) process: Process,
    /// How many of its processes had been killed for want of memory when it started.
    pub(super) out_of_memory: u64,
    /// Whether somebody asked for its end.
    pub(super) stopping: bool,
}

impl Sandbox {
    pub(super) fn new(
        backend: &Arc<Backend>,
        spec: SandboxSpec,
        state: State,
        running: Option<Running>,
    ) -> Self {
        Self {
            backend: Arc::downgrade(backend),
            places: backend.places.clone(),
            id: spec.id,
            name: spec.id.to_string(),
            turn: Arc::default(),
            facts: Mutex::new(Facts {
                spec,
                state,
                removed: false,
                measured: None,
            }),
            process: watch::Sender::new(running),
        }
    }

    /// Goes on with a sandbox that an earlier process made.
    pub(super) async fn adopt(backend: &Arc<Backend>, id: SandboxId) -> Result<Self, Error> {
        let name = id.to_string();
        let places = &backend.places;
        let failed = |error| Error::io(format_args!("reading the files of {id}"), error);
        let (spec, state) = state::read(places, &name).map_err(failed)?;
        backend.take_range(state.first_id);
        if places.copying(&name).exists() {
            disk::thaw(&places.disk(&name)).map_err(failed)?;
            fs::remove_file(places.copying(&name)).map_err(failed)?;
        }
        let process = match &state.process {
            Some(identity) => Process::find(identity).map_err(failed)?,
            None => None,
        };
        let running = process.map(|process| Running {
            process,
            out_of_memory: 0,
            stopping: false,
        });
        let runs = running.is_some();
        let leftovers = state.process.is_some() || state.cgroups.is_some();
        let sandbox = Self::new(backend, spec, state, running);
        if !runs && leftovers {
            sandbox.clear().await?;
        }
        Ok(sandbox)
    }

    pub(super) fn backend(&self) -> Result<Arc<Backend>, Error> {
        self.backend
            .upgrade()
            .ok_or_else(|| Error::new(ErrorKind::Conflict, "the backend is being shut down"))
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> State {
        self.facts().state.clone()
    }

    /// Changes what is kept on disk.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), Error> {
        let mut facts = self.facts();
        let mut state = facts.state.clone();
        change(&mut state);
        if state != facts.state {
            let path = self.places.state(&self.name);
            write_json(&path, &state).map_err(|error| Error::io(path.display(), error))?;
            facts.state = state;
        }
        Ok(())
    }

    pub(super) fn running(&self) -> Option<Running> {
        self.process
            .borrow()
            .clone()
            .filter(|running| running.process.lives())
    }

    pub(super) fn runs(&self, running: Running) {
        self.process.send_replace(Some(running));
    }

    pub(super) fn is_paused(&self) -> bool {
        self.facts().state.paused
    }

    /// The directory of the host's system that it uses, which must stay.
    pub(super) fn host_root(&self) -> Option<PathBuf> {
        let facts = self.facts();
        let root = facts.state.layers.first()?.lower.first()?.parent()?;
        (root.parent() == Some(&self.places.host())).then(|| root.to_owned())
    }

    pub(super) async fn turn(&self) -> Result<OwnedMutexGuard<()>, Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if self.facts().removed {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the sandbox {} was removed", self.id),
            ));
        }
        Ok(turn)
    }

    /// Its disk, to be copied as it is.
    pub(super) async fn hold(&self) -> Result<Held, Error> {
        Ok(Held {
            _turn: self.turn().await?,
            path: self.places.disk(&self.name),
            marker: self.places.copying(&self.name),
            running: self.running().is_some(),
        })
    }

    /// Ends all its processes and frees everything but its files, from any state.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        let running = self.process.borrow().clone();
        if let Some(running) = running {
            self.process.send_modify(|running| {
                if let Some(running) = running {
                    running.stopping = true;
                }
            });
            running
                .process
                .kill()
                .map_err(|error| Error::io("killing the sandbox's first process", error))?;
            self.thaw_to_die();
            timeout(KERNEL, running.process.ended())
                .await
                .map_err(|_| self.late("its processes do not end"))?;
            self.process.send_replace(None);
        }
        self.clear_cgroups().await?;
        match fs::remove_file(self.places.socket(&self.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("removing its socket", error));
            }
            _ => {}
        }
        self.leave_network().await?;
        self.change(|state| {
            state.process = None;
            state.cgroups = None;
            state.network = None;
            state.paused = false;
        })?;
        let disk = self.places.disk(&self.name);
        self.until("its disk is still mounted", || {
            super::loops::devices_of(&disk).is_empty()
        })
        .await
    }

    /// What stands still does not die in control groups of version 1.
    fn thaw_to_die(&self) {
        if let Some(cgroups) = self.state().cgroups
            && let Err(error) = cgroups.freeze(false)
        {
            tracing::debug!(id = %self.id, %error, "its control groups cannot be thawed");
        }
    }

    /// Kills what is left in the cgroups, which is what a start that was cut short left,
    /// and removes them.
    async fn clear_cgroups(&self) -> Result<(), Error> {
        let Some(cgroups) = self.state().cgroups else {
            return Ok(());
        };
        self.until("its control groups cannot be removed", || {
            for pid in cgroups.processes() {
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    // It may have ended meanwhile; then the next look does not find it.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            cgroups.remove().is_ok()
        })
        .await
    }

    async fn leave_network(&self) -> Result<(), Error> {
        let Some(index) = self.state().network else {
            return Ok(());
        };
        // While the backend is being made, its network removes what nobody lives in.
        let networks = self
            .backend
            .upgrade()
            .and_then(|backend| backend.networks.clone());
        match networks {
            Some(networks) => {
                let slot = networks.take(self.id, Some(index))?;
                networks.release(&slot).await
            }
            None => Ok(()),
        }
    }

    /// Waits until the kernel is through with something.
    async fn until(&self, late: &str, done: impl Fn() -> bool + Send) -> Result<(), Error> {
        let asked = async {
            while !done() {
                sleep(AGAIN).await;
            }
        };
        timeout(KERNEL, asked).await.map_err(|_| self.late(late))
    }

    fn late(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Timeout,
            format!("the sandbox {}: {what} after {KERNEL:?}", self.id),
        )
    }

    /// Removes it with everything of it.
    pub(super) async fn remove(&self) -> Result<(), Error> {
        let _turn = Arc::clone(&self.turn).lock_owned().await;
        self.facts().removed = true;
        self.clear().await?;
        let place = self.places.sandbox(&self.name);
        let gone = self.places.sandboxes().join(format!(".gone-{}", self.name));
        let failed = |error| Error::io(format_args!("removing the files of {}", self.id), error);
        match fs::rename(&place, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(failed)?,
        }
        let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        });
        removed
            .await
            .map_err(io::Error::other)
            .and_then(|result| result)
            .map_err(failed)?;
        if let Some(backend) = self.backend.upgrade() {
            backend.give_range(self.state().first_id);
        }
        Ok(())
    }

    async fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let Some(cgroups) = self.running().and(self.state().cgroups) else {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the sandbox {} does not run", self.id),
            ));
        };
        let failed = |error| Error::io("freezing its control group", error);
        self.change(|state| state.paused = frozen)?;
        cgroups.freeze(frozen).map_err(failed)?;
        let what = if frozen {
            "its processes do not stand still"
        } else {
            "its processes do not go on"
        };
        self.until(what, || {
            cgroups.is_frozen().is_ok_and(|now| now == frozen) || self.running().is_none()
        })
        .await
    }
}

#[async_trait]
impl Environment for Sandbox {
    fn spec(&self) -> SandboxSpec {
        self.facts().spec.clone()
    }

    async fn start(&self, watch: &dyn Watch) -> Result<(), Error> {
        let turn = self.turn().await?;
        self.launch(watch, turn).await
    }

    async fn pause(&self) -> Result<(), Error> {
        let _turn = self.turn().await?;
        self.freeze(true).await
    }

    async fn resume(&self) -> Result<(), Error> {
        let _turn = self.turn().await?;
        self.freeze(false).await
    }

    async fn stop(&self) -> Result<(), Error> {
        let _turn = self.turn().await?;
        self.clear().await
    }

    async fn set_egress(&self, egress: &Egress) -> Result<(), Error> {
        let _turn = self.turn().await?;
        Policy::parse(egress)?;
        let backend = self.backend()?;
        backend.check_egress(egress)?;
        let slot = self.running().and(self.slot(&backend)?);
        if let (Some(slot), Some(networks)) = (slot, &backend.networks) {
            networks.set_egress(&slot, egress).await?;
        }
        let mut facts = self.facts();
        let mut spec = facts.spec.clone();
        spec.egress = egress.clone();
        let path = self.places.spec(&self.name);
        write_json(&path, &spec).map_err(|error| Error::io(path.display(), error))?;
        facts.spec = spec;
        Ok(())
    }

    async fn snapshot(&self, id: SnapshotId) -> Result<u64, Error> {
        let held = self.hold().await?;
        let path = self.places.snapshot(&id.to_string());
        let copied = tokio::task::spawn_blocking(move || {
            if !path.exists() {
                let temporary = path.with_extension("new");
                let failed = |error| Error::io("keeping the snapshot", error);
                match fs::remove_file(&temporary) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed(error));
                    }
                    _ => {}
                }
                held.copy_to(&temporary)?;
                fs::rename(&temporary, &path).map_err(failed)?;
            }
            disk::used(&path).map_err(|error| Error::io(path.display(), error))
        });
        copied
            .await
            .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?
    }

    async fn stats(&self) -> Result<SandboxStats, Error> {
        let backend = self.backend()?;
        let failed = |error| Error::io(format_args!("reading the accounts of {}", self.id), error);
        let usage = match self.running().and(self.state().cgroups) {
            Some(cgroups) => cgroups.usage().map_err(failed)?,
            None => super::cgroup::Usage::default(),
        };
        let (sent_bytes, received_bytes) = match (self.slot(&backend)?, &backend.networks) {
            (Some(slot), Some(networks)) => networks.counters(&slot).await?,
            _ => (0, 0),
        };
        let now = backend.clock.now();
        let mut facts = self.facts();
        let before = facts.measured.replace((now, usage.cpu_us));
        let cpu_millis = before.map_or(0, |(then, cpu_us)| {
            let elapsed = now.duration_since(then).as_micros().max(1);
            let used = u128::from(usage.cpu_us.saturating_sub(cpu_us)) * 1000 / elapsed;
            u32::try_from(used).unwrap_or(u32::MAX)
        });
        Ok(SandboxStats {
            at_ms: backend.clock.now_ms(),
            cpu_us: usage.cpu_us,
            cpu_millis,
            memory_bytes: usage.memory_bytes,
            memory_limit_bytes: facts.spec.limits.memory_bytes,
            pids: usage.pids,
            disk_bytes: disk::used(&self.places.disk(&self.name)).map_err(failed)?,
            disk_limit_bytes: facts.spec.limits.disk_bytes,
            sent_bytes,
            received_bytes,
        })
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        if self.running().is_none() || self.is_paused() {
            let why = if self.is_paused() {
                "is paused"
            } else {
                "does not run"
            };
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the sandbox {} {why}", self.id),
            ));
        }
        self.dial()
            .await
            .map(|stream| Box::new(stream) as Box<dyn Connection>)
    }

    async fn ended(&self) -> SandboxEnd {
        let mut process = self.process.subscribe();
        let running = loop {
            let running = process.borrow_and_update().clone();
            if let Some(running) = running {
                break running;
            }
            if process.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        running.process.ended().await;
        self.why(&running)
    }
}

impl Sandbox {
    /// Its place in the network, while it has one.
    fn slot(&self, backend: &Backend) -> Result<Option<Slot>, Error> {
        match (self.state().network, &backend.networks) {
            (Some(index), Some(networks)) => networks.take(self.id, Some(index)).map(Some),
            _ => Ok(None),
        }
    }

    /// A connection to the guest.
    pub(super) async fn dial(&self) -> Result<UnixStream, Error> {
        let path = self.places.socket(&self.name);
        timeout(Duration::from_secs(5), UnixStream::connect(&path))
            .await
            .map_err(|_| {
                let message = format!("the sandbox {} takes no more connections", self.id);
                Error::new(ErrorKind::Timeout, message)
            })?
            .map_err(|error| Error::io(format_args!("connecting to {}", self.id), error))
    }

    /// Why its first process ended.
    fn why(&self, before: &Running) -> SandboxEnd {
        let stopping = self
            .process
            .borrow()
            .as_ref()
            .is_none_or(|running| running.stopping);
        if stopping {
            return SandboxEnd {
                kind: SandboxEndKind::Requested,
                message: "it was stopped".into(),
            };
        }
        let killed = self
            .state()
            .cgroups
            .and_then(|cgroups| cgroups.out_of_memory().ok());
        if killed.is_some_and(|killed| killed > before.out_of_memory) {
            let limit = self.facts().spec.limits.memory_bytes;
            return SandboxEnd {
                kind: SandboxEndKind::OutOfMemory,
                message: format!(
                    "it used all of its {limit} bytes of memory; start it again, with a higher limit"
                ),
            };
        }
        SandboxEnd {
            kind: SandboxEndKind::Exited,
            message: "its first process ended; start it again".into(),
        }
    }
}
