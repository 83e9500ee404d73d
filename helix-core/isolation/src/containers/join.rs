//! Other containers of the same Docker daemon that run already, joined to a sandbox.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use bollard::{models::ContainerInspectResponse, query_parameters::InspectContainerOptions};
use helix_proto::SandboxId;
use rustix::fs::{FlockOperation, flock};

use super::{
    Backend, Containers,
    config::{SANDBOX, hostname},
    daemon::found,
    sandbox::Sandbox,
    start::{blocking, network_namespace},
};
use crate::{Error, ErrorKind, network::pair};

/// The most containers that are joined to a sandbox, and ports of one.
const MOST: usize = 64;
/// As much of a container's id as names the interface inside.
const NAMED_BY: usize = 11;

/// A container that runs.
#[derive(Debug)]
struct Other {
    id: String,
    pid: u32,
    /// None where it has no network of Docker's.
    address: Option<Ipv4Addr>,
    hosts: Option<PathBuf>,
    sandbox: bool,
}

impl Containers {
    /// Joins a container of the same Docker daemon that runs already, such as one with a
    /// desktop, to a sandbox that runs, by a veth pair between the two: it reaches the
    /// sandbox by its address, by its name (`/etc/hosts`), and for the TCP ports in
    /// `localhost` by its own `localhost`, whatever the sandbox's egress policy; and the
    /// sandbox reaches it by its address. All else that it reaches stays as it was. Lasts
    /// until either ends, or [`part`](Self::part). Joining again replaces.
    ///
    /// A container that is yet to start has more of the sandbox with
    /// [`network_of`](Self::network_of).
    ///
    /// # Errors
    ///
    /// Where there is no such sandbox or container, one does not run, the container has the
    /// host's network or none, or is a sandbox; and where the kernel refuses.
    pub async fn join(
        &self,
        id: SandboxId,
        container: &str,
        localhost: &[u16],
    ) -> Result<(), Error> {
        let backend = &self.backend;
        let sandbox = backend.known(id)?;
        if localhost.len() > MOST || localhost.contains(&0) {
            let message = format!("at most {MOST} ports of localhost, from 1 to 65535");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let _turn = sandbox.turn.lock().await;
        let other = backend.other(container).await?;
        let Some(address) = other.address.filter(|_| !other.sandbox) else {
            let message = format!(
                "{container} has no address of its own on a network of Docker's, at which the \
                 sandbox could answer it"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        let (slot, name) = {
            let kept = sandbox.kept();
            let others = kept.joined.keys().filter(|joined| **joined != other.id);
            if others.count() >= MOST {
                let message = format!("{MOST} containers are joined to the sandbox {id} already");
                return Err(Error::new(ErrorKind::Full, message));
            }
            (kept.slot, hostname(&kept.spec.name))
        };
        let pid = backend.state(&sandbox.container).await?.1;
        let (Some(index), true) = (slot, pid > 0) else {
            let message = format!("the sandbox {id} does not run, so there is nothing to join");
            return Err(Error::new(ErrorKind::Conflict, message));
        };
        let slot = backend.networks.take(id, Some(index))?;
        let theirs = pair::End {
            namespace: network_namespace(pid).await?,
            interface: format!("join{}", &other.id[..NAMED_BY]),
            address: slot.address,
        };
        let ours = pair::End {
            namespace: network_namespace(other.pid).await?,
            interface: slot.interface.clone(),
            address,
        };
        if backend.other(&other.id).await?.pid != other.pid {
            let message = format!("{container} was started anew meanwhile: try again");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        // Before it exists, so that it is taken away whatever happens.
        sandbox.change(backend, |kept| {
            kept.joined.insert(other.id.clone(), slot.interface.clone());
        })?;
        let (nft, localhost) = (backend.networks.nft().to_owned(), localhost.to_vec());
        let mark = slot.interface.clone();
        blocking("joining a container to a sandbox", move || {
            pair::join(&ours, &theirs, &localhost, &nft)?;
            let line = format!("{}\t{name}\t# {mark}\n", slot.address);
            other
                .hosts
                .map_or(Ok(()), |hosts| tell(&hosts, &mark, &line))
        })
        .await
    }

    /// Takes away what [`join`](Self::join) made. Idempotent.
    ///
    /// # Errors
    ///
    /// Where there is no such sandbox, or the kernel refuses.
    pub async fn part(&self, id: SandboxId, container: &str) -> Result<(), Error> {
        let sandbox = self.backend.known(id)?;
        let _turn = sandbox.turn.lock().await;
        match self.backend.other(container).await {
            Ok(other) => sandbox.part_from(&self.backend, &other.id).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Sandbox {
    /// Parts from every container that was joined. The pairs end with the sandbox in any case:
    /// another's container does not keep it from ending.
    pub(super) async fn part_from_all(&self, backend: &Backend) -> Result<(), Error> {
        let joined = self.kept().joined.clone();
        for (container, interface) in joined {
            backend.try_to_part(&container, &interface).await;
        }
        self.change(backend, |kept| kept.joined.clear())
    }

    async fn part_from(&self, backend: &Backend, container: &str) -> Result<(), Error> {
        let Some(interface) = self.kept().joined.get(container).cloned() else {
            return Ok(());
        };
        backend.part(container, &interface).await?;
        self.change(backend, |kept| {
            kept.joined.remove(container);
        })
    }
}

impl Backend {
    fn known(&self, id: SandboxId) -> Result<Arc<Sandbox>, Error> {
        self.get(id).ok_or_else(|| {
            let message = format!("there is no sandbox {id} on this host");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// Takes a pair away; where something is left of it, says so.
    pub(super) async fn try_to_part(&self, container: &str, interface: &str) {
        if let Err(left) = self.part(container, interface).await {
            tracing::warn!(container, %left, "something of a sandbox is left in a container");
        }
    }

    /// Takes a pair away with all that was made for it.
    async fn part(&self, container: &str, interface: &str) -> Result<(), Error> {
        let other = match self.other(container).await {
            Ok(other) => other,
            // All of it went with its namespace.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let namespace = network_namespace(other.pid).await?;
        let (nft, interface) = (self.networks.nft().to_owned(), interface.to_owned());
        blocking("parting a container from a sandbox", move || {
            pair::part(&namespace, &interface, &nft)?;
            let hosts = other.hosts.as_deref();
            hosts.map_or(Ok(()), |hosts| tell(hosts, &interface, ""))
        })
        .await
    }

    /// A container that runs; `NotFound` without one, `Conflict` where it does not run.
    async fn other(&self, container: &str) -> Result<Other, Error> {
        let options = None::<InspectContainerOptions>;
        let there = self.docker.inspect_container(container, options).await;
        let what = format!("looking at {container}");
        let there = found(there, &what)?.ok_or_else(|| {
            let message = format!("the Docker daemon has no container {container}");
            Error::new(ErrorKind::NotFound, message)
        })?;
        Other::of(there).ok_or_else(|| {
            let message = format!("the container {container} does not run");
            Error::new(ErrorKind::Conflict, message)
        })
    }
}

impl Other {
    fn of(there: ContainerInspectResponse) -> Option<Self> {
        let networks = there
            .network_settings
            .and_then(|settings| settings.networks);
        let addresses = networks
            .into_iter()
            .flat_map(|networks| networks.into_values());
        let labels = there.config.and_then(|config| config.labels);
        Some(Self {
            id: there.id.filter(|id| id.len() > NAMED_BY && id.is_ascii())?,
            pid: there.state?.pid?.try_into().ok().filter(|pid| *pid > 0)?,
            address: addresses
                .filter_map(|endpoint| endpoint.ip_address?.parse().ok())
                .min(),
            hosts: there
                .hosts_path
                .filter(|path| !path.is_empty())
                .map(Into::into),
            sandbox: labels.is_some_and(|labels| labels.contains_key(SANDBOX)),
        })
    }
}

/// Puts a line into a container's `/etc/hosts`, in the place of the one with the same mark.
/// Docker's own way: the file is shown in the container, so it must stay the same file.
fn tell(hosts: &Path, mark: &str, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(hosts)?;
    flock(&file, FlockOperation::LockExclusive)?;
    let before = fs::read_to_string(hosts)?;
    let mark = format!("# {mark}");
    let others = before.lines().filter(|line| !line.ends_with(&mark));
    let mut after: String = others.flat_map(|line| [line, "\n"]).collect();
    after.push_str(line);
    file.set_len(0)?;
    file.write_all(after.as_bytes())
}
