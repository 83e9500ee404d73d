//! Prompts of a session with an agent, and their queue.

use axum::extract::State;
use helix_agent::control::Act;
use helix_proto::{
    SessionId, TurnId,
    agents::Content,
    session::{EditPromptRequest, MovePromptRequest, PromptAccepted, PromptRequest},
};
use http::StatusCode;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{
        Failure, Json, Path,
        access::{Drive, InSession},
        check,
    },
    act, body,
};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(prompt))
        .routes(routes!(edit_prompt, cancel_prompt))
        .routes(routes!(move_prompt))
}

/// PostgreSQL keeps no NUL in a text.
fn check_content(content: &[Content]) -> Result<(), Failure> {
    let has_nul = |texts: &[&str]| texts.iter().any(|text| text.contains('\0'));
    let faulty = content.iter().any(|piece| match piece {
        Content::Text { text } => has_nul(&[text]),
        Content::Image { mime, data } | Content::Audio { mime, data } => has_nul(&[mime, data]),
        Content::Link { uri, name } => has_nul(&[uri, name]),
        Content::Resource { uri, text } => has_nul(&[uri, text]),
    });
    if faulty {
        return Err(Failure::invalid("content", "must not contain NUL"));
    }
    Ok(())
}

/// Asks the agent something: after what is in the queue, or, to steer it, next, with the turn in
/// flight stopped. What comes of it comes as events.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/prompts", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")), request_body = PromptRequest,
    responses((status = 202, body = PromptAccepted), (status = 401), (status = 403), (status = 404), (status = 409, description = "The queue is full, the prompt too large, or the sandbox does not run"), (status = 413), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn prompt(
    caller: InSession<Drive>,
    State(app): State<App>,
    Json(sent): Json<Value>,
) -> Result<(StatusCode, Json<PromptAccepted>), Failure> {
    let request: PromptRequest = body(&app, &caller, &sent).await?;
    drop(sent);
    check_content(&request.content)?;
    let key = request
        .idempotency_key
        .map(|key| check::line("idempotency_key", &key, 64))
        .transpose()?;
    let (content, steer) = (request.content, request.steer);
    let act = move |turn| match steer {
        true => Act::Steer { turn, content },
        false => Act::Prompt { turn, content },
    };
    let turn_id = app.agents().prompt(caller.owner(), caller.id, key, act);
    let turn_id = turn_id.await?;
    Ok((StatusCode::ACCEPTED, Json(PromptAccepted { turn_id })))
}

/// Gives a prompt of the queue another wording.
#[utoipa::path(put, path = "/api/v1/sessions/{id}/prompts/{turn}", tag = "agents",
    params(("id" = SessionId, Path, description = "The session"), ("turn" = TurnId, Path, description = "The turn that it becomes")),
    request_body = EditPromptRequest,
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409, description = "The agent has it already, or it is not there"), (status = 413), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn edit_prompt(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, turn)): Path<(SessionId, TurnId)>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let EditPromptRequest { content } = body(&app, &caller, &sent).await?;
    drop(sent);
    check_content(&content)?;
    act(&app, &caller, Act::Edit { turn, content }).await
}

/// Gives a prompt another place in the queue.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/prompts/{turn}/move", tag = "agents",
    params(("id" = SessionId, Path, description = "The session"), ("turn" = TurnId, Path, description = "The turn that it becomes")),
    request_body = MovePromptRequest,
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn move_prompt(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, turn)): Path<(SessionId, TurnId)>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let MovePromptRequest { position } = body(&app, &caller, &sent).await?;
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    act(&app, &caller, Act::Move { turn, position }).await
}

/// Takes a prompt out of the queue, or ends the turn in flight; the queue goes on.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}/prompts/{turn}", tag = "agents",
    params(("id" = SessionId, Path, description = "The session"), ("turn" = TurnId, Path, description = "The turn")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn cancel_prompt(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, turn)): Path<(SessionId, TurnId)>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, Act::Cancel { turn }).await
}
