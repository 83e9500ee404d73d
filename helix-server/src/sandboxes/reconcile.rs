//! Brings together what must exist and what a host says there is.

use std::collections::HashSet;

use helix_proto::{
    SandboxHostId, SandboxId,
    sandbox::{SandboxEnd, SandboxEndKind, SandboxState, host::SandboxStatus},
};

use super::Sandboxes;
use crate::store::{self, sandboxes::StoredSandbox};

/// Longest reason for an end that is kept.
const MAX_REASON: usize = 4 << 10;

/// The end of a sandbox that its host does not have any more.
fn lost() -> SandboxEnd {
    SandboxEnd {
        kind: SandboxEndKind::HostRestarted,
        message: "the host no longer has it: delete it, and make another".to_owned(),
    }
}

/// Whether a sandbox is deleted says the database alone.
const fn is_news(status: &SandboxStatus) -> bool {
    !matches!(status.state, SandboxState::Deleted)
}

/// What is stored of what a host says: a reason of no more than so many bytes.
fn bounded(status: &SandboxStatus) -> SandboxStatus {
    let mut status = status.clone();
    status.phases.clear();
    if let Some(end) = &mut status.end {
        let most = end.message.floor_char_boundary(MAX_REASON);
        end.message.truncate(most);
    }
    status
}

impl Sandboxes {
    /// A host that is connected said everything that it has. [`Self::moved`] tells
    /// about it.
    pub(super) async fn reconcile(
        &self,
        host: SandboxHostId,
        there: &[SandboxStatus],
    ) -> Result<(), store::Error> {
        for status in there {
            if is_news(status) {
                let store = &self.inner.store;
                store.apply_settings(host, status).await?;
                store.apply_status(host, &bounded(status)).await?;
            }
        }
        for sandbox in self.inner.store.sandboxes_with_secrets(host).await? {
            // It may have been started again meanwhile.
            self.forget_given(sandbox.id());
            self.now_is(&sandbox);
        }
        let there: HashSet<SandboxId> = there.iter().map(|status| status.id).collect();
        for sandbox in self.inner.store.sandboxes_on(host).await? {
            let has = there.contains(&sandbox.id());
            match sandbox.state {
                SandboxState::Deleted if has => {
                    self.spawn_removal(sandbox);
                }
                SandboxState::Deleted => self.forget(&sandbox).await?,
                // A start of one that is not there comes to nothing.
                SandboxState::Creating if !has && sandbox.made => self.lose(&sandbox).await?,
                SandboxState::Creating if !has => self.spawn_making(sandbox),
                SandboxState::Running | SandboxState::Paused | SandboxState::Stopped if !has => {
                    self.lose(&sandbox).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A host said how one of its sandboxes is. What it is set to is known better here while
    /// the host is connected: what was said before a change may be heard after it.
    pub(super) async fn reported(
        &self,
        host: SandboxHostId,
        status: &SandboxStatus,
    ) -> Result<(), store::Error> {
        if is_news(status)
            && let Some(sandbox) = self
                .inner
                .store
                .apply_status(host, &bounded(status))
                .await?
        {
            self.now_is(&sandbox);
            self.tell(sandbox);
        }
        Ok(())
    }

    /// A host said that it has nothing left of a sandbox.
    pub(super) async fn gone(
        &self,
        host: SandboxHostId,
        id: SandboxId,
    ) -> Result<(), store::Error> {
        let found = self.inner.store.sandbox(id).await?;
        let Some(sandbox) = found.filter(|it| it.host_id == host) else {
            return Ok(());
        };
        match sandbox.state {
            SandboxState::Deleted => self.forget(&sandbox).await,
            SandboxState::Failed => Ok(()),
            _ => self.lose(&sandbox).await,
        }
    }

    /// Nothing is left of a sandbox on its host.
    pub(super) async fn removed(&self, id: SandboxId) -> Result<(), store::Error> {
        match self.inner.store.sandbox(id).await? {
            Some(sandbox) if sandbox.state == SandboxState::Deleted => self.forget(&sandbox).await,
            // One that was given up stays for its owner to see, and one that its host
            // said is gone is forgotten by now.
            _ => Ok(()),
        }
    }

    /// Forgets a sandbox that was to be removed, and is.
    async fn forget(&self, sandbox: &StoredSandbox) -> Result<(), store::Error> {
        let (host, id) = (sandbox.host_id, sandbox.id());
        self.inner.store.remove_sandbox(host, id).await?;
        self.forget_given(id);
        self.tell_deleted(sandbox);
        Ok(())
    }

    async fn lose(&self, sandbox: &StoredSandbox) -> Result<(), store::Error> {
        let (id, from) = (sandbox.id(), [sandbox.state]);
        tracing::warn!(sandbox = %id, host = %sandbox.host_id, "a sandbox host lost a sandbox");
        self.forget_given(id);
        if self.inner.store.fail_sandbox(id, &from, &lost()).await?
            && let Some(failed) = self.inner.store.sandbox(id).await?
        {
            self.tell(failed);
        }
        Ok(())
    }

    /// Tells a host what it is to keep.
    pub(super) async fn send_live_set(&self, host: SandboxHostId) {
        let set = match self.live_set(host, false).await {
            Ok(set) => set,
            Err(error) => {
                tracing::warn!(%host, error = &error as &dyn std::error::Error, "what a sandbox host is to keep cannot be read");
                return;
            }
        };
        let Ok(client) = self.client(host) else {
            return;
        };
        match client.live_set(&set).await {
            Ok(report) => {
                for decision in report.decisions.iter().filter(|it| it.remove) {
                    tracing::info!(%host, id = decision.id, reason = decision.reason, "to be removed from a sandbox host");
                }
            }
            Err(error) => tracing::warn!(%host, %error, "a sandbox host did not take its live set"),
        }
    }

    /// A host can be reached again, or no longer: its sandboxes look different.
    pub(super) async fn moved(&self, host: SandboxHostId) {
        match self.inner.store.sandboxes_on(host).await {
            Ok(there) => {
                let shown = there.into_iter();
                for sandbox in shown.filter(|it| it.state != SandboxState::Deleted) {
                    self.tell_owner(sandbox);
                }
            }
            // A hint that is lost: lists are right when they are fetched again.
            Err(error) => tracing::warn!(%host, %error, "sandboxes cannot be read"),
        }
        self.changed();
    }
}
