//! Servers in a sandbox: relayed, as origins of their own.
//!
//! A page out of a sandbox is shown with `Content-Security-Policy: sandbox` and without
//! `allow-same-origin`: its scripts run, but they are not the control plane's origin,
//! have none of its cookies, and cannot ask it anything on the user's behalf.

use axum::response::{IntoResponse as _, Redirect, Response};
use helix_proto::{SandboxId, sandbox::guest::PortList};
use helix_tunnel::Lane;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    headers,
    relay::{Asked, Relay},
    websocket,
};
use crate::{
    App,
    api::{
        Failure, Path,
        access::{Drive, InSandbox},
    },
    sharing::SandboxGrant,
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ports))
        .routes(routes!(port))
        .routes(routes!(port_root))
        .routes(routes!(port_path))
}

/// What listens in a sandbox.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/ports", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = PortList), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn ports(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// To where a server's own links are relative to: the same with a slash.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/ports/{port}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"), ("port" = u16, Path, description = "The port")),
    responses((status = 308), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn port(
    _: InSandbox<Drive>,
    Path((_id, port)): Path<(SandboxId, u16)>,
    relay: Relay,
) -> Response {
    Redirect::permanent(&format!("{}/", relay.port_prefix(port))).into_response()
}

/// A server on a port of the sandbox: HTTP, and WebSockets.
#[utoipa::path(method(get, post, put, patch, delete, head, options),
    path = "/api/v1/sandboxes/{id}/ports/{port}/", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"), ("port" = u16, Path, description = "The port")),
    responses((status = 200, description = "What the server answers"), (status = 101), (status = 401), (status = 403), (status = 404), (status = 409), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn port_root(
    caller: InSandbox<Drive>,
    Path((_id, port)): Path<(SandboxId, u16)>,
    relay: Relay,
) -> Result<Response, Failure> {
    to_port(relay, &caller.found, port).await
}

/// A path of a server on a port of the sandbox: HTTP, and WebSockets. The server sees
/// neither cookies nor the credential, and is told in `X-Forwarded-Prefix` below which
/// path it is seen. It sets no cookies, and its pages are shown as an origin of their
/// own.
#[utoipa::path(method(get, post, put, patch, delete, head, options),
    path = "/api/v1/sandboxes/{id}/ports/{port}/{*path}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"), ("port" = u16, Path, description = "The port"),
        ("path" = String, Path, description = "The rest of the path")),
    responses((status = 200, description = "What the server answers"), (status = 101), (status = 401), (status = 403), (status = 404), (status = 409), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn port_path(
    caller: InSandbox<Drive>,
    Path((_id, port, _path)): Path<(SandboxId, u16, String)>,
    relay: Relay,
) -> Result<Response, Failure> {
    to_port(relay, &caller.found, port).await
}

async fn to_port(relay: Relay, found: &SandboxGrant, port: u16) -> Result<Response, Failure> {
    if relay.parts.headers.contains_key("service-worker") {
        return Err(Failure::forbidden(
            "what runs in a sandbox cannot be a service worker of the control plane",
        ));
    }
    let prefix = relay.port_prefix(port);
    let headers = headers::to_port(&relay.parts.headers, &prefix);
    if relay.is_websocket() {
        return websocket::connect(relay, found, Lane::Control, headers).await;
    }
    let asked = Asked::Port(port);
    relay.pass_on(found, Lane::Control, asked, headers).await
}
