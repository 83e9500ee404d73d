//! Registered models and providers.

use axum::extract::State;
use helix_proto::{
    ModelId,
    model::{CreateModelRequest, Model, Provider},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path,
    access::{AdminOnly, Member},
};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, register))
        .routes(routes!(delete))
        .routes(routes!(prewarm))
        .routes(routes!(providers))
}

/// The registered models, by name.
#[utoipa::path(get, path = "/api/v1/models", tag = "models",
    responses((status = 200, body = Vec<Model>), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn list(_: Caller<Member>, State(app): State<App>) -> Json<Vec<Model>> {
    Json(app.inference().models())
}

/// Registers a model. What it needs is asked of connected runners; without one
/// that can tell, of the first that can.
#[utoipa::path(post, path = "/api/v1/models", tag = "models", request_body = CreateModelRequest,
    responses((status = 201, body = Model), (status = 401), (status = 403), (status = 409), (status = 422)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn register(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Json(request): Json<CreateModelRequest>,
) -> Result<(StatusCode, Json<Model>), Failure> {
    let model = app.inference().register(request).await?;
    Ok((StatusCode::CREATED, Json(model)))
}

/// Forgets a model: requests that wait for it are told, its instances end when
/// they have finished what they have.
#[utoipa::path(delete, path = "/api/v1/models/{id}", tag = "models",
    params(("id" = ModelId, Path, description = "The model")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn delete(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<ModelId>,
) -> Result<StatusCode, Failure> {
    if !app.inference().unregister(id).await? {
        return Err(Failure::not_found("model"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Starts an instance before requests ask for one, if there is room.
#[utoipa::path(post, path = "/api/v1/models/{id}/prewarm", tag = "models",
    params(("id" = ModelId, Path, description = "The model")),
    responses((status = 202), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn prewarm(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<ModelId>,
) -> Result<StatusCode, Failure> {
    if !app.inference().prewarm(id) {
        return Err(Failure::not_found("model"));
    }
    Ok(StatusCode::ACCEPTED)
}

/// The configured providers.
#[utoipa::path(get, path = "/api/v1/providers", tag = "models",
    responses((status = 200, body = Vec<Provider>), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn providers(_: Caller<Member>, State(app): State<App>) -> Json<Vec<Provider>> {
    let routes = app.inference().routes();
    Json(routes.providers().iter().map(|it| it.describe()).collect())
}
