//! Conversations: make, list, change, delete.

use std::collections::HashMap;

use axum::extract::State;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use helix_proto::{
    SessionId,
    page::Page,
    session::{CreateSessionAgent, CreateSessionRequest, Session, UpdateSessionRequest},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Query,
    access::{InSession, Own, Read, SessionsKey},
    check,
    sandboxes::request as sandbox,
};
use crate::{
    App,
    agents::NewSession,
    inference::DEFAULT_MODEL,
    sharing::SessionGrant,
    store::sessions::{ListCursor, Listed},
};

/// Items of a page, unless the caller wants fewer.
const PAGE: u32 = 50;
/// Items of a page at most.
const LARGEST_PAGE: u32 = 200;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// Which sessions to list.
#[derive(Debug, Deserialize)]
struct ListQuery {
    /// Only those whose title or messages contain this, in upper or lower case.
    /// At most 200 characters.
    #[serde(default)]
    q: String,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// Items of the page. 1 to 200; 50 if absent.
    #[serde(default)]
    limit: Option<u32>,
    /// Whether those of others are listed that are shared with the caller, not one's own.
    #[serde(default)]
    shared: bool,
}

fn encode(cursor: ListCursor) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{}:{}", cursor.updated_at_ms, cursor.id))
}

fn decode(text: &str) -> Option<ListCursor> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (updated_at_ms, id) = text.split_once(':')?;
    Some(ListCursor {
        updated_at_ms: updated_at_ms.parse().ok()?,
        id: id.parse().ok()?,
    })
}

/// One's own sessions, or those that others share, last changed first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(
        ("q" = Option<String>, Query, description = "Only those whose title or messages contain this. At most 200 characters."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Items of the page. 1 to 200; 50 if absent."),
        ("shared" = Option<bool>, Query, description = "Whether those of others are listed that are shared with the caller, not one's own; a page of them may have fewer items than it could")),
    responses((status = 200, body = Page<Session>), (status = 401), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn list(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Session>>, Failure> {
    let search = query.q.trim();
    if search.chars().count() > 200 || search.contains('\0') {
        return Err(Failure::invalid(
            "q",
            "must have at most 200 characters, without NUL",
        ));
    }
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Failure::invalid(
            "limit",
            format!("must be 1 to {LARGEST_PAGE}"),
        ));
    }
    let invalid = || Failure::invalid("cursor", "must be the `next_cursor` of the page before");
    let after = query
        .cursor
        .map(|text| decode(&text).ok_or_else(invalid))
        .transpose()?;
    let whose = match query.shared {
        false => Listed::Own(caller.user_id),
        true => Listed::SharedWith(caller.user_id),
    };
    let mut items = app.sessions().list(whose, search, after, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| {
        encode(ListCursor {
            updated_at_ms: last.updated_at_ms,
            id: last.id,
        })
    });
    if query.shared {
        let mut shared: HashMap<_, _> = app
            .sharing()
            .with(caller.user_id)
            .await?
            .into_iter()
            .collect();
        // What a share that has ended was for is not listed.
        items.retain_mut(|session| {
            session.shared = shared.remove(&session.id);
            session.shared.is_some()
        });
    }
    Ok(Json(Page { items, next_cursor }))
}

/// A session as its owner, or somebody whom it is shared with, sees it.
pub(super) async fn shown(
    app: &App,
    found: &SessionGrant,
    id: SessionId,
) -> Result<Session, Failure> {
    let mut session = app.sessions().get(found.owner, id).await?;
    session.shared = app.sharing().shown(found).await?;
    Ok(session)
}

/// The longest path and the longest URL of a repository, in bytes.
const LONGEST_PATH: usize = 1_024;

/// Checks what a session with an agent begins with.
fn check_agent(agent: &mut CreateSessionAgent) -> Result<(), Failure> {
    if let Some(request) = &mut agent.sandbox {
        sandbox::check(request)?;
    }
    if let Some(directory) = &agent.directory
        && (!directory.starts_with('/')
            || directory.len() > LONGEST_PATH
            || directory.chars().any(char::is_control))
    {
        let why = format!("must be an absolute path of at most {LONGEST_PATH} bytes");
        return Err(Failure::invalid("agent.directory", why));
    }
    if let Some(repository) = &mut agent.repository {
        repository.url = check::line("agent.repository.url", &repository.url, LONGEST_PATH)?;
        if let Some(branch) = &mut repository.branch {
            *branch = check::line("agent.repository.branch", branch, 255)?;
        }
    }
    Ok(())
}

/// Starts a session, with an agent in a sandbox or as a chat with a model.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", request_body = CreateSessionRequest,
    responses((status = 201, body = Session), (status = 401), (status = 409), (status = 422), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn create(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Json(request): Json<CreateSessionRequest>,
) -> Result<(StatusCode, Json<Session>), Failure> {
    let title = request
        .title
        .map(|title| check::line("title", &title, 200))
        .transpose()?;
    let mut agent = request.agent;
    let agents_own = agent.as_mut().and_then(|agent| agent.model.take());
    let model = agents_own.or(request.model);
    let model = model.unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let model = check::line("model", &model, 200)?;
    let session = match agent {
        None => {
            let sessions = app.sessions();
            sessions.create(caller.user_id, title, model, None).await?
        }
        Some(mut agent) => {
            check_agent(&mut agent)?;
            let new = NewSession {
                title,
                model,
                agent,
            };
            app.agents().create(&caller, new).await?
        }
    };
    Ok((StatusCode::CREATED, Json(session)))
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = Session), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn get(caller: InSession<Read>, State(app): State<App>) -> Result<Json<Session>, Failure> {
    shown(&app, &caller.found, caller.id).await.map(Json)
}

/// Changes title or model of a session.
#[utoipa::path(patch, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")), request_body = UpdateSessionRequest,
    responses((status = 200, body = Session), (status = 401), (status = 403), (status = 404), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn update(
    caller: InSession<Own>,
    State(app): State<App>,
    Json(request): Json<UpdateSessionRequest>,
) -> Result<Json<Session>, Failure> {
    let title = request
        .title
        .map(|title| check::line("title", &title, 200))
        .transpose()?;
    let model = request
        .model
        .map(|model| check::line("model", &model, 200))
        .transpose()?;
    let session = app
        .sessions()
        .update(caller.owner(), caller.id, title, model)
        .await?;
    // What the session's key says of its model is read again.
    app.auth().forget_session_key(session.id);
    Ok(Json(session))
}

/// Deletes a session with all that is in it; a turn in flight is stopped. An agent's thread ends, and
/// a sandbox that was made for the session is deleted.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn delete(caller: InSession<Own>, State(app): State<App>) -> Result<StatusCode, Failure> {
    let (owner, id) = (caller.owner(), caller.id);
    let shares = app.sharing().list(id).await?;
    match app.sessions().get(owner, id).await?.agent {
        None => app.sessions().delete(owner, id).await?,
        Some(agent) => app.agents().delete(owner, id, &agent).await?,
    }
    app.sharing().over(&shares);
    app.auth().forget_session_key(id);
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use helix_proto::TypedId as _;

    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nonsense_is_no_cursor() {
        let cursor = ListCursor {
            updated_at_ms: 7,
            id: SessionId::from_parts(1, 2),
        };
        assert_eq!(decode(&encode(cursor)), Some(cursor));
        assert_eq!(decode("nonsense"), None);
        assert_eq!(decode(""), None);
    }
}
