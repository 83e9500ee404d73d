//! The control plane about itself.

use axum::extract::State;
use helix_proto::{ErrorCode, status::Version};
use http::{StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Caller, Failure, Json, access::Public};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(version))
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
    (kind, app.foundation().metrics.render())
}

/// What runs here.
#[utoipa::path(get, path = "/api/v1/version", tag = "system", responses((status = 200, body = Version)))]
async fn version(_: Caller<Public>) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
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
