//! What is changed of a sandbox that exists.

use helix_proto::{
    ErrorCode, SandboxId,
    sandbox::{LimitsUpdate, Sandbox, SandboxLimits, SandboxState, UpdateSandboxRequest},
};
use helix_scheduler::sandboxes::grows;

use super::{
    Sandboxes,
    life::{overcommit, placeable},
    quota,
};
use crate::{api::Failure, machines::Error, store::sandboxes::StoredSandbox};

impl Sandboxes {
    /// Changes what a sandbox is called, what it may reach and use, and how long it lives.
    ///
    /// # Errors
    /// Not found, a quota, too little left on its host, or what the host says. What was
    /// changed before stays so.
    pub(crate) async fn update(
        &self,
        id: SandboxId,
        change: UpdateSandboxRequest,
    ) -> Result<Sandbox, Failure> {
        let sandbox = self.find(id).await?;
        if let Some(name) = &change.name {
            self.inner.store.rename_sandbox(id, name).await?;
            self.tell_of(id).await?;
        }
        if let Some(limits) = &change.limits {
            self.change_limits(&sandbox, limits).await?;
        }
        if change.idle_timeout_ms.is_some() || change.ttl_ms.is_some() {
            self.change_times(&sandbox, &change).await?;
        }
        if let Some(egress) = change.egress {
            let client = self.client(sandbox.host_id)?;
            let _turn = self.inner.locks.take(id).await;
            client.set_egress(id, &egress).await?;
            // One that has no processes says nothing of itself; a host that connects
            // anew says it again.
            self.inner.store.set_sandbox_egress(id, &egress).await?;
            self.tell_of(id).await?;
        }
        let sandbox = self.find(id).await?;
        Ok(self.shown(sandbox))
    }

    /// In the database first, so that nothing is promised twice; and back, where the host
    /// says no.
    async fn change_limits(
        &self,
        sandbox: &StoredSandbox,
        update: &LimitsUpdate,
    ) -> Result<(), Failure> {
        let id = sandbox.id();
        let client = self.client(sandbox.host_id)?;
        let _turn = self.inner.locks.take(id).await;
        let missing = || Failure::not_found("sandbox");
        let sandbox = self.inner.store.sandbox(id).await?.ok_or_else(missing)?;
        let before = sandbox.spec.limits;
        let limits = update.on(&before);
        let check = limits.check();
        check.map_err(|why| Failure::invalid("limits", why))?;
        if limits == before {
            return Ok(());
        }
        self.promise(&sandbox, &limits).await?;
        if let Err(error) = client.set_limits(id, &limits).await {
            // After anything else the host says how it is, when it is back.
            if matches!(error, Error::Refused { .. }) {
                let back = |_: &_| Ok::<_, Failure>(());
                let store = &self.inner.store;
                store.set_sandbox_limits(&sandbox, &before, back).await??;
            }
            return Err(error.into());
        }
        self.tell_of(id).await
    }

    async fn promise(
        &self,
        sandbox: &StoredSandbox,
        limits: &SandboxLimits,
    ) -> Result<(), Failure> {
        let _placing = self.inner.placing.lock().await;
        let more = growth(sandbox, limits);
        let grown = more != NOTHING;
        if grown {
            let promised = self.inner.store.promised().await?;
            let view = self.inner.machines.get(sandbox.host_id);
            let view = view.ok_or_else(|| Failure::not_found("sandbox host"))?;
            let host = placeable(&view, &promised);
            grows(&host, &more, &overcommit(&self.inner.options)).map_err(|short| {
                let message = format!("its host has too little left: {short}");
                Failure::new(ErrorCode::Unavailable, message)
            })?;
        }
        let options = &self.inner.options;
        let store = &self.inner.store;
        let changed = store.set_sandbox_limits(sandbox, limits, |used| {
            if grown {
                quota::check(options, used)
            } else {
                Ok(())
            }
        });
        changed.await?
    }

    async fn change_times(
        &self,
        sandbox: &StoredSandbox,
        change: &UpdateSandboxRequest,
    ) -> Result<(), Failure> {
        let id = sandbox.id();
        let client = self.client(sandbox.host_id)?;
        let _turn = self.inner.locks.take(id).await;
        let missing = || Failure::not_found("sandbox");
        let sandbox = self.inner.store.sandbox(id).await?.ok_or_else(missing)?;
        let mut times = sandbox.spec.times();
        if let Some(idle) = change.idle_timeout_ms {
            times.idle_timeout_ms = idle;
        }
        if let Some(ttl) = change.ttl_ms {
            let now_ms = self.inner.clock.now_ms();
            times.expires_at_ms = ttl.map(|ttl| now_ms.saturating_add(ttl));
        }
        client.set_times(id, &times).await?;
        self.inner.store.set_sandbox_times(id, &times).await?;
        self.tell_of(id).await
    }
}

const NOTHING: SandboxLimits = SandboxLimits {
    cpu_millis: 0,
    memory_bytes: 0,
    pids: 0,
    disk_bytes: 0,
    open_files: 0,
};

/// How much more is promised: of what only runs, nothing while it does not.
fn growth(sandbox: &StoredSandbox, limits: &SandboxLimits) -> SandboxLimits {
    let before = &sandbox.spec.limits;
    let lives = matches!(
        sandbox.state,
        SandboxState::Creating | SandboxState::Running | SandboxState::Paused
    );
    let if_lives = |more: u64| if lives { more } else { 0 };
    let cpu = limits.cpu_millis.saturating_sub(before.cpu_millis);
    SandboxLimits {
        cpu_millis: if lives { cpu } else { 0 },
        memory_bytes: if_lives(limits.memory_bytes.saturating_sub(before.memory_bytes)),
        disk_bytes: limits.disk_bytes.saturating_sub(before.disk_bytes),
        ..NOTHING
    }
}
