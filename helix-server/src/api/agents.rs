//! Agents: the catalogue, and what people do in a session with one.

use axum::{Extension, extract::State};
use helix_agent::control::Act;
use helix_proto::{
    SessionId, ThreadId,
    agents::{MAX_COMMAND, PermissionAnswer},
    session::{
        ChooseAgentRequest, Session, SessionAgentState, SetAgentModelRequest, SetModeRequest,
    },
};
use http::StatusCode;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Failure, Json, Path,
    access::{Drive, InSession, Own, Read},
    check,
    extract::{MostBytes, typed},
};
use crate::App;

mod catalogue;
mod prompts;

/// The largest body: JSON may write some characters with six.
const BODY_BYTES: usize = 2 * MAX_COMMAND;

/// The routes of these files.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(agent_state, choose_agent))
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

/// A body, once it is known that the session has an agent.
async fn body<T: serde::de::DeserializeOwned>(
    app: &App,
    caller: &InSession<Drive>,
    body: &Value,
) -> Result<T, Failure> {
    app.agents().agent_of(caller.owner(), caller.id).await?;
    typed(body)
}

async fn act(app: &App, caller: &InSession<Drive>, act: Act) -> Result<StatusCode, Failure> {
    app.agents().act(caller.owner(), caller.id, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A session's agent as of now, for programs; pages follow the session's events.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/agent", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = SessionAgentState), (status = 401), (status = 403), (status = 404), (status = 409, description = "The session has no agent")),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn agent_state(
    caller: InSession<Read>,
    State(app): State<App>,
) -> Result<Json<SessionAgentState>, Failure> {
    let state = app.agents().state(caller.owner(), caller.id);
    state.await.map(Json)
}

/// Has a session go on with another agent, another model, or both, in the same sandbox: the thread
/// ends, and the next prompt begins one. Not while a turn is in flight.
#[utoipa::path(put, path = "/api/v1/sessions/{id}/agent", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")), request_body = ChooseAgentRequest,
    responses((status = 200, body = Session), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn choose_agent(
    caller: InSession<Own>,
    State(app): State<App>,
    Json(mut request): Json<ChooseAgentRequest>,
) -> Result<Json<Session>, Failure> {
    request.model = request
        .model
        .map(|model| check::line("model", &model, 200))
        .transpose()?;
    let chosen = app
        .agents()
        .choose(caller.owner(), caller.id, request)
        .await?;
    // What the session's key says of its model is read again.
    app.auth().forget_session_key(chosen.id);
    Ok(Json(chosen))
}

/// Ends the turn in flight, and has the queue wait until it is released.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/interrupt", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn interrupt(
    caller: InSession<Drive>,
    State(app): State<App>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, Act::Interrupt).await
}

/// Has a queue go on that waits after an interruption or a failure.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/release", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn release_queue(
    caller: InSession<Drive>,
    State(app): State<App>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, Act::Release).await
}

/// Bears with an agent that says nothing: its silence begins anew.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/keep-waiting", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn keep_waiting(
    caller: InSession<Drive>,
    State(app): State<App>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, Act::KeepWaiting).await
}

/// Answers an agent's request for a permission. The first answer counts.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/permissions/{thread}/{request}", tag = "agents",
    params(("id" = SessionId, Path, description = "The session"),
        ("thread" = ThreadId, Path, description = "The thread that it is in"),
        ("request" = u64, Path, description = "The sequence number of the request's event there")),
    request_body = PermissionAnswer,
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409, description = "It was answered before, or is over"), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn answer_permission(
    caller: InSession<Drive>,
    State(app): State<App>,
    Path((_id, thread, request)): Path<(SessionId, ThreadId, u64)>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let answer = body(&app, &caller, &sent).await?;
    let answered = Act::Answer {
        thread,
        request,
        answer,
    };
    act(&app, &caller, answered).await
}

/// Sets the agent's mode: one of those that it named.
#[utoipa::path(put, path = "/api/v1/sessions/{id}/mode", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")), request_body = SetModeRequest,
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn set_mode(
    caller: InSession<Drive>,
    State(app): State<App>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let SetModeRequest { mode } = body(&app, &caller, &sent).await?;
    act(&app, &caller, Act::SetMode { mode }).await
}

/// Sets the model that the agent works with: one of those that it named.
#[utoipa::path(put, path = "/api/v1/sessions/{id}/agent-model", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")), request_body = SetAgentModelRequest,
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn set_model(
    caller: InSession<Drive>,
    State(app): State<App>,
    Json(sent): Json<Value>,
) -> Result<StatusCode, Failure> {
    let SetAgentModelRequest { model } = body(&app, &caller, &sent).await?;
    act(&app, &caller, Act::SetModel { model }).await
}

/// Stops the agent's process; a turn in flight fails. It starts with the next prompt.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/agent/stop", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn stop_agent(
    caller: InSession<Drive>,
    State(app): State<App>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, Act::Stop { restart: false }).await
}

/// Stops the agent's process and starts it again; a turn in flight fails.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/agent/restart", tag = "agents",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn restart_agent(
    caller: InSession<Drive>,
    State(app): State<App>,
) -> Result<StatusCode, Failure> {
    act(&app, &caller, Act::Stop { restart: true }).await
}
