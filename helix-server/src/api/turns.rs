//! Messages and turns of a session.

use axum::{Extension, extract::State};
use helix_proto::{
    SessionId, TurnId,
    session::{EditTurnRequest, SendMessageRequest, SessionMessages, Turn},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Failure, Json, Path,
    access::{Drive, InSession, Read},
    check,
    extract::MostBytes,
};
use crate::{App, sessions::Ask};

/// The longest message, in bytes.
const MESSAGE_BYTES: usize = 1_000_000;

/// The largest body: JSON writes some characters with six.
const BODY_BYTES: usize = 6 * MESSAGE_BYTES + 4_096;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(messages, send))
        .routes(routes!(cancel))
        .routes(routes!(regenerate))
        .routes(routes!(edit))
        .layer(Extension(MostBytes(BODY_BYTES)))
}

fn content(text: String) -> Result<String, Failure> {
    if text.trim().is_empty() || text.len() > MESSAGE_BYTES {
        return Err(Failure::invalid(
            "content",
            format!("must have 1 to {MESSAGE_BYTES} bytes"),
        ));
    }
    if text.contains('\0') {
        return Err(Failure::invalid("content", "must not contain NUL"));
    }
    Ok(text)
}

/// The turns of a session that stand, oldest first.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/messages", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = SessionMessages), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn messages(
    caller: InSession<Read>,
    State(app): State<App>,
) -> Result<Json<SessionMessages>, Failure> {
    let messages = app.sessions().messages(caller.owner(), caller.id);
    messages.await.map(Json)
}

/// Asks something. The answer comes as events; the turn goes on even if the
/// caller leaves.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/messages", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")), request_body = SendMessageRequest,
    responses((status = 202, body = Turn), (status = 401), (status = 403), (status = 404), (status = 409, description = "A turn is in flight"), (status = 413), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn send(
    caller: InSession<Drive>,
    State(app): State<App>,
    Json(request): Json<SendMessageRequest>,
) -> Result<(StatusCode, Json<Turn>), Failure> {
    let key = request.idempotency_key;
    let ask = Ask {
        content: content(request.content)?,
        model: request
            .model
            .map(|model| check::line("model", &model, 200))
            .transpose()?,
        idempotency_key: key
            .map(|key| check::line("idempotency_key", &key, 64))
            .transpose()?,
    };
    let turn = app.sessions().ask(caller.owner(), caller.id, ask).await?;
    Ok((StatusCode::ACCEPTED, Json(turn)))
}

/// Stops a turn, and answers it as it then is. What was answered until then
/// stays. A turn that has ended is left as it is.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/turns/{turn}/cancel", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session"), ("turn" = TurnId, Path, description = "The turn")),
    responses((status = 200, body = Turn), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn cancel(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, turn)): Path<(SessionId, TurnId)>,
) -> Result<Json<Turn>, Failure> {
    app.sessions()
        .cancel(caller.owner(), caller.id, turn)
        .await
        .map(Json)
}

/// Asks the same again: the turn and all after it give way to a new one.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/turns/{turn}/regenerate", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session"), ("turn" = TurnId, Path, description = "The turn")),
    responses((status = 202, body = Turn), (status = 401), (status = 403), (status = 404), (status = 409, description = "A turn is in flight")),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn regenerate(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, turn)): Path<(SessionId, TurnId)>,
) -> Result<(StatusCode, Json<Turn>), Failure> {
    let turn = app
        .sessions()
        .ask_again(caller.owner(), caller.id, turn, None)
        .await?;
    Ok((StatusCode::ACCEPTED, Json(turn)))
}

/// Asks with another wording: the turn and all after it give way to a new one.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/turns/{turn}/edit", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session"), ("turn" = TurnId, Path, description = "The turn")),
    request_body = EditTurnRequest,
    responses((status = 202, body = Turn), (status = 401), (status = 403), (status = 404), (status = 409, description = "A turn is in flight"), (status = 413), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn edit(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, turn)): Path<(SessionId, TurnId)>,
    Json(request): Json<EditTurnRequest>,
) -> Result<(StatusCode, Json<Turn>), Failure> {
    let content = content(request.content)?;
    let turn = app
        .sessions()
        .ask_again(caller.owner(), caller.id, turn, Some(content))
        .await?;
    Ok((StatusCode::ACCEPTED, Json(turn)))
}
