//! Sharing a session: with whom, what for, and until when.

use axum::extract::State;
use helix_proto::{
    SessionId, ShareId,
    session::Session,
    share::{CreateShareRequest, CreatedShare, SessionShare, TakeShareRequest, UpdateShareRequest},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path,
    access::{InSession, Own, Read, SessionsKey},
    check,
    sessions::shown,
};
use crate::{App, sharing::Right};

/// How long a share lasts at least, and at most.
const LEAST_MS: u64 = 60_000;
const MOST_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(update, revoke))
        .routes(routes!(take))
        .routes(routes!(leave))
}

fn check_ttl(ttl_ms: Option<u64>) -> Result<(), Failure> {
    if ttl_ms.is_none_or(|ttl| (LEAST_MS..=MOST_MS).contains(&ttl)) {
        return Ok(());
    }
    let why = format!("must be {LEAST_MS} to {MOST_MS}");
    Err(Failure::invalid("ttl_ms", why))
}

/// With whom a session of one's own is shared, and by which links; those that have ended, too.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/shares", tag = "sessions", operation_id = "list_shares",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = Vec<SessionShare>), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn list(
    caller: InSession<Own>,
    State(app): State<App>,
) -> Result<Json<Vec<SessionShare>>, Failure> {
    Ok(Json(app.sharing().list(caller.id).await?))
}

/// Shares a session of one's own: with the account of an email address, or by a link that whoever
/// is signed in may take.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/shares", tag = "sessions", operation_id = "create_share",
    params(("id" = SessionId, Path, description = "The session")), request_body = CreateShareRequest,
    responses((status = 201, body = CreatedShare), (status = 401), (status = 403), (status = 404), (status = 409, description = "It is shared with them already, or has too many shares"), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn create(
    caller: InSession<Own>,
    State(app): State<App>,
    Json(request): Json<CreateShareRequest>,
) -> Result<(StatusCode, Json<CreatedShare>), Failure> {
    check_ttl(request.ttl_ms)?;
    let email = request.email.map(|email| check::email("email", &email));
    let email = email.transpose()?;
    let sharing = app.sharing();
    let created = sharing.add(
        &caller.found,
        caller.id,
        request.right,
        email.as_deref(),
        request.ttl_ms,
    );
    Ok((StatusCode::CREATED, Json(created.await?)))
}

/// Changes what a share is for, or when it ends. What is open by it ends, and begins anew as it is
/// allowed then.
#[utoipa::path(patch, path = "/api/v1/sessions/{id}/shares/{share}", tag = "sessions", operation_id = "update_share",
    params(("id" = SessionId, Path, description = "The session"), ("share" = ShareId, Path, description = "The share")),
    request_body = UpdateShareRequest,
    responses((status = 200, body = SessionShare), (status = 401), (status = 403), (status = 404), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn update(
    caller: InSession<Own>,
    State(app): State<App>,
    Path((_id, share)): Path<(SessionId, ShareId)>,
    Json(request): Json<UpdateShareRequest>,
) -> Result<Json<SessionShare>, Failure> {
    check_ttl(request.ttl_ms.flatten())?;
    let sharing = app.sharing();
    let changed = sharing.change(caller.id, share, request.right, request.ttl_ms);
    changed.await.map(Json)
}

/// Ends a share. What whoever had it has open of the session and of its sandbox ends within
/// seconds.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}/shares/{share}", tag = "sessions", operation_id = "revoke_share",
    params(("id" = SessionId, Path, description = "The session"), ("share" = ShareId, Path, description = "The share")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn revoke(
    caller: InSession<Own>,
    State(app): State<App>,
    Path((_id, share)): Path<(SessionId, ShareId)>,
) -> Result<StatusCode, Failure> {
    app.sharing().revoke(caller.id, share).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a link to a session: the caller has it then, as it was shared.
#[utoipa::path(post, path = "/api/v1/shares/take", tag = "sessions", operation_id = "take_share",
    request_body = TakeShareRequest,
    responses((status = 200, body = Session), (status = 401), (status = 404, description = "There is no such link, or not any more"), (status = 409, description = "Too many took it"), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn take(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    Json(request): Json<TakeShareRequest>,
) -> Result<Json<Session>, Failure> {
    let id = app.sharing().take(&caller, &request.token).await?;
    let found = app.sharing().session(&caller, id).await?;
    shown(&app, &found, id).await.map(Json)
}

/// Gives up a session that another shares; a link may be taken again.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/leave", tag = "sessions", operation_id = "leave_session",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204), (status = 401), (status = 404), (status = 409, description = "It is the caller's own")),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn leave(caller: InSession<Read>, State(app): State<App>) -> Result<StatusCode, Failure> {
    if caller.found.grant.right() == Right::Own {
        return Err(Failure::conflict("the session is your own: delete it"));
    }
    app.sharing().leave(caller.user_id, caller.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
