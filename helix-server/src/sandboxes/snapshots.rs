//! Snapshots of sandboxes.

use helix_proto::{
    SandboxId, SnapshotId, auth::Role as UserRole, sandbox::SandboxState, sandbox::Snapshot,
};

use super::{Sandboxes, life::made_up};
use crate::{
    api::Failure,
    auth::Identity,
    events::{Notice, Topic},
    store::snapshots::StoredSnapshot,
};

impl Sandboxes {
    /// A snapshot that the caller may use.
    ///
    /// # Errors
    /// Not found, also for another's and for one that is being taken.
    pub(crate) async fn snapshot(
        &self,
        caller: &Identity,
        id: SnapshotId,
    ) -> Result<StoredSnapshot, Failure> {
        let found = self.inner.store.snapshot_by_id(id).await?;
        found
            .filter(|it| it.user_id == caller.user_id || caller.role == UserRole::Admin)
            .filter(|it| it.size_bytes.is_some())
            .ok_or_else(|| Failure::not_found("snapshot"))
    }

    /// Takes a snapshot of a sandbox's files; returns when it was taken.
    ///
    /// # Errors
    /// Not found, a quota, or what the host says.
    pub(crate) async fn take_snapshot(
        &self,
        caller: &Identity,
        id: SandboxId,
        name: Option<String>,
    ) -> Result<Snapshot, Failure> {
        let sandbox = self.find(id).await?;
        if !sandbox.made || sandbox.state == SandboxState::Creating {
            return Err(Failure::conflict(
                "the sandbox is being made, or was never made: nothing of it can be kept",
            ));
        }
        let client = self.client(sandbox.host_id)?;
        let snapshot: SnapshotId = self.inner.ids.next();
        let mut stored = StoredSnapshot {
            id: snapshot,
            user_id: caller.user_id,
            host_id: sandbox.host_id,
            sandbox_id: id,
            name: name.unwrap_or_else(|| made_up(snapshot)),
            spec: sandbox.spec,
            size_bytes: None,
            created_at_ms: self.inner.clock.now_ms(),
        };
        let most = self.inner.options.max_snapshots_per_user;
        let store = self.inner.store.clone();
        if !store.insert_snapshot(&stored, most.into()).await? {
            return Err(Failure::conflict(format!(
                "you have {most} snapshots, which is the most: delete some"
            )));
        }
        let this = self.clone();
        // A caller that leaves does not stop it half-way.
        let taking = self.inner.tasks.spawn("take a snapshot", async move {
            match client.put_snapshot(id, snapshot).await {
                Ok(status) => {
                    stored.size_bytes = Some(status.size_bytes);
                    store.snapshot_taken(snapshot, status.size_bytes).await?;
                    this.tell_snapshots(&stored);
                    Ok(stored)
                }
                Err(error) => {
                    // What the host has of it goes with the next live set.
                    store.delete_snapshot(snapshot).await?;
                    Err(Failure::from(error))
                }
            }
        });
        let taken = taking.await.ok().flatten();
        let stopping = || {
            let code = helix_proto::ErrorCode::Unavailable;
            Failure::new(code, "the control plane is stopping")
        };
        let stored = taken.ok_or_else(stopping)??;
        stored.shown().ok_or_else(|| Failure::not_found("snapshot"))
    }

    /// Deletes a snapshot. Its host is asked to remove it, now or when it connects.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn delete_snapshot(
        &self,
        caller: &Identity,
        id: SnapshotId,
    ) -> Result<(), Failure> {
        let snapshot = self.snapshot(caller, id).await?;
        self.inner.store.delete_snapshot(id).await?;
        self.tell_snapshots(&snapshot);
        if let Ok(client) = self.client(snapshot.host_id) {
            let removing = self.inner.tasks.spawn("remove a snapshot", async move {
                if let Err(error) = client.delete_snapshot(id).await {
                    tracing::warn!(snapshot = %id, %error, "a deleted snapshot is still on its host");
                }
            });
            // A caller that leaves does not stop it.
            let _ = removing.await;
        }
        Ok(())
    }

    fn tell_snapshots(&self, snapshot: &StoredSnapshot) {
        let owner = Topic::User(snapshot.user_id);
        self.inner.bus.publish(owner, Notice::SnapshotsChanged);
    }
}
