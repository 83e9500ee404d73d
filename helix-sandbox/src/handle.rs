//! A running sandbox host, from within its process.

use helix_proto::{
    ApiError, ErrorCode, SandboxId, SnapshotId,
    sandbox::{
        Egress, SandboxLimits, SandboxLog, SandboxStats,
        host::{
            HostCapacity, HostEvent, HostInfo, HostUse, LiveSet, LiveSetReport, SandboxSpec,
            SandboxStatus, SandboxTimes, SnapshotStatus,
        },
    },
};
use helix_tunnel::AgentState;
use tokio::sync::{broadcast, watch};

use crate::{
    machine::Identity,
    sandbox::{Ask, Sandbox},
    sandboxes::Sandboxes,
};

/// A running sandbox host, from within its process: everything that the control plane can
/// ask of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) sandboxes: Sandboxes,
    pub(crate) identity: Identity,
    pub(crate) connection: Option<watch::Receiver<AgentState>>,
}

impl Handle {
    /// Everything about the host, as of now.
    pub async fn info(&self) -> HostInfo {
        let Identity {
            boot_id,
            hostname,
            platform,
        } = self.identity.clone();
        let isolation = &self.sandboxes.shared().isolation;
        let images = isolation.images().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the images cannot be listed");
            Vec::new()
        });
        HostInfo {
            boot_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname,
            platform,
            backend: isolation.name().to_owned(),
            capabilities: isolation.capabilities(),
            capacity: self.capacity(),
            images,
        }
    }

    /// What the host has, and what of it is promised.
    pub fn capacity(&self) -> HostCapacity {
        self.sandboxes.capacity()
    }

    /// All sandboxes, oldest first.
    pub fn statuses(&self) -> Vec<SandboxStatus> {
        self.sandboxes.statuses()
    }

    /// One sandbox.
    pub fn status(&self, id: SandboxId) -> Option<SandboxStatus> {
        self.sandboxes.find(id).map(|sandbox| sandbox.status())
    }

    /// Makes a sandbox and starts it. Idempotent by id. It answers at once: follow it.
    ///
    /// # Errors
    ///
    /// Limits that cannot be kept, a disk that is nearly full, too many sandboxes.
    pub fn create(&self, spec: SandboxSpec) -> Result<SandboxStatus, ApiError> {
        self.sandboxes.put(spec)
    }

    /// Begins to start a sandbox that is stopped or has failed. Idempotent.
    ///
    /// # Errors
    ///
    /// There is none by that id, or it cannot be started.
    pub async fn start(&self, id: SandboxId) -> Result<SandboxStatus, ApiError> {
        self.ask(id, Ask::Start).await
    }

    /// Lets a sandbox stand still. Idempotent.
    ///
    /// # Errors
    ///
    /// There is none by that id, or it does not run.
    pub async fn pause(&self, id: SandboxId) -> Result<SandboxStatus, ApiError> {
        self.ask(id, Ask::Pause).await
    }

    /// Lets a sandbox go on. Idempotent.
    ///
    /// # Errors
    ///
    /// There is none by that id, or it does not run.
    pub async fn resume(&self, id: SandboxId) -> Result<SandboxStatus, ApiError> {
        self.ask(id, Ask::Resume).await
    }

    /// Ends all processes of a sandbox, and keeps its files. Idempotent.
    ///
    /// # Errors
    ///
    /// There is none by that id, or a process would not end.
    pub async fn stop(&self, id: SandboxId) -> Result<SandboxStatus, ApiError> {
        self.ask(id, Ask::Stop).await
    }

    /// Removes a sandbox with everything of it. Idempotent.
    ///
    /// # Errors
    ///
    /// Something could not be removed; the host tries again by itself.
    pub async fn delete(&self, id: SandboxId) -> Result<(), ApiError> {
        self.sandboxes.delete(id).await
    }

    /// Changes what a sandbox may reach, at once, running or not.
    ///
    /// # Errors
    ///
    /// There is none by that id, or a rule cannot be read.
    pub async fn set_egress(
        &self,
        id: SandboxId,
        egress: Egress,
    ) -> Result<SandboxStatus, ApiError> {
        self.find(id)?.set_egress(egress).await
    }

    /// Changes the most that a sandbox may use, as far as that can be changed now.
    ///
    /// # Errors
    ///
    /// There is none by that id, the limits cannot be kept, or one of them cannot be
    /// changed while it runs.
    pub async fn set_limits(
        &self,
        id: SandboxId,
        limits: SandboxLimits,
    ) -> Result<SandboxStatus, ApiError> {
        self.find(id)?.set_limits(limits).await
    }

    /// Changes when a sandbox is stopped although nobody asks.
    ///
    /// # Errors
    ///
    /// There is none by that id.
    pub async fn set_times(
        &self,
        id: SandboxId,
        times: SandboxTimes,
    ) -> Result<SandboxStatus, ApiError> {
        Ok(self.find(id)?.set_times(times).await)
    }

    /// What a sandbox uses now.
    ///
    /// # Errors
    ///
    /// There is none by that id, or it cannot be measured.
    pub async fn stats(&self, id: SandboxId) -> Result<SandboxStats, ApiError> {
        self.find(id)?.stats().await
    }

    /// What the machine and all sandboxes that run use now, at most a second old.
    pub async fn stats_of_all(&self) -> HostUse {
        HostUse {
            at_ms: self.sandboxes.shared().clock.now_ms(),
            capacity: self.capacity(),
            sandboxes: self.sandboxes.uses().await.to_vec(),
        }
    }

    /// The newest lines of a sandbox's log, with those of its Docker daemon while it runs.
    ///
    /// # Errors
    ///
    /// There is none by that id.
    pub async fn log(&self, id: SandboxId, tail: usize) -> Result<SandboxLog, ApiError> {
        let lines = self.find(id)?.log(tail).await;
        Ok(SandboxLog { lines })
    }

    /// Keeps a sandbox's files as they are now. Idempotent.
    ///
    /// # Errors
    ///
    /// There is none by that id, or its files cannot be kept.
    pub async fn snapshot(
        &self,
        id: SandboxId,
        snapshot: SnapshotId,
    ) -> Result<SnapshotStatus, ApiError> {
        let sandbox = self.find(id)?;
        self.sandboxes.snapshot(sandbox, snapshot).await
    }

    /// Removes a snapshot. Idempotent.
    ///
    /// # Errors
    ///
    /// Its files could not be removed.
    pub async fn delete_snapshot(&self, id: SnapshotId) -> Result<(), ApiError> {
        self.sandboxes.remove_snapshot(id).await
    }

    /// Removes what is not in the set, after a grace; answers what becomes of each.
    ///
    /// # Errors
    ///
    /// The snapshots cannot be listed.
    pub async fn live_set(&self, set: &LiveSet) -> Result<LiveSetReport, ApiError> {
        self.sandboxes.live_set(set).await
    }

    /// Follows what changes. A reader that is too slow misses events, and is told so: it
    /// should ask for [`Handle::info`] and [`Handle::statuses`] then.
    pub fn subscribe(&self) -> broadcast::Receiver<HostEvent> {
        self.sandboxes.shared().events.subscribe()
    }

    /// Follows the connection to the control plane; `None` for a host that was not given
    /// one.
    pub fn connection(&self) -> Option<watch::Receiver<AgentState>> {
        self.connection.clone()
    }

    async fn ask(&self, id: SandboxId, ask: Ask) -> Result<SandboxStatus, ApiError> {
        self.find(id)?.ask(ask).await
    }

    pub(crate) fn find(&self, id: SandboxId) -> Result<Sandbox, ApiError> {
        self.sandboxes.find(id).ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotFound,
                format!("this host has no sandbox {id}"),
            )
        })
    }
}
