//! One sandbox.

mod clear;
mod environment;

use std::{
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use helix_proto::{SandboxId, sandbox::host::SandboxSpec};
use tokio::{
    net::UnixStream,
    sync::{OwnedMutexGuard, watch},
    time::timeout,
};

use super::{
    Backend,
    create::Held,
    disk,
    launcher::Stage,
    process::Process,
    state::{self, Places, State, write_json},
};
use crate::{Error, ErrorKind, network::Slot};

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
    /// Its disk, mounted for its first start.
    disk: Mutex<Option<OwnedFd>>,
    /// What starts it, while it is being started.
    stage: Mutex<Option<Arc<Stage>>>,
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

impl Running {
    /// The first process by its id.
    pub(super) fn first(&self) -> i32 {
        self.process.identity().pid()
    }
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
            disk: Mutex::default(),
            stage: Mutex::default(),
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

    /// Changes what it is made from, on disk first.
    pub(super) fn change_spec(&self, change: impl FnOnce(&mut SandboxSpec)) -> Result<(), Error> {
        let mut facts = self.facts();
        let mut spec = facts.spec.clone();
        change(&mut spec);
        let path = self.places.spec(&self.name);
        write_json(&path, &spec).map_err(|error| Error::io(path.display(), error))?;
        facts.spec = spec;
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

    /// Has its disk mounted already.
    pub(super) fn with_disk(mut self, disk: Option<OwnedFd>) -> Self {
        self.disk = Mutex::new(disk);
        self
    }

    pub(super) fn take_disk(&self) -> Option<OwnedFd> {
        self.disk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Notes what starts it; what did so before.
    pub(super) fn stage_is(&self, stage: Option<Arc<Stage>>) -> Option<Arc<Stage>> {
        let mut now = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut now, stage)
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
        let turn = self.turn().await?;
        self.unmount().await;
        Ok(Held {
            _turn: turn,
            name: self.name.clone(),
            path: self.places.disk(&self.name),
            marker: self.places.copying(&self.name),
            running: self.running().is_some(),
        })
    }

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
}
