//! A running runner, from within its process.

use std::sync::Arc;

use helix_proto::{
    ApiError, InstanceId,
    runner::{
        Device, DeviceKind, EngineInfo, InspectRequest, InspectResponse, InstanceStatus,
        RunnerEvent, RunnerInfo, StartInstance,
    },
};
use helix_tunnel::AgentState;
use tokio::sync::{broadcast, watch};

use crate::{instance::Gate, instances::Instances, sources::Fetcher};

/// A running runner, from within its process: everything that the control
/// plane can ask of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) instances: Instances,
    pub(crate) devices: watch::Receiver<Vec<Device>>,
    pub(crate) identity: Identity,
    pub(crate) fetcher: Fetcher,
    pub(crate) connection: Option<watch::Receiver<AgentState>>,
}

/// What does not change while a runner runs.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) boot_id: String,
    pub(crate) hostname: String,
    pub(crate) platform: String,
}

impl Handle {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Everything about the runner, as of now.
    pub async fn info(&self) -> RunnerInfo {
        let Identity {
            boot_id,
            hostname,
            platform,
        } = self.inner.identity.clone();
        RunnerInfo {
            boot_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname,
            platform,
            devices: self.devices(),
            engines: self.engines().await,
            instances: self.inner.instances.statuses(),
        }
    }

    /// The devices as they were last seen.
    pub fn devices(&self) -> Vec<Device> {
        self.inner.devices.borrow().clone()
    }

    /// Which engines can be used now.
    pub async fn engines(&self) -> Vec<EngineInfo> {
        let mut engines = Vec::new();
        for engine in self.inner.instances.shared().engines.values() {
            engines.push(engine.detect().await);
        }
        engines.sort_by_key(|engine| engine.kind);
        engines
    }

    /// Starts an instance. Idempotent: where there is one by that id, ended or
    /// not, it answers how that is.
    ///
    /// # Errors
    ///
    /// When the settings cannot be accepted; nothing has begun then.
    pub fn start(&self, id: InstanceId, start: StartInstance) -> Result<InstanceStatus, ApiError> {
        self.inner.instances.start(id, start, &self.devices())
    }

    /// Has an instance drain and stop, and answers how it is now; `None` when
    /// there is none by that id. Idempotent.
    pub fn stop(&self, id: InstanceId) -> Option<InstanceStatus> {
        self.inner.instances.stop(id)
    }

    /// How an instance is now.
    pub fn instance(&self, id: InstanceId) -> Option<InstanceStatus> {
        self.inner.instances.status(id)
    }

    /// Follows an instance; only the latest status is kept for a slow reader.
    pub fn follow(&self, id: InstanceId) -> Option<watch::Receiver<InstanceStatus>> {
        self.inner.instances.follow(id)
    }

    /// The last lines of an instance's log.
    pub fn log(&self, id: InstanceId, lines: usize) -> Option<Vec<String>> {
        self.inner.instances.log(id, lines)
    }

    /// What a model would need, from the header of its weights, which are not
    /// fetched for that.
    ///
    /// # Errors
    ///
    /// When the settings cannot work, or the weights are not where they should be.
    pub async fn inspect(&self, request: &InspectRequest) -> Result<InspectResponse, ApiError> {
        let kind = self
            .devices()
            .first()
            .map_or(DeviceKind::Cpu, |device| device.kind);
        crate::inspect::inspect(request, kind, &self.inner.fetcher).await
    }

    /// Follows what changes. A reader that is too slow misses events, and is
    /// told so: it should ask for [`Handle::info`] then.
    pub fn subscribe(&self) -> broadcast::Receiver<RunnerEvent> {
        self.inner.instances.shared().events.subscribe()
    }

    /// Ends when the runner shuts down and every instance has had its last word.
    pub(crate) async fn over(&self) {
        self.inner.instances.over().await;
    }

    /// Follows the connection to the control plane; `None` for a runner that
    /// was not given one.
    pub fn connection(&self) -> Option<watch::Receiver<AgentState>> {
        self.inner.connection.clone()
    }

    /// Tells everyone who follows.
    pub(crate) fn tell(&self, event: RunnerEvent) {
        // Nobody may be listening.
        let _ = self.inner.instances.shared().events.send(event);
    }

    pub(crate) fn gate(&self, id: InstanceId) -> Option<Gate> {
        self.inner.instances.gate(id)
    }
}
