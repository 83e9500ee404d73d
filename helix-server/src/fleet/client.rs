//! The control plane's side of `helix_proto::runner`: typed calls to a runner
//! over its tunnel.

use std::time::Duration;

use bytes::Bytes;
use helix_proto::{
    InstanceId,
    runner::{
        Failure, FailureKind, InspectRequest, InspectResponse, InstanceStatus, LogTail,
        StartInstance,
    },
};
use helix_tunnel::Tunnel;
use http::{Method, Response};
use serde::{Serialize, de::DeserializeOwned};

use crate::machines::{
    Error, Role,
    calls::{Calls, SOON},
};

/// How long it may take to read the header of a model's weights, over the network
/// perhaps.
const INSPECT: Duration = Duration::from_secs(60);

/// One connected runner, to be called. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    calls: Calls,
}

impl Client {
    pub(super) const fn new(tunnel: Tunnel) -> Self {
        Self {
            calls: Calls::new(tunnel, Role::Runner),
        }
    }

    pub(super) const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Starts an instance; the same id again changes nothing.
    pub(super) async fn start(
        &self,
        id: InstanceId,
        start: &StartInstance,
    ) -> Result<InstanceStatus, Error> {
        let path = format!("instances/{id}");
        self.calls.json(Method::PUT, &path, Some(start), SOON).await
    }

    /// Stops an instance once it has finished what it has.
    pub(super) async fn stop(&self, id: InstanceId) -> Result<InstanceStatus, Error> {
        let path = format!("instances/{id}");
        self.calls
            .json(Method::DELETE, &path, None::<&()>, SOON)
            .await
    }

    /// The last lines of an instance's log.
    pub(crate) async fn log(&self, id: InstanceId, tail: u32) -> Result<LogTail, Error> {
        let path = format!("instances/{id}/log?tail={tail}");
        self.calls.json(Method::GET, &path, None::<&()>, SOON).await
    }

    /// What a model would need.
    pub(crate) async fn inspect(&self, inspect: &InspectRequest) -> Result<InspectResponse, Error> {
        self.calls
            .json(Method::POST, "inspect", Some(inspect), INSPECT)
            .await
    }

    /// Asks the engine of an instance; returns with the headers of its answer,
    /// whenever they come.
    pub(crate) async fn engine(
        &self,
        id: InstanceId,
        path: &str,
        body: Bytes,
    ) -> Result<Response<helix_tunnel::Body>, Error> {
        let path = format!("instances/{id}/engine/v1/{path}");
        self.calls.send(Method::POST, &path, body).await
    }

    /// Asks the engine of an instance something outside `/v1` that it answers soon.
    pub(crate) async fn engine_json<T: DeserializeOwned>(
        &self,
        id: InstanceId,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, Error> {
        let path = format!("instances/{id}/engine/{path}");
        self.calls
            .json(Method::POST, &path, Some(body), within)
            .await
    }
}

/// What a refused start means for the instance; `None` if the runner did not refuse
/// it, so that it may be starting.
pub(super) fn into_failure(error: Error) -> Option<Failure> {
    let Error::Refused { message, .. } = error else {
        return None;
    };
    Some(Failure {
        kind: FailureKind::Unsupported,
        message,
        log: Vec::new(),
    })
}
