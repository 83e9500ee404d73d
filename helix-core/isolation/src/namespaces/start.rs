//! The daemon's side of a launch.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    process::Stdio,
    time::Duration,
};

use helix_proto::sandbox::{SandboxPhase, host::SandboxSpec};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::UnixStream,
    process::{Child, Command},
    sync::OwnedMutexGuard,
    time::timeout,
};

use super::{
    Backend,
    launch::{ARGUMENT, Cgroups, Plan, Report, channel},
    process::Process,
    sandbox::{Running, Sandbox},
    state::State,
};
use crate::{Environment as _, Error, ErrorKind, Watch, docker, guest::GuestConfig, network::Slot};

/// How long each part may take: a machine that is slower than this is not usable.
const PART: Duration = Duration::from_secs(30);

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
        let (mut stage, control) = spawn(backend)?;
        let (plan, listener) = self.prepare(backend).await?;
        send_plan(&control, &plan, &listener)?;
        drop(listener);
        let (report, fds): (Report, _) = receive(&control).await?;
        let pid = match report {
            Report::Prepared { pid } => pid,
            Report::Failed(why) => return Err(Error::new(ErrorKind::Failed, why)),
            Report::Started { .. } => return Err(out_of_order()),
        };
        let pidfd = fds.into_iter().next().ok_or_else(out_of_order)?;
        self.note_process(pid, pidfd, &plan.cgroups)?;
        self.join(backend, pid).await?;
        channel::send(&control, &(), &[])
            .map_err(|error| Error::io("talking to stage 0", error))?;
        watch.phase(SandboxPhase::Guest);
        let (report, _): (Report, _) = receive(&control).await?;
        match report {
            Report::Started { times } => {
                tracing::debug!(id = %self.id, ?times, "stage 0 is through");
            }
            Report::Failed(why) => return Err(Error::new(ErrorKind::Failed, why)),
            Report::Prepared { .. } => return Err(out_of_order()),
        }
        self.until_guest_answers().await?;
        timeout(PART, stage.wait())
            .await
            .map_err(|_| late("stage 0 does not end"))?
            .map_err(|error| Error::io("waiting for stage 0", error))?;
        match backend.get(self.id) {
            Some(sandbox) if self.spec().docker => {
                watch.phase(SandboxPhase::Docker);
                docker::until_ready(sandbox, DOCKER).await
            }
            _ => Ok(()),
        }
    }

    /// Makes what the daemon makes itself, and says what stage 0 is to make.
    async fn prepare(&self, backend: &Backend) -> Result<(Plan, UnixListener), Error> {
        let (spec, state) = (self.spec(), self.state());
        let cgroups = backend.hierarchies.of(&self.name, spec.docker);
        let slot = self.take_slot(backend)?;
        self.change(|state| {
            state.cgroups = Some(cgroups.clone());
            state.network = slot.as_ref().map(|slot| slot.index);
        })?;
        let resolv_conf = match (&slot, &backend.networks) {
            (Some(slot), Some(networks)) => {
                slot.inside().resolv_conf(&networks.search_domains().await)
            }
            _ => "# This sandbox has no network.\n".into(),
        };
        let socket = self.places.socket(&self.name);
        let (stage, disk) = (backend.places.stage(), backend.places.disk(&self.name));
        let made = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let owner = spec.docker.then_some(state.first_id);
            cgroups.make(&spec.limits, owner)?;
            let _ = std::fs::remove_file(&socket);
            let listener = UnixListener::bind(&socket)?;
            let mut plan = plan_of(&spec, &state, cgroups, stage, disk);
            plan.network = slot.map(|slot| slot.inside());
            plan.resolv_conf = resolv_conf;
            Ok((plan, listener))
        });
        made.await
            .map_err(io::Error::other)
            .and_then(|result| result)
            .map_err(|error| Error::io("making its control groups and its socket", error))
    }

    fn take_slot(&self, backend: &Backend) -> Result<Option<Slot>, Error> {
        match &backend.networks {
            Some(networks) => networks.take(self.id, None).map(Some),
            None => Ok(None),
        }
    }

    /// Joins it to the network, with its policy.
    async fn join(&self, backend: &Backend, pid: i32) -> Result<(), Error> {
        let Some(networks) = &backend.networks else {
            return Ok(());
        };
        let slot = networks.take(self.id, None)?;
        networks.set_egress(&slot, &self.spec().egress).await?;
        networks
            .attach(&slot, pid.cast_unsigned(), backend.names(self.id))
            .await
    }

    fn note_process(&self, pid: i32, pidfd: OwnedFd, cgroups: &Cgroups) -> Result<(), Error> {
        let process = Process::new(pid, pidfd)
            .map_err(|error| Error::io("looking at its first process", error))?;
        self.change(|state| state.process = Some(process.identity().clone()))?;
        self.runs(Running {
            process,
            out_of_memory: cgroups.out_of_memory().unwrap_or(0),
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

fn plan_of(
    spec: &SandboxSpec,
    state: &State,
    cgroups: Cgroups,
    stage: std::path::PathBuf,
    disk: std::path::PathBuf,
) -> Plan {
    let hostname = hostname(&spec.name);
    Plan {
        stage,
        first_id: state.first_id,
        disk,
        layers: state.layers.clone(),
        docker: spec.docker,
        network: None,
        guest: GuestConfig {
            hostname: hostname.clone(),
            env: spec.env.clone(),
            docker: spec.docker,
        },
        hostname,
        memory_bytes: spec.limits.memory_bytes,
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

/// Starts stage 0. It ends when the other end of the socket does.
fn spawn(backend: &Backend) -> Result<(Child, UnixStream), Error> {
    let failed = |error| Error::io("starting stage 0", error);
    let (ours, theirs) = channel::pair().map_err(failed)?;
    let child = Command::new(&backend.options.program)
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        // What is typed at the daemon's terminal is not for the sandboxes.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let ours = std::os::unix::net::UnixStream::from(ours);
    ours.set_nonblocking(true).map_err(failed)?;
    Ok((child, UnixStream::from_std(ours).map_err(failed)?))
}

/// The plan may be large, so it goes as a file in memory.
fn send_plan(control: &UnixStream, plan: &Plan, listener: &UnixListener) -> Result<(), Error> {
    let failed = |error| Error::io("telling stage 0 the plan", error);
    let file = memfd_create("plan", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut file = File::from(file);
    file.write_all(
        &serde_json::to_vec(plan)
            .map_err(io::Error::from)
            .map_err(failed)?,
    )
    .map_err(failed)?;
    io::Seek::rewind(&mut file).map_err(failed)?;
    channel::send(control, &(), &[file.as_fd(), listener.as_fd()]).map_err(failed)
}

async fn receive<T: DeserializeOwned>(control: &UnixStream) -> Result<(T, Vec<OwnedFd>), Error> {
    let received = async {
        loop {
            control.readable().await?;
            match control.try_io(Interest::READABLE, || channel::receive(control)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    };
    timeout(PART, received)
        .await
        .map_err(|_| late("stage 0 does not answer"))?
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::new(
                ErrorKind::Failed,
                "stage 0 ended before it was through: its last words are in this daemon's log",
            ),
            _ => Error::io("listening to stage 0", error),
        })
}

fn late(what: &str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} within {PART:?}"))
}

fn out_of_order() -> Error {
    Error::new(ErrorKind::Failed, "stage 0 spoke out of order")
}
