//! Which hosts there are.

use std::collections::HashMap;

use helix_proto::{
    SandboxHostId,
    sandbox::{
        choices::{HostChoice, ImageChoice, SandboxChoices},
        host::{LiveSet, LiveSetReport, SandboxHost, SandboxHostState},
    },
};
use helix_tunnel::Tunnel;

use super::{Client, HostView, Sandboxes, connection::Connection};
use crate::{
    api::Failure,
    store::{self, sandbox_hosts::StoredHost, sandboxes::Usage},
};

impl Sandboxes {
    /// A host whose tunnel began. Whoever held its place has given way.
    pub(crate) fn attach(&self, id: SandboxHostId, tunnel: &Tunnel) {
        let client = Client::new(tunnel.clone());
        let attached = self.inner.machines.attach(id, tunnel, client.clone());
        if let Some(number) = attached {
            Connection::new(self.clone(), id, number, client).spawn();
        }
    }

    /// Registers a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn register(
        &self,
        host: StoredHost,
        credential_hash: &str,
    ) -> Result<(), store::Error> {
        self.inner
            .store
            .insert_sandbox_host(&host, credential_hash)
            .await?;
        self.registered(host);
        Ok(())
    }

    /// Takes note of a host that the store knows already.
    pub(crate) fn registered(&self, host: StoredHost) {
        tracing::info!(host = %host.id, name = host.name, "sandbox host registered");
        self.inner.machines.insert(host.id, host);
        self.changed();
    }

    /// Forgets a host, closes its tunnel at once, and forgets what is on it. Without
    /// `force`, only if that is nothing.
    ///
    /// # Errors
    /// Not found; conflict while it has sandboxes or snapshots.
    pub(crate) async fn remove_host(&self, id: SandboxHostId, force: bool) -> Result<(), Failure> {
        let store = &self.inner.store;
        let there = store.sandboxes_on(id).await?;
        let snapshots = store.snapshots_on(id).await?;
        let kept = there.iter().filter(|it| it.is_kept()).count();
        if !force && kept + snapshots.len() > 0 {
            return Err(Failure::conflict(format!(
                "the host has {kept} sandboxes and {} snapshots: delete them first, or \
                 forget them with `force=true`",
                snapshots.len()
            )));
        }
        let existed = store.delete_sandbox_host(id).await?;
        self.inner
            .machines
            .remove(id, "the sandbox host was deleted");
        for sandbox in &there {
            self.tell_deleted(sandbox);
        }
        self.changed();
        if existed {
            Ok(())
        } else {
            Err(Failure::not_found("sandbox host"))
        }
    }

    /// Gives a host another credential and closes its tunnel at once. Whether there is
    /// such a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn rotate_host(
        &self,
        id: SandboxHostId,
        hash: &str,
    ) -> Result<bool, store::Error> {
        let exists = self
            .inner
            .store
            .set_sandbox_host_credential(id, hash)
            .await?;
        if exists {
            let why = "the credential was replaced";
            self.inner.machines.revoke(id, why);
            self.moved(id).await;
        }
        Ok(exists)
    }

    /// Changes what people call a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn rename_host(
        &self,
        id: SandboxHostId,
        name: &str,
    ) -> Result<(), store::Error> {
        self.inner.store.rename_sandbox_host(id, name).await?;
        self.inner
            .machines
            .change(id, |known| name.clone_into(&mut known.name));
        self.changed();
        Ok(())
    }

    /// Whether a host is to take nothing new.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn drain_host(
        &self,
        id: SandboxHostId,
        drain: bool,
    ) -> Result<(), store::Error> {
        let store = &self.inner.store;
        store.set_sandbox_host_draining(id, drain).await?;
        self.inner
            .machines
            .change(id, |known| known.draining = drain);
        self.changed();
        Ok(())
    }

    /// All hosts, oldest first.
    pub(crate) fn host_views(&self) -> Vec<HostView> {
        self.inner.machines.all()
    }

    /// All hosts as REST shows them, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn hosts(&self) -> Result<Vec<SandboxHost>, store::Error> {
        let promised = self.inner.store.promised().await?;
        let views = self.host_views().into_iter();
        Ok(views.map(|view| shown(view, &promised)).collect())
    }

    /// One host as REST shows it.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn host(&self, id: SandboxHostId) -> Result<SandboxHost, Failure> {
        let missing = || Failure::not_found("sandbox host");
        let view = self.inner.machines.get(id).ok_or_else(missing)?;
        Ok(shown(view, &self.inner.store.promised().await?))
    }

    /// As much of hosts as everybody may know who makes sandboxes.
    pub(crate) fn choices(&self) -> SandboxChoices {
        let hosts = self.host_views().into_iter().map(choice).collect();
        SandboxChoices { hosts }
    }

    /// Everything that a host is to keep.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) async fn live_set(
        &self,
        host: SandboxHostId,
        dry_run: bool,
    ) -> Result<LiveSet, store::Error> {
        // Snapshots first: one that is taken meanwhile is there before its files are.
        let snapshots = self.inner.store.snapshots_on(host).await?;
        let there = self.inner.store.sandboxes_on(host).await?;
        let kept = there.iter().filter(|it| it.is_kept());
        Ok(LiveSet {
            sandboxes: kept.map(|it| it.id()).collect(),
            snapshots,
            dry_run,
        })
    }

    /// What a host would remove by the database of now.
    ///
    /// # Errors
    /// Not found; what the host answers.
    pub(crate) async fn live_set_dry_run(
        &self,
        id: SandboxHostId,
    ) -> Result<LiveSetReport, Failure> {
        if self.inner.machines.get(id).is_none() {
            return Err(Failure::not_found("sandbox host"));
        }
        let client = self.client(id)?;
        let set = self.live_set(id, true).await?;
        Ok(client.live_set(&set).await?)
    }
}

fn choice(view: HostView) -> HostChoice {
    let info = view.known.info.as_ref();
    let can = |name: &str| {
        let known = info.and_then(|info| info.capabilities.iter().find(|it| it.name == name));
        known.is_none_or(|it| it.available)
    };
    let mut images: Vec<_> = info
        .map(|info| info.images.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|image| ImageChoice {
            name: image.name.clone(),
            size_bytes: image.size_bytes,
        })
        .collect();
    images.sort_by(|one, other| one.name.cmp(&other.name));
    HostChoice {
        available: info.is_some() && view.state() == SandboxHostState::Online,
        host_rootfs: can("host_rootfs"),
        docker: can("docker"),
        desktop: can("desktop"),
        cpu_millis: info.map_or(0, |info| info.capacity.cpu_millis),
        memory_bytes: info.map_or(0, |info| info.capacity.memory_bytes),
        images,
        id: view.known.id,
        name: view.known.name,
    }
}

fn shown(view: HostView, promised: &HashMap<SandboxHostId, Usage>) -> SandboxHost {
    let (state, tunnel) = (view.state(), view.tunnel());
    let known = view.known;
    let count = promised.get(&known.id).map_or(0, |usage| usage.sandboxes);
    SandboxHost {
        id: known.id,
        name: known.name,
        state,
        tunnel,
        created_at_ms: known.created_at_ms,
        last_seen_at_ms: known.last_seen_at_ms,
        info: known.info,
        sandboxes: u32::try_from(count).unwrap_or(u32::MAX),
    }
}
