//! Agents: the catalogue, and what people do in a session with one.

use axum::{Extension, extract::State};
use helix_agent::control::Act;
use helix_proto::{
    SessionId, ThreadId,
    agents::{MAX_COMMAND, PermissionAnswer},
    session::{SessionAgentState, SetAgentModelRequest, SetModeRequest},
};
use http::StatusCode;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path,
    access::SessionsKey,
    extract::{MostBytes, typed},
};
use crate::{App, auth::Identity};

mod catalogue;
mod prompts;

/// The largest body: JSON may write some characters with six.
const BODY_BYTES: usize = 2 * MAX_COMMAND;

/// The routes of these files.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(agent_state))
        .routes(routes!(interrupt))
        .routes(routes!(release_queue))
        .routes(routes!(keep_waiting))
        .routes(routes!(answer_permission))
        .routes(routes!(set_mode))
        .routes(routes!(set_model))
        .routes(routes!(stop_agent))
        .routes(routes!(restart_agent))
        .merge(prompts::routes().layer(Extension(MostBytes(BODY_BYTES))))
        .merge(catalogue::routes())
}

/// A body, once it is known that the caller has such a session, with an agent.
async fn body<T: serde::de::DeserializeOwned>(
    app: &App,
    caller: &Identity,
    session: SessionId,
    body: &Value,
) -> Result<T, Failure> {
    app.agents().agent_of(caller.user_id, session).await?;
    typed(body)
}

async fn act(
    app: &App,
    caller: &Identity,
    session: SessionId,
    act: Act,
) -> Result<StatusCode, Failure> {
    app.agents().act(caller.user_id, session, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A session's agent as of now, for programs; pages follow the session's events.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/agent", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = SessionAgentState), (status = 401), (status = 404), (status = 409, description = "The session has no agent")),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn agent_state(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<Json<SessionAgentState>, Failure> {
    app.agents().state(caller.user_id, id).await.map(Json)
}

/// Ends the turn in flight, and has the queue wait until it is released.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/interrupt", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn interrupt(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, id, Act::Interrupt).await
}

/// Has a queue go on that waits after an interruption or a failure.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/release", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn release_queue(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, id, Act::Release).await
}

/// Bears with an agent that says nothing: its silence begins anew.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/keep-waiting", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn keep_waiting(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, id, Act::KeepWaiting).await
}

/// Answers an agent's request for a permission. The first answer counts.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/permissions/{thread}/{request}", tag = "agents",
    params(("id" = SessionId, Path, description = "The session"),
        ("thread" = ThreadId, Path, description = "The thread that it is in"),
        ("request" = u64, Path, description = "The sequence number of the request's event there")),
    request_body = PermissionAnswer,
    responses((status = 204), (status = 401), (status = 404), (status = 409, description = "It was answered before, or is over"), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn answer_permission(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path((id, thread, request)): Path<(SessionId, ThreadId, u64)>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let answer = body(&app, &caller, id, &sent).await?;
    let answered = Act::Answer {
        thread,
        request,
        answer,
    };
    act(&app, &caller, id, answered).await
}

/// Sets the agent's mode: one of those that it named.
#[utoipa::path(put, path = "/api/v1/sessions/{id}/mode", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")), request_body = SetModeRequest,
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn set_mode(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let SetModeRequest { mode } = body(&app, &caller, id, &sent).await?;
    act(&app, &caller, id, Act::SetMode { mode }).await
}

/// Sets the model that the agent works with: one of those that it named.
#[utoipa::path(put, path = "/api/v1/sessions/{id}/agent-model", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")), request_body = SetAgentModelRequest,
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn set_model(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let SetAgentModelRequest { model } = body(&app, &caller, id, &sent).await?;
    act(&app, &caller, id, Act::SetModel { model }).await
}

/// Stops the agent's process; a turn in flight fails. It starts with the next prompt.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/agent/stop", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn stop_agent(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, id, Act::Stop { restart: false }).await
}

/// Stops the agent's process and starts it again; a turn in flight fails.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/agent/restart", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn restart_agent(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, id, Act::Stop { restart: true }).await
}
