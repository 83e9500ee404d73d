//! Requests and WebSockets to what runs inside a sandbox, streamed both ways. It is not
//! trusted: everything about it is bounded, and nothing of it is looked into.

mod body;
mod headers;
mod upgrade;

use std::{error::Error as StdError, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{Request, Response, StatusCode, Uri, Version, header},
    response::IntoResponse as _,
};
use helix_base::TaskGroup;
use helix_isolation::{Connection, Environment, HearOut};
use helix_proto::{ApiError, ErrorCode, SandboxId};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

pub(crate) use self::headers::forwardable;
use self::{body::Watched, upgrade::Upgrade};
use super::{Failed, sandbox_id};
use crate::{
    Handle,
    failure::answer_of,
    sandbox::{Counts, InUse},
};

/// How long a connection to what runs inside may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The head of an answer from inside is not longer than this.
const MAX_HEAD_BYTES: usize = 64 << 10;

pub(super) async fn relay(State(handle): State<Handle>, request: Request<Body>) -> Response<Body> {
    match Box::pin(relayed(&handle, request)).await {
        Ok(answer) => answer,
        Err(error) => Failed::from(error).into_response(),
    }
}

async fn relayed(handle: &Handle, mut request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let (id, uri) = target(request.uri())?;
    let sandbox = handle.find(id)?;
    let shared = handle.sandboxes.shared();
    let within = shared.options.relay.response_timeout;
    let (environment, in_use) = sandbox.enter(counts(&uri))?;
    sandbox.furnished().await;
    let upgrade = Upgrade::of(&mut request);
    let (mut head, body) = request.into_parts();
    forwardable(&mut head.headers);
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut head);
    }
    head.headers
        .insert(header::HOST, header::HeaderValue::from_static("sandbox"));
    head.uri = uri;
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let request = Request::from_parts(
        head,
        if upgrade.is_some() {
            Body::empty()
        } else {
            body
        },
    );
    let answer = timeout(within, send(&*environment, request, &shared.tasks)).await;
    let answer = answer.unwrap_or_else(|_| Err(too_slow(within)))?;
    answered(answer, upgrade, in_use, &shared.tasks)
}

/// The sandbox that a request is for, and what it asks of it.
fn target(uri: &Uri) -> Result<(SandboxId, Uri), ApiError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let rest = path
        .strip_prefix("/host/v1/sandboxes/")
        .and_then(|rest| rest.split_once("/guest/"));
    let Some((id, rest)) = rest else {
        return Err(ApiError::new(ErrorCode::NotFound, "no such route"));
    };
    let wrong = |error| {
        let message = format!("the path cannot be forwarded: {error}");
        ApiError::new(ErrorCode::BadRequest, message)
    };
    let uri = Uri::try_from(format!("/{rest}")).map_err(wrong)?;
    Ok((sandbox_id(id)?, uri))
}

/// Small pictures of desktops are asked for as long as a page with many of them is open: nobody
/// uses those sandboxes by that.
fn counts(uri: &Uri) -> Counts {
    match uri.path() {
        "/desktop/thumbnail" => Counts::Glance,
        _ => Counts::Use,
    }
}

/// Sends one request on a connection of its own: it is a local socket, and what runs
/// inside must not mix up the requests of two callers.
async fn send(
    environment: &dyn Environment,
    request: Request<Body>,
    tasks: &TaskGroup,
) -> Result<Response<Incoming>, ApiError> {
    let stream = timeout(CONNECT_WITHIN, environment.connect())
        .await
        .map_err(|_| too_slow(CONNECT_WITHIN))?
        .map_err(|error| answer_of(&error))?;
    let stream: Box<dyn Connection> = stream;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(HearOut::new(stream)))
        .await
        .map_err(|error| broke(&error))?;
    tasks.spawn("sandbox request", async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection into a sandbox broke");
        }
    });
    sender
        .send_request(request)
        .await
        .map_err(|error| broke(&error))
}

fn answered(
    mut answer: Response<Incoming>,
    upgrade: Option<Upgrade>,
    in_use: InUse,
    tasks: &TaskGroup,
) -> Result<Response<Body>, ApiError> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(upgrade) = upgrade else {
            let message = "what runs in the sandbox changed the protocol without being asked";
            return Err(ApiError::new(ErrorCode::Upstream, message));
        };
        return Ok(upgrade.join(answer, in_use.by_bytes(), tasks));
    }
    forwardable(answer.headers_mut());
    Ok(answer.map(|body| Body::new(Watched::new(body, in_use))))
}

fn too_slow(after: Duration) -> ApiError {
    let message = format!("the sandbox did not answer within {} s", after.as_secs());
    ApiError::new(ErrorCode::Timeout, message)
}

fn broke(error: &(dyn StdError + 'static)) -> ApiError {
    tracing::debug!(error, "a request did not get through to a sandbox");
    let message = "the sandbox broke off before it answered; its log may say why";
    ApiError::new(ErrorCode::Upstream, message)
}
