//! The desktop of a sandbox: relayed.

mod automation;

use axum::response::Response;
use helix_proto::{SandboxId, sandbox::guest::ServiceStatus};
use helix_tunnel::Lane;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{headers, relay::Relay, websocket};
use crate::{
    App,
    api::{
        Failure,
        access::{InSandbox, Read},
    },
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(desktop))
        .routes(routes!(desktop_status))
        .routes(routes!(screenshot))
        .merge(automation::routes())
        .routes(routes!(thumbnail))
}

/// Watches and drives a sandbox's desktop: a WebSocket of binary messages, up and down, as
/// `docs/desktop-protocol.md` says.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 101, description = "Messages of the desktop's protocol"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn desktop(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    let headers = headers::asked(&relay.parts.headers);
    websocket::connect(relay, &caller.found, Lane::Media, headers).await
}

/// How what serves a sandbox's desktop is: whether it answers, how often it was started, and why it
/// failed. What it wrote is in the sandbox's log, as `desktop`.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/status", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = ServiceStatus), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn desktop_status(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// One picture of a sandbox's desktop.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/screenshot", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("format" = Option<String>, Query, description = "`png` (the default), `jpeg` or `webp`; all but JPEG are exact"),
        ("quality" = Option<u8>, Query, description = "1 to 100, of a JPEG; 80 if absent"),
        ("cursor" = Option<bool>, Query, description = "Whether the pointer is in the picture")),
    responses((status = 200, content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 501), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn screenshot(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// A small picture of a sandbox's desktop, at most a second old, without its pointer: a JPEG of at
/// most 480 × 480 pixels. It is made once for all who ask, and not while nothing has changed; to
/// look at it does not count as using the sandbox.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/desktop/thumbnail", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("if-none-match" = Option<String>, Header, description = "The `etag` of the one that is known")),
    responses((status = 200, content_type = "image/jpeg"), (status = 304, description = "It has not changed"), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn thumbnail(caller: InSandbox<Read>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Media).await
}
