//! What is done to whole sandboxes.

use std::{collections::HashMap, time::Duration};

use helix_proto::{
    ErrorCode, SandboxHostId, SandboxId, UserId,
    sandbox::{
        CreateSandboxRequest, Egress, Sandbox, SandboxEnd, SandboxEndKind, SandboxLimits,
        SandboxPhase, SandboxState,
        host::{Origin, SandboxSpec, SandboxStatus},
    },
    tunnel::TunnelState,
};
use helix_scheduler::sandboxes::{Availability, Host, Need, NoHost, Overcommit, Promised, place};
use tokio::task::JoinHandle;

use super::{Action, HostView, SETTLE, Sandboxes, quota};
use crate::{
    api::Failure,
    auth::Identity,
    machines::Error,
    options::SandboxOptions,
    store::sandboxes::{ListFilter, StoredSandbox, Usage},
};

/// How long who deletes a sandbox waits until nothing is left of it.
const REMOVED: Duration = Duration::from_secs(20);

impl Sandboxes {
    /// Makes a sandbox for the caller: at once as a row, then on a host.
    ///
    /// # Errors
    /// A snapshot that the caller does not have, a quota, or no host with room.
    pub(crate) async fn create(
        &self,
        caller: &Identity,
        request: CreateSandboxRequest,
    ) -> Result<Sandbox, Failure> {
        let id: SandboxId = self.inner.ids.next();
        let now_ms = self.inner.clock.now_ms();
        let only = request.host_id;
        let name = request.name.unwrap_or_else(|| made_up(id));
        let mut spec = SandboxSpec {
            id,
            name,
            rootfs: request.rootfs,
            egress: request.egress,
            limits: request.limits.unwrap_or(SandboxLimits::DEFAULT),
            docker: request.docker,
            desktop: request.desktop,
            env: request.env,
            idle_timeout_ms: request.idle_timeout_ms,
            expires_at_ms: request.ttl_ms.map(|ttl| now_ms.saturating_add(ttl)),
            origin: None,
        };
        self.inner
            .secrets
            .check(caller.user_id, &request.secrets)
            .await?;
        let mut host = only;
        if let Some(snapshot) = request.snapshot_id {
            let from = self.snapshot(caller, snapshot).await?;
            if only.is_some_and(|only| only != from.host_id) {
                let why = format!("the snapshot is on {}: leave the host out", from.host_id);
                return Err(Failure::invalid("host_id", why));
            }
            host = Some(from.host_id);
            let limits = request.limits.unwrap_or(from.spec.limits);
            spec = inherited(spec, from.spec, limits)?;
            spec.origin = Some(Origin::Snapshot(snapshot));
        }
        if let Some(host) = host
            && self.inner.machines.look(host, |_, _| ()).is_none()
        {
            return Err(Failure::invalid("host_id", "there is no such sandbox host"));
        }
        let sandbox = self.add(caller.user_id, spec, host).await?;
        if !request.secrets.is_empty() {
            // It may run by now; if not, it is given them when it does.
            self.set_secrets(id, caller.user_id, &request.secrets)
                .await?;
        }
        Ok(sandbox)
    }

    /// Makes a sandbox with the files of another as they are now, on the same host.
    ///
    /// # Errors
    /// As [`Self::create`]; not found.
    pub(crate) async fn fork(
        &self,
        caller: &Identity,
        id: SandboxId,
        name: Option<String>,
    ) -> Result<Sandbox, Failure> {
        let from = self.find(id).await?;
        // Said at once: the files are on that host only.
        self.client(from.host_id)?;
        let now_ms = self.inner.clock.now_ms();
        let fork: SandboxId = self.inner.ids.next();
        let lasts = |at_ms: u64| now_ms.saturating_add(at_ms.saturating_sub(from.created_at_ms));
        let spec = SandboxSpec {
            id: fork,
            name: name.unwrap_or_else(|| made_up(fork)),
            expires_at_ms: from.spec.expires_at_ms.map(lasts),
            origin: Some(Origin::Sandbox(id)),
            ..from.spec
        };
        self.add(caller.user_id, spec, Some(from.host_id)).await
    }

    /// Chooses a host, adds the row, and has the sandbox made.
    async fn add(
        &self,
        user_id: UserId,
        spec: SandboxSpec,
        only: Option<SandboxHostId>,
    ) -> Result<Sandbox, Failure> {
        let now_ms = self.inner.clock.now_ms();
        let limits = spec.limits;
        let placing = self.inner.placing.lock().await;
        let host_id = self.place(&spec, only).await?;
        let sandbox = StoredSandbox {
            user_id,
            host_id,
            deadline_at_ms: Some(self.deadline(spec.id)),
            spec,
            state: SandboxState::Creating,
            phase: Some(SandboxPhase::Placing),
            end: None,
            made: false,
            abandoned: false,
            created_at_ms: now_ms,
            used_at_ms: now_ms,
        };
        let options = &self.inner.options;
        self.inner
            .store
            .insert_sandbox(&sandbox, |used| {
                quota::check(options, &used.with_new(&limits))
            })
            .await??;
        drop(placing);
        tracing::info!(sandbox = %sandbox.id(), host = %host_id, "a sandbox is made");
        self.tell(sandbox.clone());
        self.spawn_making(sandbox.clone());
        Ok(self.shown(sandbox))
    }

    /// The host with the most room.
    async fn place(
        &self,
        spec: &SandboxSpec,
        only: Option<SandboxHostId>,
    ) -> Result<SandboxHostId, Failure> {
        let promised = self.inner.store.promised().await?;
        let views = self.host_views();
        let hosts = views.iter().map(|view| placeable(view, &promised));
        let need = Need {
            limits: &spec.limits,
            rootfs: &spec.rootfs,
            docker: spec.docker,
            desktop: spec.desktop.is_some(),
            network: spec.egress != Egress::None,
            only,
        };
        place(hosts, &need, &overcommit(&self.inner.options))
            .map_err(|refused: NoHost| Failure::new(ErrorCode::Unavailable, refused.to_string()))
    }

    /// Asks the host for a sandbox that is creating. If it cannot be asked now, it is
    /// when it connects.
    pub(super) fn spawn_making(&self, sandbox: StoredSandbox) {
        let this = self.clone();
        self.inner.tasks.spawn("make a sandbox", async move {
            this.make(sandbox).await;
        });
    }

    async fn make(&self, sandbox: StoredSandbox) {
        let id = sandbox.id();
        let _turn = self.inner.locks.take(id).await;
        let wanted = match self.inner.store.sandbox(id).await {
            Ok(found) => found.is_some_and(|it| it.state == SandboxState::Creating && !it.made),
            Err(_) => true,
        };
        let Some(client) = self.client(sandbox.host_id).ok().filter(|_| wanted) else {
            return;
        };
        let Err(error) = client.put(&sandbox.spec).await else {
            return;
        };
        tracing::warn!(sandbox = %id, host = %sandbox.host_id, %error, "a sandbox was not made");
        let Error::Refused {
            status, message, ..
        } = error
        else {
            // Whether it is being made is not known: events say, or the deadline.
            return;
        };
        let kind = match status.as_u16() {
            404 => SandboxEndKind::ImageMissing,
            409 | 422 => SandboxEndKind::Unsupported,
            503 => SandboxEndKind::NoCapacity,
            507 => SandboxEndKind::DiskFull,
            _ => SandboxEndKind::Internal,
        };
        let end = SandboxEnd { kind, message };
        let store = &self.inner.store;
        let failed = store
            .fail_sandbox(id, &[SandboxState::Creating], &end)
            .await;
        if let Err(error) = failed {
            tracing::warn!(sandbox = %id, %error, "a failure could not be stored");
        }
        // What cannot be told is seen when lists are fetched again.
        let _ = self.tell_of(id).await;
    }

    /// Deletes a sandbox; once more changes nothing. Returns when nothing is left of
    /// it, or when its host cannot be asked now: it is asked when it connects.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn delete(&self, id: SandboxId) -> Result<(), Failure> {
        let found = self.inner.store.sandbox(id).await?;
        let sandbox = found.ok_or_else(|| Failure::not_found("sandbox"))?;
        if self.inner.store.mark_sandbox_deleted(id).await? {
            tracing::info!(sandbox = %id, "a sandbox is deleted");
            self.tell_deleted(&sandbox);
        }
        // A caller that leaves does not stop it, and one that stays does not wait for
        // a host that is stuck.
        let _ = tokio::time::timeout(REMOVED, self.spawn_removal(sandbox)).await;
        Ok(())
    }

    /// Has the host remove what it has of a sandbox that was deleted or given up.
    pub(super) fn spawn_removal(&self, sandbox: StoredSandbox) -> JoinHandle<Option<()>> {
        let this = self.clone();
        self.inner.tasks.spawn("remove a sandbox", async move {
            let id = sandbox.id();
            let _turn = this.inner.locks.take(id).await;
            let Ok(client) = this.client(sandbox.host_id) else {
                return;
            };
            match client.delete(id).await {
                Err(error) if !error.is_not_found() => {
                    tracing::warn!(sandbox = %id, host = %sandbox.host_id, %error, "a deleted sandbox is still on its host");
                }
                _ => {
                    if let Err(error) = this.removed(id).await {
                        tracing::warn!(sandbox = %id, %error, "a deleted sandbox is still known");
                    }
                }
            }
        })
    }

    /// Does something to a whole sandbox.
    ///
    /// # Errors
    /// Not found, a state that does not allow it, a quota, or what the host says.
    pub(crate) async fn act(&self, id: SandboxId, action: Action) -> Result<Sandbox, Failure> {
        let sandbox = self.find(id).await?;
        if sandbox.abandoned || sandbox.state == SandboxState::Creating {
            let why = match sandbox.state {
                SandboxState::Creating => "the sandbox is being made: wait until it runs",
                _ => "the sandbox was never made: delete it, and make another",
            };
            return Err(Failure::conflict(why));
        }
        let client = self.client(sandbox.host_id)?;
        let _turn = self.inner.locks.take(id).await;
        let started = action == Action::Start && self.begin_start(&sandbox).await?;
        match client.act(id, action).await {
            Ok(status) => Ok(self.settled(sandbox, status).await?),
            Err(error) => {
                // After anything else events say how it is, or the deadline does.
                if started
                    && matches!(error, Error::Refused { .. })
                    && self.inner.store.undo_start(&sandbox).await?
                {
                    self.tell_of(id).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Has the database know that a sandbox starts. Whether it is one that can.
    async fn begin_start(&self, sandbox: &StoredSandbox) -> Result<bool, Failure> {
        match sandbox.state {
            SandboxState::Running => return Ok(false),
            SandboxState::Paused => {
                return Err(Failure::conflict("the sandbox is paused: resume it"));
            }
            _ => {}
        }
        let options = &self.inner.options;
        let limits = sandbox.spec.limits;
        let deadline = self.deadline(sandbox.id());
        let store = &self.inner.store;
        let begun = store
            .begin_start(sandbox, deadline, |used| {
                quota::check(options, &used.with(&limits))
            })
            .await??;
        self.tell_of(sandbox.id()).await?;
        Ok(begun)
    }

    /// The sandbox as its host answered, once an event has said so too, so that who
    /// looks next sees it.
    async fn settled(
        &self,
        before: StoredSandbox,
        status: SandboxStatus,
    ) -> Result<Sandbox, Failure> {
        let id = before.id();
        let mut changes = self.inner.changes.subscribe();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let found = self.inner.store.sandbox(id).await?;
                let as_said = |it: &StoredSandbox| {
                    it.state == status.state && it.spec.egress == status.egress
                };
                match found {
                    Some(found) if !as_said(&found) => {}
                    found => return Ok::<_, Failure>(found),
                }
                if changes.changed().await.is_err() {
                    return Ok(None);
                }
            }
        };
        let sandbox = match tokio::time::timeout(SETTLE, waiting).await {
            Ok(Ok(Some(sandbox))) => sandbox,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(None)) | Err(_) => StoredSandbox {
                state: status.state,
                phase: status.phase,
                end: status.end,
                used_at_ms: status.used_at_ms,
                spec: SandboxSpec {
                    egress: status.egress,
                    ..before.spec
                },
                ..before
            },
        };
        Ok(self.shown(sandbox))
    }

    /// Sandboxes that are not deleted, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn list(
        &self,
        filter: ListFilter,
        before: Option<SandboxId>,
        limit: u32,
    ) -> Result<Vec<Sandbox>, Failure> {
        let found = self.inner.store.sandboxes(filter, before, limit).await?;
        Ok(found.into_iter().map(|it| self.shown(it)).collect())
    }
}

/// A host as placement sees it.
pub(super) fn placeable<'a>(
    view: &'a HostView,
    promised: &HashMap<SandboxHostId, Usage>,
) -> Host<'a> {
    let promised = promised.get(&view.known.id).copied().unwrap_or_default();
    Host {
        id: view.known.id,
        availability: match view.reached() {
            TunnelState::Connected if view.known.draining => Availability::Draining,
            TunnelState::Connected => Availability::Online,
            TunnelState::Reconnecting | TunnelState::Disconnected => Availability::Unreachable,
        },
        info: view.known.info.as_ref(),
        promised: Promised {
            cpu_millis: promised.cpu_millis,
            memory_bytes: promised.memory_bytes,
            disk_bytes: promised.disk_bytes,
        },
    }
}

pub(super) const fn overcommit(options: &SandboxOptions) -> Overcommit {
    Overcommit {
        cpu_percent: options.cpu_overcommit_percent,
        memory_percent: options.memory_overcommit_percent,
        disk_percent: options.disk_overcommit_percent,
    }
}

/// A name for what was given none.
pub(super) fn made_up(id: impl std::fmt::Display) -> String {
    let id = id.to_string().to_lowercase();
    let (kind, rest) = match id.split_once('_') {
        Some(("snp", rest)) => ("snapshot", rest),
        Some((_, rest)) => ("sandbox", rest),
        None => ("sandbox", &*id),
    };
    // The end of an id is random, its beginning is the time.
    format!("{kind}-{}", &rest[rest.len().saturating_sub(6)..])
}

/// What a sandbox takes over from a snapshot: what was not said, and what cannot be
/// another.
fn inherited(
    asked: SandboxSpec,
    from: SandboxSpec,
    limits: SandboxLimits,
) -> Result<SandboxSpec, Failure> {
    if asked.rootfs != from.rootfs && asked.rootfs != helix_proto::sandbox::Rootfs::default() {
        return Err(Failure::invalid(
            "rootfs",
            "the snapshot was taken of another root file system: leave it out",
        ));
    }
    if limits.disk_bytes < from.limits.disk_bytes {
        return Err(Failure::invalid(
            "limits",
            format!(
                "the snapshot's disk may have {} bytes, more than disk_bytes says",
                from.limits.disk_bytes
            ),
        ));
    }
    let mut env = from.env;
    env.extend(asked.env);
    Ok(SandboxSpec {
        rootfs: from.rootfs,
        egress: if asked.egress == Egress::default() {
            from.egress
        } else {
            asked.egress
        },
        limits,
        docker: asked.docker || from.docker,
        desktop: asked.desktop.or(from.desktop),
        env,
        idle_timeout_ms: asked.idle_timeout_ms.or(from.idle_timeout_ms),
        ..asked
    })
}
