//! The control plane about itself.

use axum::extract::State;
use helix_proto::{
    ErrorCode,
    runner::InstanceState,
    status::{Status, Version},
};
use http::{StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json,
    access::{Member, Public},
};
use crate::{App, machines, metrics::Metrics};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(version))
        .routes(routes!(status))
        .routes(routes!(openapi))
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String)))]
async fn healthz(_: Caller<Public>) -> &'static str {
    "ok\n"
}

/// Whether it can serve: 503 while the database does not answer or a shutdown
/// has begun.
#[utoipa::path(get, path = "/readyz", tag = "system", responses((status = 200, body = String), (status = 503)))]
async fn readyz(_: Caller<Public>, State(app): State<App>) -> Result<&'static str, Failure> {
    if app.foundation().tasks.is_draining() {
        return Err(Failure::new(ErrorCode::Unavailable, "shutting down"));
    }
    app.store().ping().await?;
    Ok("ready\n")
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String)))]
async fn metrics(
    _: Caller<Public>,
    State(app): State<App>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    // Made anew at each call, so that nothing stays of machines that were deleted.
    let now = Metrics::default();
    machines::metrics::describe(&now);
    app.fleet().note_metrics(&now);
    app.sandboxes().note_metrics(&now).await;
    app.agents().note_metrics(&now);
    (kind, app.foundation().metrics.render() + &now.render())
}

/// What runs here.
#[utoipa::path(get, path = "/api/v1/version", tag = "system", responses((status = 200, body = Version)))]
async fn version(_: Caller<Public>) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// How things stand.
#[utoipa::path(get, path = "/api/v1/status", tag = "system",
    responses((status = 200, body = Status), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn status(_: Caller<Member>, State(app): State<App>) -> Json<Status> {
    let runners = app.fleet().runners();
    let connected = || runners.iter().filter(|runner| runner.is_connected());
    let ready = connected()
        .filter_map(|runner| runner.known.info.as_ref())
        .flat_map(|info| &info.instances)
        .filter(|instance| instance.state == InstanceState::Ready);
    let queue = app.inference().queue();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: app.foundation().started_at_ms,
        database: app.store().kind().as_str().to_owned(),
        runners_total: count(runners.len()),
        runners_online: count(connected().filter(|runner| !runner.known.draining).count()),
        instances_ready: count(ready.count()),
        requests_waiting: count(queue.waiting.len()),
        requests_running: count(queue.running.len()),
    })
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "system", responses((status = 200, body = Object)))]
async fn openapi(_: Caller<Public>) -> Json<utoipa::openapi::OpenApi> {
    Json(super::document())
}

/// For a path that exists with another method.
pub(super) async fn method_not_allowed() -> (StatusCode, Failure) {
    let failure = Failure::bad_request("this path does not take this method");
    (StatusCode::METHOD_NOT_ALLOWED, failure)
}
