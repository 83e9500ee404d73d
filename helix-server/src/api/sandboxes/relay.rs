//! The way of a request into a sandbox: over its host's tunnel to what runs inside.
//! Bodies stream both ways; nobody on the way looks into one.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts as _, RawPathParams, Request},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use helix_proto::{ApiError, ErrorCode, SandboxId, error::ErrorEnvelope, sandbox::SandboxState};
use helix_tunnel::{Lane, Tunnel};
use http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::headers;
use crate::{
    App,
    api::{
        Failure,
        streams::{Checks, Open},
    },
    sandboxes::origins::PortOrigin,
    sharing::SandboxGrant,
};

/// A request that is to go on into a sandbox.
pub(super) struct Relay {
    pub(super) app: App,
    pub(super) parts: Parts,
    pub(super) id: SandboxId,
    body: Body,
    /// What is asked of the guest.
    path: String,
}

/// What runs in the sandbox that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The sandbox's own guest.
    Guest,
    /// A server in it, on a port, seen below a path of the control plane.
    Port(u16),
    /// A server in it, seen as an origin of its own.
    Origin(PortOrigin),
}

impl FromRequest<App> for Relay {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let missing = || Failure::not_found("sandbox");
        let params = RawPathParams::from_request_parts(&mut parts, app).await;
        let params = params.map_err(|_| missing())?;
        let mut params = params.iter();
        let (_, id) = params.find(|(name, _)| *name == "id").ok_or_else(missing)?;
        let id: SandboxId = id.parse().map_err(|_| missing())?;
        let path = parts.uri.path().strip_prefix(&prefix(id));
        // One that is written in another way names nothing.
        let path = path.ok_or_else(missing)?.to_owned();
        let app = app.clone();
        Ok(Self {
            app,
            parts,
            id,
            body,
            path,
        })
    }
}

/// The way to a sandbox, for one caller.
pub(super) struct Way {
    pub(super) tunnel: Tunnel,
    pub(super) open: Open,
    pub(super) checks: Checks,
}

impl Way {
    /// Looks for the sandbox's host.
    pub(super) fn find(app: &App, found: &SandboxGrant) -> Result<Self, Failure> {
        if found.sandbox.state == SandboxState::Deleted {
            return Err(Failure::not_found("sandbox"));
        }
        let most = app.options().sandboxes.max_requests_per_user;
        let open = app.relays().open(found.grant.identity().user_id, most)?;
        let client = app.sandboxes().client(found.sandbox.host_id)?;
        Ok(Self {
            tunnel: client.tunnel().clone(),
            open,
            checks: Checks::of(app, &found.grant),
        })
    }
}

impl Relay {
    /// A request for a server that is seen as an origin of its own.
    pub(super) fn to_origin(app: App, at: PortOrigin, request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            path: format!("/ports/{}{}", at.port, parts.uri.path()),
            id: at.sandbox,
            app,
            parts,
            body,
        }
    }

    /// Whether it is to become a WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        is_websocket(&self.parts)
    }

    /// Below which path people see a server on a port.
    pub(super) fn port_prefix(&self, port: u16) -> String {
        format!("{}/ports/{port}", prefix(self.id))
    }

    /// Where the host takes it.
    pub(super) fn target(&self) -> Result<Uri, Failure> {
        let query = self.parts.uri.query();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("/host/v1/sandboxes/{}/guest{}{query}", self.id, self.path)
            .parse()
            .map_err(|error| Failure::bad_request(format!("the path cannot be passed on: {error}")))
    }

    /// Passes it on to the sandbox's guest, and the answer back.
    pub(super) async fn ask_guest(
        self,
        found: &SandboxGrant,
        lane: Lane,
    ) -> Result<Response, Failure> {
        let headers = headers::asked(&self.parts.headers);
        self.pass_on(found, lane, Asked::Guest, headers).await
    }

    /// Passes it on, and the answer back.
    pub(super) async fn pass_on(
        self,
        found: &SandboxGrant,
        lane: Lane,
        asked: Asked,
        headers: HeaderMap,
    ) -> Result<Response, Failure> {
        let way = Way::find(&self.app, found)?;
        let target = self.target()?;
        let mut request = Request::new(self.body);
        *request.method_mut() = self.parts.method;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        let answer = way.tunnel.request_on(lane, request).await;
        let (parts, body) = answer.map_err(|error| failed(&error))?.into_parts();
        let (status, headers) = match asked {
            Asked::Guest => headers::answered(parts.status, &parts.headers),
            Asked::Port(port) => {
                let prefix = format!("{}/ports/{port}", prefix(self.id));
                (parts.status, headers::from_port(&parts.headers, &prefix))
            }
            Asked::Origin(at) => (parts.status, headers::from_origin(&parts.headers, at)),
        };
        let guarded = Guarded {
            checks: way.checks,
            body,
            over: false,
            _open: way.open,
        };
        let body = StreamBody::new(stream::unfold(guarded, Guarded::next));
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Below which path the guest of a sandbox is seen.
fn prefix(id: SandboxId) -> String {
    format!("/api/v1/sandboxes/{id}")
}

/// Whether a request is to become a WebSocket.
pub(super) fn is_websocket(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(header::UPGRADE);
    parts.method == Method::GET
        && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Why the host, or what is behind it, did not answer.
pub(super) fn failed(error: &helix_tunnel::Error) -> Failure {
    use helix_tunnel::Error;
    match error {
        Error::Refused { status, reason } => refused(*status, reason),
        Error::NotConnected { .. } | Error::Closed(_) | Error::Draining | Error::Busy { .. } => {
            let message = format!("the sandbox host cannot be asked now: {error}");
            Failure::new(ErrorCode::Unavailable, message)
        }
        Error::Request(_) => Failure::bad_request(error.to_string()),
        _ => Failure::new(
            ErrorCode::Upstream,
            format!("the sandbox did not answer: {error}"),
        ),
    }
}

/// The reason that a sandbox gave for no WebSocket, in its own words where it has some.
fn refused(status: StatusCode, reason: &str) -> Failure {
    let own = serde_json::from_str::<ErrorEnvelope>(reason);
    let code = match status.as_u16() {
        400 => ErrorCode::BadRequest,
        404 => ErrorCode::NotFound,
        409 => ErrorCode::Conflict,
        422 => ErrorCode::Invalid,
        503 => ErrorCode::Unavailable,
        _ => ErrorCode::Upstream,
    };
    let message = own.map_or_else(
        |_| format!("the sandbox refused ({status})"),
        |envelope| envelope.error.message,
    );
    ApiError::new(code, message).into()
}

/// The body of an answer, for as long as the caller may have it.
struct Guarded {
    checks: Checks,
    body: helix_tunnel::Body,
    over: bool,
    _open: Open,
}

impl Guarded {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, axum::Error>, Self)> {
        if self.over {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                may = self.checks.next() => {
                    if !may {
                        self.over = true;
                        let why = "the credential is not valid any more, or the right is another";
                        return Some((Err(axum::Error::new(why)), self));
                    }
                }
                frame = self.body.frame() => {
                    let frame = frame?.map_err(axum::Error::new);
                    self.over = frame.is_err();
                    return Some((frame, self));
                }
            }
        }
    }
}
