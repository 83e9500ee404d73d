//! Snapshots: take, list, delete.

use axum::extract::State;
use helix_proto::{
    SandboxId, SnapshotId,
    page::Page,
    sandbox::{NameRequest, Snapshot},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Whose, cursor, page, page_limit, request};
use crate::{
    App,
    api::{
        Caller, Failure, Json, Path, Query,
        access::{InSandbox, Own, SandboxesKey},
    },
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(take))
        .routes(routes!(list))
        .routes(routes!(get, delete))
}

/// Keeps a sandbox's files as they are now, on its host. Answers when that is done.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/snapshots", tag = "sandboxes", request_body = NameRequest,
    operation_id = "take_snapshot",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 201, body = Snapshot), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn take(
    caller: InSandbox<Own>,
    State(app): State<App>,
    Json(request): Json<NameRequest>,
) -> Result<(StatusCode, Json<Snapshot>), Failure> {
    let name = request::name(request.name.as_deref())?;
    let snapshot = app
        .sandboxes()
        .take_snapshot(&caller, caller.id, name)
        .await?;
    Ok((StatusCode::CREATED, Json(snapshot)))
}

/// Which snapshots to list.
#[derive(Debug, Deserialize)]
struct ListQuery {
    /// Whose: a user's id, or `all`, for administrators.
    #[serde(default)]
    user: Option<String>,
    /// Only those of this sandbox.
    #[serde(default)]
    sandbox_id: Option<SandboxId>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// Items of the page.
    #[serde(default)]
    limit: Option<u32>,
}

/// Snapshots, newest first: one's own, or as an administrator says.
#[utoipa::path(get, path = "/api/v1/snapshots", tag = "sandboxes", params(
        ("user" = Option<String>, Query, description = "Whose: a user's id, or `all`, for administrators; one's own if absent"),
        ("sandbox_id" = Option<SandboxId>, Query, description = "Only those of this sandbox"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Items of the page. 1 to 200; 50 if absent.")),
    responses((status = 200, body = Page<Snapshot>), (status = 401), (status = 403), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn list(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Snapshot>>, Failure> {
    let user = Whose::read(&caller, query.user.as_deref())?;
    let limit = page_limit(query.limit)?;
    let before = cursor(query.cursor.as_deref())?;
    let found = app
        .store()
        .snapshots(user, query.sandbox_id, before, limit + 1)
        .await?;
    let items = found.iter().filter_map(|it| it.shown()).collect();
    Ok(Json(page(items, limit, |last: &Snapshot| {
        last.id.to_string()
    })))
}

/// One snapshot.
#[utoipa::path(get, path = "/api/v1/snapshots/{id}", tag = "sandboxes",
    params(("id" = SnapshotId, Path, description = "The snapshot")),
    responses((status = 200, body = Snapshot), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn get(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Path(id): Path<SnapshotId>,
) -> Result<Json<Snapshot>, Failure> {
    let found = app.sandboxes().snapshot(&caller, id).await?;
    let shown = found.shown();
    shown
        .map(Json)
        .ok_or_else(|| Failure::not_found("snapshot"))
}

/// Deletes a snapshot. Sandboxes that were made from it stay.
#[utoipa::path(delete, path = "/api/v1/snapshots/{id}", tag = "sandboxes",
    params(("id" = SnapshotId, Path, description = "The snapshot")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn delete(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Path(id): Path<SnapshotId>,
) -> Result<StatusCode, Failure> {
    app.sandboxes().delete_snapshot(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
