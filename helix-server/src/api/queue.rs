//! What waits, and why.

use axum::extract::State;
use helix_proto::{RequestId, queue::Queue};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Caller, Failure, Json, Path, access::AdminOnly};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(queue))
        .routes(routes!(end))
}

/// What waits, in the order in which it would be served, and what is in flight
/// on own runners.
#[utoipa::path(get, path = "/api/v1/queue", tag = "queue",
    responses((status = 200, body = Queue), (status = 401), (status = 403)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn queue(_: Caller<AdminOnly>, State(app): State<App>) -> Json<Queue> {
    Json(app.inference().queue())
}

/// Ends a request, waiting or in flight; its client is told.
#[utoipa::path(delete, path = "/api/v1/queue/{request_id}", tag = "queue",
    params(("request_id" = RequestId, Path, description = "The request")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn end(
    caller: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RequestId>,
) -> Result<StatusCode, Failure> {
    if !app.inference().cancel(id) {
        return Err(Failure::not_found("request in the queue or in flight"));
    }
    tracing::info!(request = %id, by = %caller.user_id, "request ended by an administrator");
    Ok(StatusCode::NO_CONTENT)
}
