//! The control plane's side of `helix_proto::sandbox::host`: typed calls to a sandbox
//! host over its tunnel.

use std::time::Duration;

use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{
        Egress, SandboxLimits, SandboxLog, SandboxStats,
        host::{
            HostUse, LiveSet, LiveSetReport, SandboxSpec, SandboxStatus, SandboxTimes,
            SnapshotStatus,
        },
    },
};
use helix_tunnel::Tunnel;
use http::Method;

use crate::machines::{
    Error, Role,
    calls::{Calls, SOON},
};

/// How long a host may take to stop, start or remove a sandbox.
const WORK: Duration = Duration::from_secs(60);

/// How long it may take to copy a sandbox's disk.
const COPY: Duration = Duration::from_secs(600);

/// What is done to a whole sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Its processes stand still.
    Pause,
    /// Its processes go on.
    Resume,
    /// Its processes end.
    Stop,
    /// It runs again.
    Start,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Start => "start",
        }
    }
}

/// One connected host, to be called. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    calls: Calls,
}

impl Client {
    pub(super) const fn new(tunnel: Tunnel) -> Self {
        Self {
            calls: Calls::new(tunnel, Role::SandboxHost),
        }
    }

    pub(super) const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The way to the host.
    pub(crate) const fn tunnel(&self) -> &Tunnel {
        self.calls.tunnel()
    }

    /// Makes a sandbox; the same id again changes nothing.
    pub(super) async fn put(&self, spec: &SandboxSpec) -> Result<SandboxStatus, Error> {
        let path = format!("sandboxes/{}", spec.id);
        self.calls.json(Method::PUT, &path, Some(spec), WORK).await
    }

    /// Does something to a whole sandbox.
    pub(super) async fn act(&self, id: SandboxId, action: Action) -> Result<SandboxStatus, Error> {
        let path = format!("sandboxes/{id}/{}", action.name());
        self.calls
            .json(Method::POST, &path, None::<&()>, WORK)
            .await
    }

    /// Removes a sandbox, with everything of it.
    pub(super) async fn delete(&self, id: SandboxId) -> Result<(), Error> {
        let path = format!("sandboxes/{id}");
        self.calls.done(Method::DELETE, &path, WORK).await
    }

    /// Changes what a sandbox may reach.
    pub(super) async fn set_egress(
        &self,
        id: SandboxId,
        egress: &Egress,
    ) -> Result<SandboxStatus, Error> {
        let path = format!("sandboxes/{id}/egress");
        self.calls
            .json(Method::PUT, &path, Some(egress), SOON)
            .await
    }

    /// Changes the most that a sandbox may use.
    pub(super) async fn set_limits(
        &self,
        id: SandboxId,
        limits: &SandboxLimits,
    ) -> Result<SandboxStatus, Error> {
        let path = format!("sandboxes/{id}/limits");
        self.calls
            .json(Method::PUT, &path, Some(limits), WORK)
            .await
    }

    /// Changes when a sandbox is stopped although nobody asks.
    pub(super) async fn set_times(
        &self,
        id: SandboxId,
        times: &SandboxTimes,
    ) -> Result<SandboxStatus, Error> {
        let path = format!("sandboxes/{id}/times");
        self.calls.json(Method::PUT, &path, Some(times), SOON).await
    }

    /// What the host and its sandboxes use.
    pub(crate) async fn use_of_all(&self) -> Result<HostUse, Error> {
        self.calls
            .json(Method::GET, "stats", None::<&()>, SOON)
            .await
    }

    /// What a sandbox uses.
    pub(crate) async fn stats(&self, id: SandboxId) -> Result<SandboxStats, Error> {
        let path = format!("sandboxes/{id}/stats");
        self.calls.json(Method::GET, &path, None::<&()>, SOON).await
    }

    /// The last lines of a sandbox's log.
    pub(crate) async fn logs(&self, id: SandboxId, tail: u32) -> Result<SandboxLog, Error> {
        let path = format!("sandboxes/{id}/logs?tail={tail}");
        self.calls.json(Method::GET, &path, None::<&()>, SOON).await
    }

    /// Takes a snapshot.
    pub(super) async fn put_snapshot(
        &self,
        id: SandboxId,
        snapshot: SnapshotId,
    ) -> Result<SnapshotStatus, Error> {
        let path = format!("sandboxes/{id}/snapshots/{snapshot}");
        self.calls.json(Method::PUT, &path, None::<&()>, COPY).await
    }

    /// Removes a snapshot.
    pub(super) async fn delete_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        let path = format!("snapshots/{id}");
        self.calls.done(Method::DELETE, &path, WORK).await
    }

    /// Tells the host what it is to keep.
    pub(super) async fn live_set(&self, set: &LiveSet) -> Result<LiveSetReport, Error> {
        self.calls
            .json(Method::POST, "live-set", Some(set), WORK)
            .await
    }
}
