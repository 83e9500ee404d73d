//! Terminals in a sandbox: relayed.

use axum::response::Response;
use helix_proto::{
    SandboxId, TerminalId,
    sandbox::guest::{Terminal, TerminalEvent, TerminalList, TerminalRequest},
};
use helix_tunnel::Lane;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{headers, relay::Relay, websocket};
use crate::{
    App,
    api::{
        Failure,
        access::{Drive, InSandbox},
    },
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(terminals, open_terminal))
        .routes(routes!(close_terminal))
        .routes(routes!(attach_terminal))
}

/// A sandbox's terminals.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/terminals", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = TerminalList), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn terminals(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Opens a terminal.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/terminals", tag = "sandboxes", request_body = TerminalRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 201, body = Terminal), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn open_terminal(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Hangs up a terminal; once more changes nothing.
#[utoipa::path(delete, path = "/api/v1/sandboxes/{id}/terminals/{terminal}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"), ("terminal" = TerminalId, Path, description = "The terminal")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn close_terminal(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Looks at a terminal: a WebSocket. Binary messages are bytes, both ways; text
/// messages are `TerminalEvent` down and `TerminalCommand` up.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/terminals/{terminal}/attach", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"), ("terminal" = TerminalId, Path, description = "The terminal"),
        ("after" = Option<u64>, Query, description = "How many bytes were seen already; all that is kept is sent if absent")),
    responses((status = 101, body = TerminalEvent), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn attach_terminal(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    let headers = headers::asked(&relay.parts.headers);
    websocket::connect(relay, &caller.found, Lane::Control, headers).await
}
