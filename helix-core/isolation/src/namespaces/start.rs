//! The daemon's side of a launch.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use helix_proto::sandbox::{Egress, SandboxPhase, host::SandboxSpec};
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::OwnedMutexGuard,
    time::timeout,
};

use super::{
    Backend, disk,
    launch::{Cgroups, Plan, channel},
    launcher::{PART, Stage, late},
    process::Process,
    sandbox::{Running, Sandbox},
    state::State,
    uses_own_ids,
};
use crate::{
    Environment as _, Error, ErrorKind, Watch, docker,
    guest::{self, GuestConfig},
    network::Slot,
};

/// How long its Docker daemon may take: it looks at all that it has.
const DOCKER: Duration = Duration::from_secs(50);

impl Sandbox {
    /// Starts it, unless it runs.
    pub(super) async fn launch(
        &self,
        watch: &dyn Watch,
        turn: OwnedMutexGuard<()>,
    ) -> Result<(), Error> {
        if self.running().is_some() {
            return Ok(());
        }
        let state = self.state();
        if state.process.is_some() || state.cgroups.is_some() {
            // The rest of a life that ended by itself.
            self.clear().await?;
        }
        let backend = self.backend()?;
        watch.phase(SandboxPhase::Isolation);
        let undo = Undo {
            sandbox: self,
            turn: Some(turn),
            armed: true,
        };
        match self.try_launch(&backend, watch).await {
            Ok(()) => {
                undo.disarm();
                Ok(())
            }
            Err(error) => {
                undo.disarm();
                if let Err(left) = self.clear().await {
                    tracing::warn!(id = %self.id, error = %left, "a start that failed left something");
                }
                Err(error)
            }
        }
    }

    async fn try_launch(&self, backend: &Backend, watch: &dyn Watch) -> Result<(), Error> {
        let spec = self.spec();
        let slot = self.take_slot(backend)?;
        let cgroups = backend.hierarchies.of(&self.name, spec.docker);
        self.change(|state| {
            state.cgroups = Some(cgroups.clone());
            state.network = slot.as_ref().map(|slot| slot.index);
        })?;
        // What the host's side needs is made beside what the sandbox needs.
        let policy = self.set_policy(backend, slot.as_ref(), &spec.egress);
        let isolated = async {
            let stage = self.begin(backend, &spec, cgroups, slot.as_ref()).await?;
            let prepared = stage.prepared().await?;
            self.note_process(prepared.pid, prepared.pidfd)?;
            if let Err(error) = self.join(backend, slot.as_ref(), prepared.pid).await {
                return Err(stage.cause().await.unwrap_or(error));
            }
            Ok((stage, prepared.network))
        };
        let ((), (stage, network)) = tokio::try_join!(policy, isolated)?;
        // A process 1 that has ended says why through stage 0.
        let _ = channel::send(&network, &(), &[]);
        watch.phase(SandboxPhase::Guest);
        let times = stage.started().await?;
        tracing::debug!(id = %self.id, ?times, "stage 0 is through");
        self.until_guest_answers().await?;
        self.stage_is(None);
        match backend.get(self.id) {
            Some(sandbox) if spec.docker => {
                watch.phase(SandboxPhase::Docker);
                docker::until_ready(sandbox, DOCKER).await
            }
            _ => Ok(()),
        }
    }

    /// Makes what the daemon makes itself, and has a stage 0 make the rest.
    async fn begin(
        &self,
        backend: &Backend,
        spec: &SandboxSpec,
        cgroups: Cgroups,
        slot: Option<&Slot>,
    ) -> Result<Arc<Stage>, Error> {
        let state = self.state();
        let mut plan = plan_of(spec, &state, cgroups, backend.places.stage());
        plan.media = spec.desktop.and_then(|_| backend.options.media.clone());
        plan.tools.clone_from(&backend.options.tools);
        plan.network = slot.map(Slot::inside);
        plan.resolv_conf = match (slot, &backend.networks) {
            (Some(slot), Some(networks)) => {
                slot.inside().resolv_conf(&networks.search_domains().await)
            }
            _ => "# This sandbox has no network.\n".into(),
        };
        let (socket, path) = (self.places.socket(&self.name), self.places.disk(&self.name));
        let (limits, owner) = (spec.limits, spec.docker.then_some(state.first_id));
        let (launcher, spares) = (Arc::clone(&backend.launcher), Arc::clone(&backend.spares));
        let disk = self.take_disk();
        let (images, id) = (backend.docker_images.clone(), spec.id.to_string());
        let begun = tokio::task::spawn_blocking(move || {
            if plan.docker {
                plan.docker_images = images.data();
                plan.guest.docker_images = images.offer(&id)?;
            }
            plan.cgroups
                .make(&limits, owner)
                .map_err(|error| Error::io("making its control groups", error))?;
            let listener =
                listen(&socket).map_err(|error| Error::io("making its socket", error))?;
            let disk = match disk {
                Some(disk) => disk,
                None => disk::mount(&spares.loops, &path)?,
            };
            let file = in_memory(&plan).map_err(|error| Error::io("writing the plan", error))?;
            launcher
                .fork([file.as_fd(), listener.as_fd(), disk.as_fd()])
                .map_err(|error| Error::io("starting stage 0", error))
        });
        let stage = begun
            .await
            .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))??;
        let stage = Arc::new(stage);
        self.stage_is(Some(Arc::clone(&stage)));
        Ok(stage)
    }

    fn take_slot(&self, backend: &Backend) -> Result<Option<Slot>, Error> {
        match &backend.networks {
            Some(networks) => networks.take(self.id, None).map(Some),
            None => Ok(None),
        }
    }

    async fn set_policy(
        &self,
        backend: &Backend,
        slot: Option<&Slot>,
        egress: &Egress,
    ) -> Result<(), Error> {
        match (slot, &backend.networks) {
            (Some(slot), Some(networks)) => networks.set_egress(slot, egress).await,
            _ => Ok(()),
        }
    }

    /// Joins it to the network.
    async fn join(&self, backend: &Backend, slot: Option<&Slot>, pid: i32) -> Result<(), Error> {
        match (slot, &backend.networks) {
            (Some(slot), Some(networks)) => {
                let names = backend.names(self.id);
                networks.attach(slot, pid.cast_unsigned(), names).await
            }
            _ => Ok(()),
        }
    }

    fn note_process(&self, pid: i32, pidfd: OwnedFd) -> Result<(), Error> {
        let process = Process::new(pid, pidfd)
            .map_err(|error| Error::io("looking at its first process", error))?;
        self.change(|state| state.process = Some(process.identity().clone()))?;
        let cgroups = self.state().cgroups;
        self.runs(Running {
            process,
            out_of_memory: cgroups
                .and_then(|cgroups| cgroups.out_of_memory().ok())
                .unwrap_or(0),
            stopping: false,
        });
        Ok(())
    }

    /// Asks the guest anything, and waits for any answer.
    async fn until_guest_answers(&self) -> Result<(), Error> {
        let asked = async {
            let mut stream = self.dial().await?;
            let request = b"GET /exec HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n";
            let mut start = [0; 5];
            let answered = async {
                stream.write_all(request).await?;
                stream.read_exact(&mut start).await
            };
            answered
                .await
                .map_err(|error| Error::io("asking the guest", error))?;
            if &start == b"HTTP/" {
                Ok(())
            } else {
                let message = "what runs in the sandbox does not speak HTTP";
                Err(Error::new(ErrorKind::Failed, message))
            }
        };
        timeout(PART, asked)
            .await
            .map_err(|_| late("the guest does not answer"))?
    }
}

/// Ends what was started when a start is dropped.
struct Undo<'a> {
    sandbox: &'a Sandbox,
    turn: Option<OwnedMutexGuard<()>>,
    armed: bool,
}

impl Undo<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let Ok(backend) = self.sandbox.backend() else {
            return;
        };
        if let Some(running) = self.sandbox.running() {
            let _ = running.process.kill();
        }
        // The turn goes on until everything is cleared: the next one finds nothing.
        let (id, turn) = (self.sandbox.id, self.turn.take());
        let tasks = backend.tasks.clone();
        tasks.spawn("clear a start that was dropped", async move {
            let Some(sandbox) = backend.get(id) else {
                return;
            };
            if let Err(error) = sandbox.clear().await {
                tracing::warn!(%id, %error, "a start that was dropped left something");
            }
            drop(turn);
        });
    }
}

fn plan_of(spec: &SandboxSpec, state: &State, cgroups: Cgroups, stage: PathBuf) -> Plan {
    let hostname = hostname(&spec.name);
    Plan {
        stage,
        first_id: state.first_id,
        own_ids: uses_own_ids(),
        layers: state.layers.clone(),
        docker: spec.docker,
        docker_images: PathBuf::new(),
        media: None,
        tools: None,
        network: None,
        guest: GuestConfig {
            hostname: hostname.clone(),
            env: spec.env.clone(),
            docker: spec.docker,
            desktop: spec.desktop,
            docker_images: Vec::new(),
            calls: Some(guest::SOCKET.into()),
        },
        hostname,
        memory_bytes: spec.limits.memory_bytes,
        pids: cgroups.are_none().then_some(spec.limits.pids),
        open_files: spec.limits.open_files.into(),
        cgroups,
        resolv_conf: String::new(),
    }
}

/// What a person calls a sandbox, as a host name.
fn hostname(name: &str) -> String {
    let name: String = name
        .to_lowercase()
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() {
                one
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "sandbox".into()
    } else {
        name.into()
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket)
}

/// The plan may be large, so it goes as a file in memory.
fn in_memory(plan: &Plan) -> io::Result<File> {
    let mut file = File::from(memfd_create("plan", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(plan)?)?;
    file.rewind()?;
    Ok(file)
}
