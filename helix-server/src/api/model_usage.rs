//! What the agent of a session asked of models.

use axum::extract::State;
use helix_proto::{SessionId, session::ModelUsage};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Caller, Failure, Json, Path, access::SessionsKey};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(model_usage))
}

/// What was asked of models with the keys of a session, those that ended included.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/model-usage", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = ModelUsage), (status = 401), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn model_usage(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<Json<ModelUsage>, Failure> {
    let session = app.sessions().get(caller.user_id, id).await?;
    Ok(Json(app.session_keys().usage(session.id).await?))
}
