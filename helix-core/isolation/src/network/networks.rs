//! The driver: joins sandboxes to the host's network.

use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use helix_base::{Clock, TaskGroup};
use helix_proto::{SandboxId, sandbox::Egress};
use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use super::{
    Slot,
    adopted::{self, Adopted},
    beside,
    joined::{Host, Joined},
    links::{Links, Route},
    nft::Nft,
    openings::{Lifetimes, Openings},
    policy::Policy,
    ruleset::Layout,
    subnet,
};
use crate::{
    Error, ErrorKind,
    dns::{LocalNames, Upstream},
};

/// How the sandboxes' network is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tells this daemon's table and interfaces from those of another on the same host: 6
    /// lower-case letters or digits.
    pub tag: String,
    /// Where the sandboxes' addresses come from; one that the host does not use if absent.
    pub subnet: Option<Ipv4Net>,
    /// TCP services on the host's own addresses that sandboxes may reach where their policy
    /// allows, such as the control plane's public address. The host's other services are
    /// never reached.
    pub services: Vec<SocketAddrV4>,
    /// Networks that no sandbox reaches.
    pub refused: Vec<Ipv4Net>,
    /// Interfaces behind which no sandbox reaches anything: the host's own containers and
    /// virtual machines.
    pub refused_interfaces: Vec<String>,
    /// Names the host's own resolvers and search domains; read again when it changes.
    pub resolv_conf: PathBuf,
    /// For how long addresses of allow-listed names are open.
    pub lifetimes: Lifetimes,
    /// The program `nft`.
    pub nft: PathBuf,
}

impl Options {
    /// The usual ones for a daemon with this data directory.
    pub fn for_data_dir(data_dir: &Path) -> Self {
        let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
        let tag = digest
            .iter()
            .take(3)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let bridges = [
            "docker*", "br-*", "podman*", "cni*", "virbr*", "lxcbr*", "lxdbr*", "incusbr*",
        ];
        Self {
            tag,
            subnet: None,
            services: Vec::new(),
            refused: Vec::new(),
            refused_interfaces: bridges.map(str::to_owned).to_vec(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            lifetimes: Lifetimes::default(),
            nft: PathBuf::from("nft"),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if self.tag.len() != 6 || !self.tag.bytes().all(plain) {
            return invalid(format!(
                "{:?} is not a tag of 6 lower-case letters or digits",
                self.tag
            ));
        }
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        for name in &self.refused_interfaces {
            if !(1..=15).contains(&name.len()) || !name.bytes().all(named) {
                return invalid(format!("{name:?} is not the name of an interface"));
            }
        }
        Ok(())
    }
}

/// A sandbox that runs already, made by an earlier process.
#[derive(Debug, Clone)]
pub struct Live {
    /// Which.
    pub id: SandboxId,
    /// Its slot.
    pub index: u32,
    /// What it may reach.
    pub egress: Egress,
    /// The names of its containers.
    pub names: Arc<dyn LocalNames>,
}

/// The networks of a host's sandboxes. Cheap to clone; all clones are one.
///
/// # Contract
///
/// - What is in the kernel outlives this process: sandboxes go on without it, but for
///   their names. A next process calls [`recover`](Self::recover) first.
/// - A sandbox without a policy reaches nothing.
#[derive(Debug, Clone)]
pub struct Networks {
    host: Arc<Host>,
    slots: Arc<Mutex<Slots>>,
}

#[derive(Debug, Default)]
struct Slots {
    /// Where the search for a free one goes on: addresses are used again late.
    next: u32,
    taken: BTreeMap<u32, Arc<Joined>>,
}

impl Networks {
    /// Makes the table, or goes on with the one that an earlier process made.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses (it takes root), `nft` is missing, or no subnet is free.
    pub async fn open(
        options: &Options,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Result<Self, Error> {
        options.check()?;
        let links = Links::open(tasks)?;
        let nft = Nft::new(options.nft.clone(), tasks);
        let mut layout = Layout {
            tag: options.tag.clone(),
            subnet: Ipv4Net::default(),
            services: options.services.clone(),
            refused: options.refused.clone(),
            refused_interfaces: options.refused_interfaces.clone(),
        };
        layout.subnet = find_subnet(options.subnet, &links, &layout).await?;
        if let Err(error) = nft.change(layout.make()).await {
            tracing::warn!(%error, "the table of the sandboxes' network is made anew");
            nft.change(layout.remove() + &layout.make()).await?;
        }
        forward().await?;
        beside::open(&layout).await?;
        beside::warn(&nft, &layout).await?;
        tracing::info!(table = layout.table(), subnet = %layout.subnet, "the sandboxes' network is ready");
        let host = Host {
            layout,
            nft,
            links,
            clock,
            tasks: tasks.clone(),
            lifetimes: options.lifetimes,
            upstream: Arc::new(Upstream::new(options.resolv_conf.clone())),
        };
        Ok(Self {
            host: Arc::new(host),
            slots: Arc::default(),
        })
    }

    /// Where the sandboxes' addresses come from.
    pub fn subnet(&self) -> Ipv4Net {
        self.host.layout.subnet
    }

    /// The host's search domains, as they are now.
    pub async fn search_domains(&self) -> Vec<String> {
        self.host.upstream.search_domains().await
    }

    /// Gives a sandbox a slot: this one, or one that is free. The same again while it has it.
    ///
    /// # Errors
    ///
    /// Where the slot is another's, or none is free.
    pub fn take(&self, id: SandboxId, index: Option<u32>) -> Result<Slot, Error> {
        let mut slots = self.lock();
        if let Some(joined) = slots.taken.values().find(|joined| joined.id == id) {
            return Ok(joined.slot.clone());
        }
        let count = Slot::count(self.subnet());
        let index = match index {
            Some(index) if slots.taken.contains_key(&index) => {
                let message = format!("the place {index} in the network is another sandbox's");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            Some(index) => Some(index),
            None => (0..count)
                .map(|step| (slots.next + step) % count)
                .find(|index| !slots.taken.contains_key(index)),
        };
        let slot = index.and_then(|index| self.slot(index)).ok_or_else(|| {
            let message = format!(
                "all {count} places of the network {} are taken",
                self.subnet()
            );
            Error::new(ErrorKind::Full, message)
        })?;
        slots.next = (slot.index + 1) % count;
        let joined = Joined::new(slot.clone(), id, self.host.clone());
        slots.taken.insert(slot.index, Arc::new(joined));
        Ok(slot)
    }

    /// Says what a sandbox may reach, from now on, for new connections and for those that
    /// exist. Before [`attach`](Self::attach), beside it, or any time after. Idempotent.
    ///
    /// # Errors
    ///
    /// A rule that cannot be kept (nothing has changed then); or the kernel refuses.
    pub async fn set_egress(&self, slot: &Slot, egress: &Egress) -> Result<(), Error> {
        let policy = Policy::parse(egress)?;
        self.joined(slot)?.set_policy(policy).await
    }

    /// Makes a sandbox's interface, as `eth0` in the network namespace of a process, and
    /// starts its resolver. The inside then calls [`inside::configure`](super::inside).
    ///
    /// # Errors
    ///
    /// Where the process is gone, or the kernel refuses; what was made goes at
    /// [`release`](Self::release).
    pub async fn attach(
        &self,
        slot: &Slot,
        pid: u32,
        names: Arc<dyn LocalNames>,
    ) -> Result<(), Error> {
        self.joined(slot)?.attach(pid, names).await
    }

    /// Bytes that a sandbox sent and received so far; zero without an interface.
    ///
    /// # Errors
    ///
    /// Where the kernel does not say.
    pub async fn counters(&self, slot: &Slot) -> Result<(u64, u64), Error> {
        let counted = self.host.links.counters(&slot.interface).await?;
        Ok(counted.unwrap_or_default())
    }

    /// Takes a sandbox's interface, resolver and entries away, and frees its slot.
    /// Idempotent; goes on where an earlier call failed.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses; the slot stays taken then.
    pub async fn release(&self, slot: &Slot) -> Result<(), Error> {
        let joined = self.lock().taken.get(&slot.index).cloned();
        if let Some(joined) = joined {
            joined.leave().await?;
            self.lock().taken.remove(&slot.index);
        }
        Ok(())
    }

    /// Goes on with the sandboxes that run, by one change of the table: connections that
    /// exist do not notice. Removes interfaces and entries of all others.
    ///
    /// # Errors
    ///
    /// Where two say that they have one slot, or the kernel refuses.
    pub async fn recover(&self, live: Vec<Live>) -> Result<Vec<Slot>, Error> {
        let found = adopted::read(&self.host.nft, &self.host.layout).await?;
        let mut text = self.host.layout.clear();
        let mut back = Vec::new();
        for one in live {
            let slot = self.take(one.id, Some(one.index))?;
            let joined = self.joined(&slot)?;
            let entry = joined.entry(Policy::parse(&one.egress)?);
            text.push_str(&self.host.layout.add(&entry));
            let openings = self.opened_before(&found, &entry.interface, entry.mark(), &mut text);
            back.push((joined, entry, openings, one.names));
        }
        self.host.nft.change(text).await?;
        let mut kept = Vec::new();
        for (joined, entry, openings, names) in back {
            joined.adopt(entry, openings).await;
            if self.host.links.exists(&joined.slot.interface).await? {
                joined.answer(names).await?;
            }
            kept.push(joined.slot.clone());
        }
        for link in self.host.links.ours(&self.host.layout.prefix()).await? {
            if !kept.iter().any(|slot| slot.interface == link.name) {
                tracing::info!(interface = link.name, "removed the interface of no sandbox");
                self.host.links.remove(&link.name).await?;
            }
        }
        Ok(kept)
    }

    /// Removes the table. For when no sandbox is left: without it, nothing holds them.
    ///
    /// # Errors
    ///
    /// Where one has its slot still, or the kernel refuses.
    pub async fn close(&self) -> Result<(), Error> {
        let left = self.lock().taken.len();
        if left > 0 {
            let message = format!("{left} sandboxes are joined to the network");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let layout = &self.host.layout;
        beside::close(layout).await?;
        self.host
            .links
            .give_up(layout.subnet, layout.number())
            .await?;
        self.host.nft.change(self.host.layout.remove()).await
    }

    /// What names opened under the same policy stays open.
    fn opened_before(
        &self,
        found: &Adopted,
        interface: &str,
        mark: u32,
        text: &mut String,
    ) -> Openings {
        let mut openings = Openings::new(self.host.lifetimes);
        if found.marks.get(interface) == Some(&mark) {
            let opened = found.opened.get(interface).map_or(&[][..], Vec::as_slice);
            openings.adopt(opened, self.host.clock.now());
            text.push_str(&self.host.layout.open(interface, opened));
        }
        openings
    }

    /// The program `nft`.
    #[cfg(feature = "docker")]
    pub(crate) fn nft(&self) -> &Path {
        self.host.nft.program()
    }

    fn joined(&self, slot: &Slot) -> Result<Arc<Joined>, Error> {
        self.lock().taken.get(&slot.index).cloned().ok_or_else(|| {
            let message = format!("{} is not joined to the network", slot.interface);
            Error::new(ErrorKind::NotFound, message)
        })
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        Slot::new(index, self.subnet(), &self.host.layout.prefix())
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often another daemon may claim the same network at the same moment.
const ATTEMPTS: u32 = 64;

/// The subnet of sandboxes that run already, or one that neither the host nor another
/// daemon uses; claimed.
async fn find_subnet(
    asked: Option<Ipv4Net>,
    links: &Links,
    layout: &Layout,
) -> Result<Ipv4Net, Error> {
    let number = layout.number();
    if let Some(subnet) = existing_subnet(asked, links, layout).await? {
        links.claim(subnet, number).await?;
        return Ok(subnet);
    }
    for attempt in 0..ATTEMPTS {
        let routes = links.routes().await?;
        let others = routes.iter().filter(|route| route.claim != Some(number));
        let addresses = links
            .addresses()
            .await?
            .into_iter()
            .map(|(_, network)| network);
        let used: Vec<_> = others.map(|route| route.network).chain(addresses).collect();
        let subnet = subnet::choose(asked, number, attempt, &used)?;
        links.claim(subnet, number).await?;
        let is_other = |route: &Route| {
            route.network == subnet && route.claim.is_some_and(|claim| claim != number)
        };
        if !links.routes().await?.iter().any(is_other) {
            return Ok(subnet);
        }
        // Another daemon claimed it at the same moment: both pass on, each its own way.
        links.give_up(subnet, number).await?;
    }
    let message = format!(
        "other daemons on this host claimed the same network for sandboxes {ATTEMPTS} times; \
         start again, or give one that none of them uses"
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

/// What sandboxes that run already use, or this daemon claimed before.
async fn existing_subnet(
    asked: Option<Ipv4Net>,
    links: &Links,
    layout: &Layout,
) -> Result<Option<Ipv4Net>, Error> {
    let ours = links.ours(&layout.prefix()).await?;
    let first = ours.iter().flat_map(|link| link.addresses.clone()).next();
    if let Some(first) = first {
        let within = asked
            .map(|net| net.trunc())
            .filter(|subnet| subnet.contains(&first));
        return Ok(within.or_else(|| subnet::of_existing(first)));
    }
    let number = layout.number();
    for route in links.routes().await? {
        if route.claim == Some(number) {
            if asked.is_none_or(|asked| asked.trunc() == route.network) {
                return Ok(Some(route.network));
            }
            links.give_up(route.network, number).await?;
        }
    }
    Ok(None)
}

/// Lets the host forward packets at all.
async fn forward() -> Result<(), Error> {
    const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
    let read = tokio::fs::read_to_string(SWITCH).await;
    let now = read.map_err(|error| Error::io(format!("cannot read {SWITCH}"), error))?;
    if now.trim() != "0" {
        return Ok(());
    }
    tracing::info!("switched on forwarding of packets ({SWITCH})");
    let written = tokio::fs::write(SWITCH, "1").await;
    written.map_err(|error| Error::io(format!("cannot switch on {SWITCH}"), error))
}
