//! What the agent of a session asked of models.

use axum::extract::State;
use helix_proto::{SessionId, session::ModelUsage};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Failure, Json,
    access::{InSession, Read},
};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(model_usage))
}

/// What was asked of models with the keys of a session, those that ended included.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/model-usage", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = ModelUsage), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn model_usage(
    caller: InSession<Read>,
    State(app): State<App>,
) -> Result<Json<ModelUsage>, Failure> {
    Ok(Json(app.session_keys().usage(caller.id).await?))
}
