//! The control plane's side of `helix_proto::runner`: typed calls to a runner
//! over its tunnel.

use std::time::Duration;

use bytes::Bytes;
use helix_proto::{
    ErrorCode, InstanceId,
    error::ErrorEnvelope,
    runner::{
        Failure, FailureKind, InspectRequest, InspectResponse, InstanceStatus, LogTail,
        StartInstance,
    },
};
use helix_tunnel::Tunnel;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::{Serialize, de::DeserializeOwned};

use super::lines::Lines;

/// How long a runner may take for an answer that needs no work.
const SOON: Duration = Duration::from_secs(20);

/// How long it may take to read the header of a model's weights, over the network
/// perhaps.
const INSPECT: Duration = Duration::from_secs(60);

/// Longest answer that is no stream.
const MAX_ANSWER: usize = 4 << 20;

/// Why a call to a runner failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The runner is not connected.
    #[error("the runner is not connected")]
    Offline,
    /// The tunnel broke, or the runner took too long: whether it did what was
    /// asked is not known.
    #[error("the runner was lost: {0}")]
    Lost(String),
    /// The runner said no.
    #[error("the runner refused ({status}): {message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reason.
        message: String,
    },
    /// The runner said something that makes no sense here.
    #[error("the runner's answer cannot be used: {0}")]
    Answer(String),
}

/// One connected runner, to be called. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    tunnel: Tunnel,
}

impl Client {
    pub(super) const fn new(tunnel: Tunnel) -> Self {
        Self { tunnel }
    }

    /// The stream of events; begins with a snapshot.
    pub(super) async fn events(&self) -> Result<Lines<helix_tunnel::Body>, Error> {
        let response = self.call(Method::GET, "events", Bytes::new(), SOON).await?;
        Ok(Lines::new(checked(response).await?.into_body()))
    }

    /// Starts an instance; the same id again changes nothing.
    pub(super) async fn start(
        &self,
        id: InstanceId,
        start: &StartInstance,
    ) -> Result<InstanceStatus, Error> {
        self.json(Method::PUT, &format!("instances/{id}"), Some(start), SOON)
            .await
    }

    /// Stops an instance once it has finished what it has.
    pub(super) async fn stop(&self, id: InstanceId) -> Result<InstanceStatus, Error> {
        self.json(
            Method::DELETE,
            &format!("instances/{id}"),
            None::<&()>,
            SOON,
        )
        .await
    }

    /// The last lines of an instance's log.
    pub(crate) async fn log(&self, id: InstanceId, tail: u32) -> Result<LogTail, Error> {
        self.json(
            Method::GET,
            &format!("instances/{id}/log?tail={tail}"),
            None::<&()>,
            SOON,
        )
        .await
    }

    /// What a model would need.
    pub(crate) async fn inspect(&self, inspect: &InspectRequest) -> Result<InspectResponse, Error> {
        self.json(Method::POST, "inspect", Some(inspect), INSPECT)
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
        self.send(
            Method::POST,
            &format!("instances/{id}/engine/v1/{path}"),
            body,
        )
        .await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        within: Duration,
    ) -> Result<T, Error> {
        let body = body.map(serde_json::to_vec).transpose();
        let body = body
            .map_err(|error| Error::Answer(error.to_string()))?
            .unwrap_or_default();
        let answer = async {
            let response = self.call(method, path, body.into(), within).await?;
            let bytes = collected(checked(response).await?).await?;
            serde_json::from_slice(&bytes).map_err(|error| Error::Answer(error.to_string()))
        };
        tokio::time::timeout(within, answer)
            .await
            .unwrap_or_else(|_| Err(late(within)))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Response<helix_tunnel::Body>, Error> {
        let answer = self.send(method, path, body);
        tokio::time::timeout(within, answer)
            .await
            .unwrap_or_else(|_| Err(late(within)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<helix_tunnel::Body>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://runner/runner/v1/{path}"))
            .body(Full::new(body))
            .map_err(|error| Error::Answer(error.to_string()))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        self.tunnel
            .request(request)
            .await
            .map_err(|error| Error::Lost(error.to_string()))
    }
}

fn late(within: Duration) -> Error {
    Error::Lost(format!("it did not answer within {} s", within.as_secs()))
}

async fn checked(
    response: Response<helix_tunnel::Body>,
) -> Result<Response<helix_tunnel::Body>, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = collected(response).await?;
    let message = serde_json::from_slice::<ErrorEnvelope>(&bytes).map_or_else(
        |_| "without a reason".to_owned(),
        |envelope| envelope.error.message,
    );
    Err(Error::Refused { status, message })
}

async fn collected(response: Response<helix_tunnel::Body>) -> Result<Bytes, Error> {
    match Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(Error::Lost(error.to_string())),
    }
}

impl Error {
    /// Whether the runner itself said that it knows no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// What a refused start means for the instance; `None` if the runner did not
    /// refuse it, so that it may be starting.
    pub(super) fn into_failure(self) -> Option<Failure> {
        let Self::Refused { message, .. } = self else {
            return None;
        };
        Some(Failure {
            kind: FailureKind::Unsupported,
            message,
            log: Vec::new(),
        })
    }

    /// The code with which the API answers.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Offline => ErrorCode::Unavailable,
            Self::Refused { status, .. } if status.as_u16() == 404 => ErrorCode::NotFound,
            Self::Lost(_) | Self::Refused { .. } | Self::Answer(_) => ErrorCode::Upstream,
        }
    }
}

impl From<Error> for crate::api::Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
