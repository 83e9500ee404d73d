//! Programs in a sandbox: relayed.

use axum::response::Response;
use helix_proto::{
    ExecId, SandboxId,
    sandbox::guest::{Exec, ExecEvent, ExecList, ExecRequest, ExecResult, SignalRequest},
};
use helix_tunnel::Lane;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::relay::Relay;
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
        .routes(routes!(programs, run_program))
        .routes(routes!(program, kill_program))
        .routes(routes!(program_events))
        .routes(routes!(program_stdin))
        .routes(routes!(signal_program))
}

/// Programs that run in a sandbox, and those that ended of late.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/exec", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = ExecList), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn programs(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Runs a program in a sandbox. With `stream` the answer is newline-delimited
/// `ExecEvent`, with `background` 201 and `Exec`, else `ExecResult` when it ended.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/exec", tag = "sandboxes", request_body = ExecRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = ExecResult), (status = 201, body = Exec), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn run_program(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// A program that was started in a sandbox.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/exec/{exec}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("exec" = ExecId, Path, description = "The program")),
    responses((status = 200, body = Exec), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn program(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// What a program did and does, to its end: newline-delimited `ExecEvent`.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/exec/{exec}/events", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("exec" = ExecId, Path, description = "The program"),
        ("after" = Option<u64>, Query, description = "The last event already known; all that are kept if absent")),
    responses((status = 200, body = ExecEvent, content_type = "application/x-ndjson"), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn program_events(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Writes to a program's input.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/exec/{exec}/stdin", tag = "sandboxes", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("exec" = ExecId, Path, description = "The program"),
        ("close" = Option<bool>, Query, description = "Whether the input ends with this")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn program_stdin(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Sends a signal to a program.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/exec/{exec}/signal", tag = "sandboxes", request_body = SignalRequest,
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("exec" = ExecId, Path, description = "The program")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn signal_program(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}

/// Kills a program with its descendants; once more changes nothing.
#[utoipa::path(delete, path = "/api/v1/sandboxes/{id}/exec/{exec}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("exec" = ExecId, Path, description = "The program")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn kill_program(caller: InSandbox<Drive>, relay: Relay) -> Result<Response, Failure> {
    relay.ask_guest(&caller.found, Lane::Control).await
}
