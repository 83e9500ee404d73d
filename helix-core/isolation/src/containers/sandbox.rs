//! One sandbox.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    models::ContainerState,
    query_parameters::{
        InspectContainerOptions, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
        WaitContainerOptionsBuilder,
    },
};
use futures_util::StreamExt as _;
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{Egress, SandboxEnd, SandboxEndKind, SandboxLimits, SandboxStats, host::SandboxSpec},
};
use tokio::{net::UnixStream, sync::watch, time::timeout};

use super::{
    Backend,
    daemon::{failed, found, status, to_the_end},
    images::Image,
    places::Kept,
    stats::Measured,
};
use crate::{
    Connection, Environment, Error, ErrorKind, FoundState, Watch, network::policy::Policy,
};

/// How long the guest may take to accept a connection.
const DIAL: Duration = Duration::from_secs(5);
/// How long a container may take to end once it was killed, or to go once it was removed.
const END: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const AGAIN: Duration = Duration::from_millis(20);
/// How long to wait before the Docker daemon is asked again that could not be reached.
const DAEMON_AGAIN: Duration = Duration::from_secs(1);

/// A sandbox, running or not.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) backend: Weak<Backend>,
    pub(super) id: SandboxId,
    pub(super) container: String,
    /// One thing at a time.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    kept: Mutex<Kept>,
    measured: Mutex<Measured>,
    pub(super) state: watch::Sender<State>,
}

/// What is going on, as far as this process did it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) runs: bool,
    pub(super) paused: bool,
    /// Somebody asked for its end.
    pub(super) stopping: bool,
    pub(super) removed: bool,
}

impl State {
    pub(super) fn of(found: FoundState) -> Self {
        Self {
            runs: found != FoundState::Stopped,
            paused: found == FoundState::Paused,
            ..Self::default()
        }
    }
}

impl Sandbox {
    pub(super) fn new(backend: &Arc<Backend>, kept: Kept, state: State) -> Self {
        let id = kept.spec.id;
        Self {
            backend: Arc::downgrade(backend),
            id,
            container: backend.common.container(id),
            turn: backend.turn(id),
            kept: Mutex::new(kept),
            measured: Mutex::default(),
            state: watch::Sender::new(state),
        }
    }

    /// What it belongs to, unless it or that is gone.
    pub(super) fn backend(&self) -> Result<Arc<Backend>, Error> {
        if self.state.borrow().removed {
            let message = format!("the sandbox {} was removed", self.id);
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let gone = || Error::new(ErrorKind::Conflict, "the backend is being shut down");
        self.backend.upgrade().ok_or_else(gone)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept, on disk first.
    pub(super) fn change(
        &self,
        backend: &Backend,
        change: impl FnOnce(&mut Kept),
    ) -> Result<(), Error> {
        let mut kept = self.kept();
        let mut changed = kept.clone();
        change(&mut changed);
        if changed != *kept {
            backend.common.places.write(&changed)?;
            *kept = changed;
        }
        Ok(())
    }

    /// Removes what only a running sandbox has.
    pub(super) async fn clear(&self, backend: &Backend) -> Result<(), Error> {
        let slot = self.kept().slot;
        if let Some(index) = slot {
            self.part_from_all(backend).await?;
            let slot = backend.networks.take(self.id, Some(index))?;
            backend.networks.release(&slot).await?;
        }
        let cleared = backend.common.places.clear(self.id);
        cleared.map_err(|error| Error::io("removing a sandbox's sockets", error))?;
        self.change(backend, |kept| (kept.slot, kept.ready) = (None, false))
    }

    /// Ends every process and frees everything but the files.
    pub(super) async fn end(&self, backend: &Backend) -> Result<(), Error> {
        self.state.send_modify(|state| state.stopping = true);
        backend.kill(&self.container).await?;
        self.clear(backend).await?;
        self.state.send_modify(|state| *state = State::default());
        Ok(())
    }

    /// Removes everything. The caller has the turn.
    pub(super) async fn remove(&self, backend: &Backend) -> Result<(), Error> {
        self.state.send_modify(|state| state.stopping = true);
        backend.remove_container(&self.container).await?;
        self.clear(backend).await?;
        if self.kept().spec.origin.is_some() {
            backend.images.remove_base(self.id).await?;
        }
        backend.common.places.forget(self.id)?;
        backend.sandboxes().remove(&self.id);
        self.state.send_modify(|state| {
            *state = State {
                removed: true,
                ..State::default()
            };
        });
        Ok(())
    }

    /// Its files as they are now, for another sandbox.
    pub(super) async fn fork(&self, backend: &Backend, other: SandboxId) -> Result<Image, Error> {
        let _turn = self.turn.lock().await;
        self.backend()?;
        backend.images.fork(&self.container, other).await
    }

    pub(super) async fn dial(&self, backend: &Backend) -> Result<UnixStream, Error> {
        let path = backend.common.places.socket(self.id);
        let dialled = timeout(DIAL, UnixStream::connect(path)).await;
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        dialled
            .unwrap_or_else(|_| Err(late()))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    self.conflict("does not run")
                }
                _ => Error::io(format_args!("connecting to the sandbox {}", self.id), error),
            })
    }

    fn conflict(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!("the sandbox {} {why}", self.id),
        )
    }

    /// Refuses what takes a sandbox that runs.
    async fn running(&self, backend: &Backend) -> Result<FoundState, Error> {
        match backend.state(&self.container).await?.0 {
            FoundState::Stopped => Err(self.conflict("does not run")),
            state => Ok(state),
        }
    }

    async fn disk(&self, backend: &Backend) -> Result<u64, Error> {
        let start = backend.clock.now();
        let known = self.measured().disk(start);
        if let Some(bytes) = known {
            return Ok(bytes);
        }
        let bytes = backend.written(&self.container).await?;
        let now = backend.clock.now();
        self.measured()
            .note_disk(bytes, now.duration_since(start), now);
        Ok(bytes)
    }

    /// Why a life ended.
    fn why(&self, state: &ContainerState) -> SandboxEnd {
        let (kind, message) = if self.state.borrow().stopping {
            (SandboxEndKind::Requested, "it was stopped".to_owned())
        } else if state.oom_killed == Some(true) {
            let message = "it used more memory than it may: give it more, or start less in it";
            (SandboxEndKind::OutOfMemory, message.to_owned())
        } else {
            let code = state.exit_code.unwrap_or(-1);
            let message = format!("its first process ended by itself with code {code}");
            (SandboxEndKind::Exited, message)
        };
        SandboxEnd { kind, message }
    }
}

#[async_trait]
impl Environment for Sandbox {
    fn spec(&self) -> SandboxSpec {
        self.kept().spec.clone()
    }

    async fn start(&self, watch: &dyn Watch) -> Result<(), Error> {
        self.launch(watch).await
    }

    async fn pause(&self) -> Result<(), Error> {
        let backend = self.backend()?;
        let _turn = self.turn.lock().await;
        if self.running(&backend).await? == FoundState::Running {
            let paused = backend.docker.pause_container(&self.container).await;
            paused.map_err(failed(format_args!("pausing {}", self.id)))?;
        }
        self.state.send_modify(|state| state.paused = true);
        Ok(())
    }

    async fn resume(&self) -> Result<(), Error> {
        let backend = self.backend()?;
        let _turn = self.turn.lock().await;
        if self.running(&backend).await? == FoundState::Paused {
            let resumed = backend.docker.unpause_container(&self.container).await;
            resumed.map_err(failed(format_args!("resuming {}", self.id)))?;
        }
        self.state.send_modify(|state| state.paused = false);
        Ok(())
    }

    async fn stop(&self) -> Result<(), Error> {
        let backend = self.backend()?;
        let _turn = self.turn.lock().await;
        self.end(&backend).await
    }

    async fn set_egress(&self, egress: &Egress) -> Result<(), Error> {
        let backend = self.backend()?;
        Policy::parse(egress)?;
        let _turn = self.turn.lock().await;
        let before = self.kept().clone();
        self.change(&backend, |kept| kept.spec.egress = egress.clone())?;
        let Some(index) = before.slot else {
            return Ok(());
        };
        let slot = backend.networks.take(self.id, Some(index))?;
        let set = backend.networks.set_egress(&slot, egress).await;
        if set.is_err() {
            // What holds is what is kept.
            self.change(&backend, |kept| kept.spec.egress = before.spec.egress)?;
        }
        set
    }

    async fn set_limits(&self, limits: &SandboxLimits) -> Result<(), Error> {
        self.change_limits(limits).await
    }

    async fn snapshot(&self, id: SnapshotId) -> Result<u64, Error> {
        let backend = self.backend()?;
        let (owned, container) = (Arc::clone(&backend), self.container.clone());
        let turn = Arc::clone(&self.turn);
        to_the_end(&backend.tasks, "take a snapshot", |_| async move {
            let _turn = turn.lock().await;
            let images = &owned.images;
            let reference = images.snapshot(id);
            if images.ours(&reference).await?.is_none() {
                images.take(&container, id).await?;
            }
            images.size(&reference).await
        })
        .await
    }

    async fn stats(&self) -> Result<SandboxStats, Error> {
        let backend = self.backend()?;
        let (limits, slot) = {
            let kept = self.kept();
            (kept.spec.limits, kept.slot)
        };
        let mut stats = SandboxStats::default();
        if backend.state(&self.container).await?.0 != FoundState::Stopped {
            stats = backend.usage(&self.container).await?.stats();
            stats.cpu_millis = self
                .measured()
                .cpu_millis(stats.cpu_us, backend.clock.now());
            if let Some(index) = slot {
                let slot = backend.networks.take(self.id, Some(index))?;
                let counted = backend.networks.counters(&slot).await?;
                (stats.sent_bytes, stats.received_bytes) = counted;
            }
        }
        stats.at_ms = backend.clock.now_ms();
        stats.memory_limit_bytes = limits.memory_bytes;
        stats.disk_bytes = self.disk(&backend).await?;
        stats.disk_limit_bytes = limits.disk_bytes;
        Ok(stats)
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        let backend = self.backend()?;
        let state = *self.state.borrow();
        if !state.runs {
            return Err(self.conflict("does not run"));
        }
        if state.paused {
            return Err(self.conflict("is paused"));
        }
        let stream = self.dial(&backend).await?;
        Ok(Box::new(stream))
    }

    async fn ended(&self) -> SandboxEnd {
        let mut states = self.state.subscribe();
        loop {
            let began = states.wait_for(|state| state.runs).await.is_ok();
            let Some(backend) = self.backend.upgrade().filter(|_| began) else {
                return std::future::pending().await;
            };
            match backend.until_ended(&self.container).await {
                Ok(ended) => {
                    let end = self.why(&ended);
                    self.state.send_modify(|state| state.runs = false);
                    return end;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.why(&ContainerState::default());
                }
                Err(error) => {
                    tracing::warn!(id = %self.id, %error, "cannot wait for the end of a sandbox");
                    drop(backend);
                    tokio::time::sleep(DAEMON_AGAIN).await;
                }
            }
        }
    }
}

impl Backend {
    /// Whether a container runs, and as which process.
    pub(super) async fn state(&self, container: &str) -> Result<(FoundState, u32), Error> {
        let state = self.inspect(container).await?;
        let found = match (state.running, state.paused) {
            (Some(true), Some(true)) => FoundState::Paused,
            (Some(true), _) => FoundState::Running,
            _ => FoundState::Stopped,
        };
        let pid = state.pid.and_then(|pid| pid.try_into().ok()).unwrap_or(0);
        Ok((found, pid))
    }

    async fn inspect(&self, container: &str) -> Result<ContainerState, Error> {
        let options = None::<InspectContainerOptions>;
        let there = self.docker.inspect_container(container, options).await;
        let there = there.map_err(failed(format_args!("looking at {container}")))?;
        Ok(there.state.unwrap_or_default())
    }

    /// Kills a container, paused or not, and returns when it is dead.
    pub(super) async fn kill(&self, container: &str) -> Result<(), Error> {
        if self.state(container).await?.0 == FoundState::Stopped {
            return Ok(());
        }
        let options = KillContainerOptionsBuilder::new().signal("KILL").build();
        let killed = self.docker.kill_container(container, Some(options)).await;
        match killed {
            // It may have ended just now: what counts is that it ends.
            Err(error) if status(&error) != Some(409) => {
                Err(failed(format_args!("killing {container}"))(error))
            }
            _ => {
                let late = || Error::new(ErrorKind::Timeout, format!("{container} does not end"));
                let ended = timeout(END, self.until_ended(container)).await;
                ended.map_err(|_| late())?.map(drop)
            }
        }
    }

    pub(super) async fn until_ended(&self, container: &str) -> Result<ContainerState, Error> {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let mut stream = Box::pin(self.docker.wait_container(container, Some(options)));
        match stream.next().await {
            Some(Err(error))
                if !matches!(
                    error,
                    bollard::errors::Error::DockerContainerWaitError { .. }
                ) =>
            {
                Err(failed(format_args!("waiting for {container}"))(error))
            }
            _ => self.inspect(container).await,
        }
    }

    /// Removes a container with its anonymous volumes, and returns when it is gone.
    pub(super) async fn remove_container(&self, container: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let what = format!("removing {container}");
        match self.docker.remove_container(container, Some(options)).await {
            // Somebody else is removing it.
            Err(error) if status(&error) == Some(409) => {}
            result => {
                found(result, &what)?;
            }
        }
        let gone = async {
            let options = || None::<InspectContainerOptions>;
            while found(
                self.docker.inspect_container(container, options()).await,
                &what,
            )?
            .is_some()
            {
                tokio::time::sleep(AGAIN).await;
            }
            Ok(())
        };
        let late = |_| Error::new(ErrorKind::Timeout, format!("{container} does not go"));
        timeout(END, gone).await.map_err(late)?
    }
}
