//! Starting a sandbox.

use std::{
    fs::File,
    io,
    os::unix::{fs::MetadataExt as _, net::UnixListener},
    sync::Arc,
    time::Duration,
};

use bollard::query_parameters::{InspectContainerOptions, StartContainerOptions};
use helix_proto::sandbox::SandboxPhase;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener as AsyncListener, UnixStream},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Backend,
    config::{VARIABLES, hostname},
    daemon::{failed, still_wanted, to_the_end},
    handshake::{self, Told},
    images::variables,
    sandbox::{Sandbox, State},
};
use crate::{
    Error, ErrorKind, FoundState, Watch,
    dns::NoNames,
    guest::GuestConfig,
    network::{Slot, inside, pair::within},
};

/// How long each part may take: a machine that is slower than this is not usable.
const PART: Duration = Duration::from_secs(30);

impl Sandbox {
    /// Starts it, unless it runs.
    pub(super) async fn launch(&self, watch: &dyn Watch) -> Result<(), Error> {
        let backend = self.backend()?;
        let gone = || Error::new(ErrorKind::NotFound, "the sandbox was removed");
        let sandbox = backend.get(self.id).ok_or_else(gone)?;
        let (phases, mut heard) = mpsc::unbounded_channel();
        let owned = Arc::clone(&backend);
        let started = to_the_end(&backend.tasks, "start a sandbox", |dropped| async move {
            let _turn = sandbox.turn.lock().await;
            sandbox.begin(&owned, &dropped, &phases).await
        });
        let mut started = std::pin::pin!(started);
        loop {
            tokio::select! {
                biased;
                Some(phase) = heard.recv() => watch.phase(phase),
                result = &mut started => return result,
            }
        }
    }

    async fn begin(
        &self,
        backend: &Backend,
        dropped: &CancellationToken,
        phases: &mpsc::UnboundedSender<SandboxPhase>,
    ) -> Result<(), Error> {
        self.backend()?;
        still_wanted(dropped)?;
        if backend.state(&self.container).await?.0 != FoundState::Stopped {
            return Ok(());
        }
        // The rest of a life that ended by itself.
        self.clear(backend).await?;
        let started = self.try_start(backend, dropped, phases).await;
        match started.and_then(|()| still_wanted(dropped)) {
            Ok(()) => {
                let runs = State::of(FoundState::Running);
                self.state.send_modify(|state| *state = runs);
                Ok(())
            }
            Err(error) => {
                if let Err(left) = self.end(backend).await {
                    tracing::warn!(id = %self.id, error = %left, "a start that failed left something");
                }
                Err(error)
            }
        }
    }

    async fn try_start(
        &self,
        backend: &Backend,
        dropped: &CancellationToken,
        phases: &mpsc::UnboundedSender<SandboxPhase>,
    ) -> Result<(), Error> {
        // Nobody hears it who left.
        let _ = phases.send(SandboxPhase::Isolation);
        let slot = backend.networks.take(self.id, None)?;
        self.change(backend, |kept| kept.slot = Some(slot.index))?;
        let egress = self.kept().spec.egress.clone();
        backend.networks.set_egress(&slot, &egress).await?;
        let (door, socket) = self
            .listen(backend)
            .map_err(|error| Error::io("making a sandbox's sockets", error))?;
        still_wanted(dropped)?;
        let options = None::<StartContainerOptions>;
        let started = backend
            .docker
            .start_container(&self.container, options)
            .await;
        started.map_err(failed(format_args!("starting {}", self.container)))?;
        still_wanted(dropped)?;
        let (waits, pid) = self.knock(backend, &door).await?;
        self.join(backend, &slot, pid).await?;
        still_wanted(dropped)?;
        let _ = phases.send(SandboxPhase::Guest);
        let told = self.told(backend, &slot).await?;
        let waits = waits.into_std();
        blocking("telling the guest what to do", move || {
            handshake::tell(&waits?, &told, &socket)
        })
        .await?;
        self.change(backend, |kept| kept.ready = true)?;
        self.until_guest_answers(backend).await
    }

    fn listen(&self, backend: &Backend) -> io::Result<(AsyncListener, UnixListener)> {
        let places = &backend.common.places;
        let door = handshake::listen(&places.make_door(self.id)?)?;
        let socket = UnixListener::bind(places.socket(self.id))?;
        Ok((AsyncListener::from_std(door)?, socket))
    }

    /// Waits for the container's first process. Nothing else is there that could knock.
    async fn knock(
        &self,
        backend: &Backend,
        door: &AsyncListener,
    ) -> Result<(UnixStream, u32), Error> {
        let (state, pid) = backend.state(&self.container).await?;
        let knocked = timeout(PART, door.accept());
        let ended = backend.until_ended(&self.container);
        let early = || {
            let message = format!(
                "the first process of {0} ended before it was ready: `docker logs {0}` has its \
                 last words",
                self.container
            );
            Error::new(ErrorKind::Failed, message)
        };
        if state == FoundState::Stopped {
            return Err(early());
        }
        let stream = tokio::select! {
            knocked = knocked => {
                let late = |_| Error::new(ErrorKind::Timeout, "the guest does not begin");
                let accepted = knocked.map_err(late)?;
                accepted.map_err(|error| Error::io("waiting for the guest", error))?.0
            }
            ended = ended => {
                ended?;
                return Err(early());
            }
        };
        let peer = stream.peer_cred();
        let peer = peer.map_err(|error| Error::io("looking at the guest", error))?;
        if peer.pid().and_then(|peer| u32::try_from(peer).ok()) != Some(pid) {
            let message = "the Docker daemon's processes have other numbers here: it must run on \
                           this host, outside of any container";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok((stream, pid))
    }

    /// Joins the container to the network, both sides: the guest has no rights over it.
    async fn join(&self, backend: &Backend, slot: &Slot, pid: u32) -> Result<(), Error> {
        let namespace = network_namespace(pid).await?;
        let networks = &backend.networks;
        networks.attach(slot, pid, Arc::new(NoNames)).await?;
        let config = slot.inside();
        blocking("setting up a sandbox's network", move || {
            within(&namespace, move || inside::configure(&config))
        })
        .await
    }

    async fn told(&self, backend: &Backend, slot: &Slot) -> Result<Told, Error> {
        let options = None::<InspectContainerOptions>;
        let there = backend
            .docker
            .inspect_container(&self.container, options)
            .await;
        let there = there.map_err(failed(format_args!("looking at {}", self.container)))?;
        let labels = there.config.and_then(|config| config.labels);
        let kept = labels.and_then(|mut labels| labels.remove(VARIABLES));
        let mut env = kept
            .as_deref()
            .map(variables)
            .transpose()?
            .unwrap_or_default();
        let spec = self.kept().spec.clone();
        env.extend(spec.env);
        let search = backend.networks.search_domains().await;
        Ok(Told {
            guest: GuestConfig {
                hostname: hostname(&spec.name),
                env,
                ..GuestConfig::default()
            },
            resolv_conf: slot.inside().resolv_conf(&search),
        })
    }

    /// Asks the guest anything, and waits for any answer.
    async fn until_guest_answers(&self, backend: &Backend) -> Result<(), Error> {
        let asked = async {
            let mut stream = self.dial(backend).await?;
            let request = b"GET /exec HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n";
            let mut start = [0; 5];
            let answered = async {
                stream.write_all(request).await?;
                stream.read_exact(&mut start).await
            };
            let answered = answered.await;
            answered.map_err(|error| Error::io("asking the guest", error))?;
            if &start == b"HTTP/" {
                return Ok(());
            }
            let message = "what runs in the sandbox does not speak HTTP";
            Err(Error::new(ErrorKind::Failed, message))
        };
        let late = |_| Error::new(ErrorKind::Timeout, "the guest does not answer");
        timeout(PART, asked).await.map_err(late)?
    }
}

/// The network namespace of a process, which must not be the host's.
pub(super) async fn network_namespace(pid: u32) -> Result<File, Error> {
    blocking("looking at a container's network", move || {
        let theirs = File::open(format!("/proc/{pid}/ns/net"))?;
        let ours = std::fs::metadata("/proc/thread-self/ns/net")?;
        if theirs.metadata()?.ino() == ours.ino() {
            return Err(io::Error::other("it is the host's own"));
        }
        Ok(theirs)
    })
    .await
}

pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(io::Error::other).and_then(|result| result);
    done.map_err(|error| Error::io(what, error))
}
