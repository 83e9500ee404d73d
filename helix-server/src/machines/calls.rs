//! Calls to a machine over its tunnel.

use std::{fmt, time::Duration};

use bytes::Bytes;
use helix_proto::{ErrorCode, error::ErrorEnvelope};
use helix_tunnel::Tunnel;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::{Serialize, de::DeserializeOwned};

use super::lines::Lines;

/// How long a machine may take for an answer that needs no work.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Longest answer that is no stream.
const MAX_ANSWER: usize = 4 << 20;

/// What kind of machine was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A runner.
    Runner,
    /// A sandbox host.
    SandboxHost,
}

impl Role {
    /// Below which path it serves its routes.
    const fn base(self) -> &'static str {
        match self {
            Self::Runner => "http://runner/runner/v1/",
            Self::SandboxHost => "http://host/host/v1/",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runner => "runner",
            Self::SandboxHost => "sandbox host",
        })
    }
}

/// Why a call to a machine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine is not connected.
    #[error("the {0} is not connected")]
    Offline(Role),
    /// The tunnel broke, or the machine took too long: whether it did what was
    /// asked is not known.
    #[error("the {0} was lost: {1}")]
    Lost(Role, String),
    /// The machine said no.
    #[error("the {role} refused ({status}): {message}")]
    Refused {
        /// Which kind.
        role: Role,
        /// Its status.
        status: StatusCode,
        /// Its reason.
        message: String,
    },
    /// The machine said something that makes no sense here.
    #[error("the {0}'s answer cannot be used: {1}")]
    Answer(Role, String),
}

/// Calls one connected machine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    tunnel: Tunnel,
    pub(super) role: Role,
}

impl Calls {
    pub(crate) const fn new(tunnel: Tunnel, role: Role) -> Self {
        Self { tunnel, role }
    }

    /// The way to the machine.
    pub(crate) const fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// The stream of events; begins with a snapshot.
    pub(super) async fn events(&self) -> Result<Lines<helix_tunnel::Body>, Error> {
        let response = self.call(Method::GET, "events", Bytes::new(), SOON).await?;
        let body = self.checked(response).await?.into_body();
        Ok(Lines::new(body, self.role))
    }

    /// Asks something and reads the answer.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        within: Duration,
    ) -> Result<T, Error> {
        let bytes = self.bytes(method, path, body, within).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.senseless(&error))
    }

    /// Has the machine do something; its answer says nothing more.
    pub(crate) async fn done(
        &self,
        method: Method,
        path: &str,
        within: Duration,
    ) -> Result<(), Error> {
        self.bytes(method, path, None::<&()>, within).await?;
        Ok(())
    }

    /// Tells the machine something; its answer says nothing more.
    pub(crate) async fn told(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<(), Error> {
        self.bytes(method, path, Some(body), within).await?;
        Ok(())
    }

    async fn bytes(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        within: Duration,
    ) -> Result<Bytes, Error> {
        let body = body.map(serde_json::to_vec).transpose();
        let body = body
            .map_err(|error| self.senseless(&error))?
            .unwrap_or_default();
        let answer = async {
            let response = self.call(method, path, body.into(), within).await?;
            self.collected(self.checked(response).await?).await
        };
        tokio::time::timeout(within, answer)
            .await
            .unwrap_or_else(|_| Err(self.late(within)))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Response<helix_tunnel::Body>, Error> {
        tokio::time::timeout(within, self.send(method, path, body))
            .await
            .unwrap_or_else(|_| Err(self.late(within)))
    }

    /// Sends a request; returns with the headers of its answer, whenever they come.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<helix_tunnel::Body>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.role.base()))
            .body(Full::new(body))
            .map_err(|error| self.senseless(&error))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        self.tunnel
            .request(request)
            .await
            .map_err(|error| self.lost(&error))
    }

    /// Asks something whose answer is newline-delimited JSON for as long as it takes.
    pub(crate) async fn lines(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Lines<helix_tunnel::Body>, Error> {
        let body = serde_json::to_vec(body).map_err(|error| self.senseless(&error))?;
        let response = self.call(Method::POST, path, body.into(), SOON).await?;
        let body = self.checked(response).await?.into_body();
        Ok(Lines::new(body, self.role))
    }

    fn senseless(&self, error: &dyn fmt::Display) -> Error {
        Error::Answer(self.role, error.to_string())
    }

    pub(super) fn lost(&self, error: &dyn fmt::Display) -> Error {
        Error::Lost(self.role, error.to_string())
    }

    fn late(&self, within: Duration) -> Error {
        self.lost(&format!("it did not answer within {} s", within.as_secs()))
    }

    async fn checked(
        &self,
        response: Response<helix_tunnel::Body>,
    ) -> Result<Response<helix_tunnel::Body>, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.collected(response).await?;
        let message = serde_json::from_slice::<ErrorEnvelope>(&bytes).map_or_else(
            |_| "without a reason".to_owned(),
            |envelope| envelope.error.message,
        );
        let role = self.role;
        Err(Error::Refused {
            role,
            status,
            message,
        })
    }

    async fn collected(&self, response: Response<helix_tunnel::Body>) -> Result<Bytes, Error> {
        match Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
        {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(self.lost(&error)),
        }
    }
}

impl Error {
    /// Whether the machine itself said that it knows no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// The code with which the API answers.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Offline(_) => ErrorCode::Unavailable,
            Self::Refused { role, status, .. } => match (role, status.as_u16()) {
                (_, 404) => ErrorCode::NotFound,
                // It speaks of the sandbox that the caller asked about.
                (Role::SandboxHost, 409) => ErrorCode::Conflict,
                (Role::SandboxHost, 422) => ErrorCode::Invalid,
                (Role::SandboxHost, 503) => ErrorCode::Unavailable,
                (Role::SandboxHost, 507) => ErrorCode::InsufficientStorage,
                _ => ErrorCode::Upstream,
            },
            Self::Lost(..) | Self::Answer(..) => ErrorCode::Upstream,
        }
    }
}

impl From<Error> for crate::api::Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
