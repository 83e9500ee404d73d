//! One sandbox's part of the network, as it is now.

use std::{
    net::Ipv4Addr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use helix_base::Clock;
use helix_proto::SandboxId;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::{
    Slot, conntrack,
    links::Links,
    nft::Nft,
    openings::{Change, Lifetimes, Openings},
    policy::Policy,
    ruleset::{Entry, Layout},
};
use crate::{
    Error, ErrorKind,
    dns::{self, Firewall, LocalNames, Upstream},
};

/// What every sandbox's part needs.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) layout: Layout,
    pub(super) nft: Nft,
    pub(super) links: Links,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: helix_base::TaskGroup,
    pub(super) lifetimes: Lifetimes,
    pub(super) upstream: Arc<Upstream>,
}

/// A slot that a sandbox has.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) slot: Slot,
    pub(super) id: SandboxId,
    host: Arc<Host>,
    /// The policy that is installed; for the resolver, which must not wait.
    policy: RwLock<Arc<Policy>>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// What is in the table.
    pub(super) entry: Option<Entry>,
    pub(super) openings: Openings,
    pub(super) resolver: Option<dns::Server>,
}

impl Joined {
    pub(super) fn new(slot: Slot, id: SandboxId, host: Arc<Host>) -> Self {
        let openings = Openings::new(host.lifetimes);
        Self {
            slot,
            id,
            host,
            policy: RwLock::new(Arc::new(Policy::None)),
            state: Mutex::new(State {
                entry: None,
                openings,
                resolver: None,
            }),
        }
    }

    /// What it has in the table under a policy.
    pub(super) fn entry(&self, policy: Policy) -> Entry {
        let digest = Sha256::digest(self.id.to_string().as_bytes());
        Entry {
            interface: self.slot.interface.clone(),
            address: self.slot.address,
            gateway: self.slot.gateway,
            policy,
            owner: u16::from_be_bytes([digest[0], digest[1]]),
        }
    }

    /// Puts a policy in the place of the one before.
    pub(super) async fn set_policy(&self, policy: Policy) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        let layout = &self.host.layout;
        let new = self.entry(policy);
        let Some(old) = &state.entry else {
            self.host.nft.change(layout.add(&new)).await?;
            self.installed(&mut state, new);
            return Ok(());
        };
        if *old == new {
            return Ok(());
        }
        let mut openings = state.openings.clone();
        let change = openings.judge(&new.policy, self.host.clock.now());
        let text = layout.remove_policy(old) + &layout.add_policy(&new) + &self.text(&change);
        self.host.nft.change(text).await?;
        state.openings = openings;
        self.installed(&mut state, new);
        Ok(())
    }

    /// Notes what the table has, by a change of many sandboxes at once.
    pub(super) async fn adopt(&self, entry: Entry, openings: Openings) {
        let mut state = self.state.lock().await;
        state.openings = openings;
        self.installed(&mut state, entry);
    }

    fn installed(&self, state: &mut State, entry: Entry) {
        let policy = Arc::new(entry.policy.clone());
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        state.entry = Some(entry);
    }

    fn text(&self, change: &Change) -> String {
        let interface = &self.slot.interface;
        let layout = &self.host.layout;
        layout.close(interface, &change.close) + &layout.open(interface, &change.open)
    }

    /// Joins the network namespace of a process, and answers its names.
    pub(super) async fn attach(
        self: &Arc<Self>,
        pid: u32,
        names: Arc<dyn LocalNames>,
    ) -> Result<(), Error> {
        self.host.links.add_pair(&self.slot, pid).await?;
        self.answer(names).await
    }

    /// Starts its resolver, if it has none.
    pub(super) async fn answer(self: &Arc<Self>, names: Arc<dyn LocalNames>) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        if let Some(before) = state.resolver.take() {
            before.stop().await;
        }
        let firewall: Arc<dyn Firewall> = self.clone();
        let server = dns::Server::start(
            (self.slot.gateway, 53).into(),
            firewall,
            names,
            self.host.upstream.clone(),
            self.host.clock.clone(),
            &self.host.tasks,
        );
        state.resolver = Some(server?);
        Ok(())
    }

    /// Takes everything of it away. Goes on where an earlier call failed.
    pub(super) async fn leave(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        if let Some(resolver) = state.resolver.take() {
            resolver.stop().await;
        }
        self.host.links.remove(&self.slot.interface).await?;
        let Some(entry) = &state.entry else {
            return Ok(());
        };
        let opened = state.openings.installed();
        let layout = &self.host.layout;
        let text = layout.close(&entry.interface, &opened) + &layout.remove_entry(entry);
        self.host.nft.change(text).await?;
        let owner = u32::from(entry.owner) << 16;
        state.entry = None;
        state.openings = Openings::new(self.host.lifetimes);
        let forgotten = tokio::task::spawn_blocking(move || conntrack::forget(owner, 0xffff_0000));
        if let Ok(Err(error)) = forgotten.await {
            // The rules keep a next sandbox from them; they only take up room until they end.
            tracing::warn!(%error, sandbox = %self.id, "connections of a sandbox that is gone stay");
        }
        Ok(())
    }
}

#[async_trait]
impl Firewall for Joined {
    fn policy(&self) -> Arc<Policy> {
        self.policy
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn reachable(&self, addresses: &[Ipv4Addr]) -> Result<Vec<Ipv4Addr>, Error> {
        let refused = self.host.layout.refused();
        let own = self.host.links.addresses().await?;
        let keep = |address: &&Ipv4Addr| {
            !refused.iter().any(|network| network.contains(*address))
                && !own.iter().any(|(_, network)| network.addr() == **address)
        };
        Ok(addresses.iter().filter(keep).copied().collect())
    }

    async fn open(
        &self,
        name: &str,
        addresses: &[Ipv4Addr],
        lifetime: Duration,
    ) -> Result<bool, Error> {
        let mut state = self.state.lock().await;
        // The policy may have changed since the question came.
        let Some(entry) = &state.entry else {
            return Ok(false);
        };
        let Some(ports) = entry.policy.at_name(name) else {
            return Ok(false);
        };
        if entry.policy == Policy::Open {
            return Ok(true);
        }
        let mut openings = state.openings.clone();
        let now = self.host.clock.now();
        let change = openings.open(name, addresses, &ports, lifetime, now);
        let change = change.map_err(|full| Error::new(ErrorKind::Full, full.to_string()))?;
        self.host.nft.change(self.text(&change)).await?;
        state.openings = openings;
        Ok(true)
    }
}
