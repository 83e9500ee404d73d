//! Sandboxes: make, list, change, delete, and what is done to whole ones.

use axum::extract::State;
use helix_proto::{
    SandboxHostId, SandboxId, UserId,
    auth::Role,
    page::Page,
    sandbox::{
        CreateSandboxRequest, NameRequest, Sandbox, SandboxLog, SandboxState, UpdateSandboxRequest,
    },
};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Query,
    access::{Drive, InSandbox, Own, Read, SandboxesKey},
};
use crate::{App, auth::Identity, sandboxes::Action, store::sandboxes::ListFilter};

mod choices;
mod desktop;
mod exec;
mod files;
mod git;
mod headers;
pub(crate) mod origins;
mod ports;
mod relay;
pub(super) mod request;
mod snapshots;
mod stats;
mod terminals;
mod websocket;

/// Items of a page, unless the caller wants fewer.
const PAGE: u32 = 50;
/// Items of a page at most.
const LARGEST_PAGE: u32 = 200;
/// Most log lines that can be asked for.
const MAX_TAIL: u32 = 10_000;

/// The routes of these files.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(fork))
        .routes(routes!(log))
        .merge(choices::routes())
        .merge(stats::routes())
        .merge(snapshots::routes())
        .merge(exec::routes())
        .merge(terminals::routes())
        .merge(desktop::routes())
        .merge(files::routes())
        .merge(git::routes())
        .merge(ports::routes())
        .merge(origins::routes())
}

/// Whose things an administrator wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    All,
    One(UserId),
}

impl Whose {
    /// What `user` of a query means to this caller: their own, if it is absent.
    fn read(caller: &Identity, user: Option<&str>) -> Result<Option<UserId>, Failure> {
        let whose = match user {
            None => Self::One(caller.user_id),
            Some("all") => Self::All,
            Some(id) => Self::One(
                id.parse()
                    .map_err(|_| Failure::invalid("user", "must be a user's id, or `all`"))?,
            ),
        };
        match whose {
            Self::One(user) if user == caller.user_id => Ok(Some(user)),
            _ if caller.role != Role::Admin => Err(Failure::forbidden(
                "only administrators may see what others have",
            )),
            Self::One(user) => Ok(Some(user)),
            Self::All => Ok(None),
        }
    }
}

/// How many items of a page.
fn page_limit(limit: Option<u32>) -> Result<u32, Failure> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=LARGEST_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        let why = format!("must be 1 to {LARGEST_PAGE}");
        Err(Failure::invalid("limit", why))
    }
}

/// A page out of one item more than it holds.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(cursor);
    Page { items, next_cursor }
}

/// Reads a cursor: the id of the last item of the page before.
fn cursor<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Failure> {
    let invalid = |_| Failure::invalid("cursor", "must be the `next_cursor` of the page before");
    text.map(|text| text.parse().map_err(invalid)).transpose()
}

/// Which sandboxes to list.
#[derive(Debug, Deserialize)]
struct ListQuery {
    /// Whose: a user's id, or `all`, for administrators.
    #[serde(default)]
    user: Option<String>,
    /// Only those on this host.
    #[serde(default)]
    host_id: Option<SandboxHostId>,
    /// Only those in this state.
    #[serde(default)]
    state: Option<SandboxState>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// Items of the page.
    #[serde(default)]
    limit: Option<u32>,
}

/// Sandboxes, newest first: one's own, or as an administrator says.
#[utoipa::path(get, path = "/api/v1/sandboxes", tag = "sandboxes", params(
        ("user" = Option<String>, Query, description = "Whose: a user's id, or `all`, for administrators; one's own if absent"),
        ("host_id" = Option<SandboxHostId>, Query, description = "Only those on this host"),
        ("state" = Option<SandboxState>, Query, description = "Only those in this state"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Items of the page. 1 to 200; 50 if absent.")),
    responses((status = 200, body = Page<Sandbox>), (status = 401), (status = 403), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn list(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Sandbox>>, Failure> {
    let filter = ListFilter {
        user: Whose::read(&caller, query.user.as_deref())?,
        host: query.host_id,
        state: query.state,
    };
    let limit = page_limit(query.limit)?;
    let before = cursor(query.cursor.as_deref())?;
    let items = app.sandboxes().list(filter, before, limit + 1).await?;
    Ok(Json(page(items, limit, |last| last.id.to_string())))
}

/// Makes a sandbox. It is `creating` when this answers; its host says how it goes on.
/// 409 when it would be more than one user may have, 503 when no host has room, which
/// says why.
#[utoipa::path(post, path = "/api/v1/sandboxes", tag = "sandboxes", request_body = CreateSandboxRequest,
    responses((status = 201, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn create(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Json(mut request): Json<CreateSandboxRequest>,
) -> Result<(StatusCode, Json<Sandbox>), Failure> {
    request::check(&mut request)?;
    let sandbox = app.sandboxes().create(&caller, request).await?;
    Ok((StatusCode::CREATED, Json(sandbox)))
}

/// One sandbox.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Sandbox), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn get(caller: InSandbox<Read>, State(app): State<App>) -> Result<Json<Sandbox>, Failure> {
    let found = app.sandboxes().find(caller.id).await?;
    Ok(Json(app.sandboxes().shown(found)))
}

/// Changes what a sandbox is called, what it may reach and use, and when it is stopped: at
/// once, running or not. 409 for a limit that cannot be changed while it runs, and for more
/// than its user may have; 503 where its host has too little left.
#[utoipa::path(patch, path = "/api/v1/sandboxes/{id}", tag = "sandboxes", request_body = UpdateSandboxRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn update(
    caller: InSandbox<Own>,
    State(app): State<App>,
    Json(mut request): Json<UpdateSandboxRequest>,
) -> Result<Json<Sandbox>, Failure> {
    request::check_update(&mut request)?;
    let updated = app.sandboxes().update(caller.id, request);
    updated.await.map(Json)
}

/// Deletes a sandbox with everything of it; once more changes nothing. If its host
/// cannot be reached now, it is removed there when the host is back.
#[utoipa::path(delete, path = "/api/v1/sandboxes/{id}", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn delete(caller: InSandbox<Own>, State(app): State<App>) -> Result<StatusCode, Failure> {
    app.sandboxes().delete(caller.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a sandbox's processes stand still, in memory.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/pause", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn pause(caller: InSandbox<Own>, State(app): State<App>) -> Result<Json<Sandbox>, Failure> {
    let done = app.sandboxes().act(caller.id, Action::Pause);
    done.await.map(Json)
}

/// Has a paused sandbox's processes go on.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/resume", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn resume(
    caller: InSandbox<Drive>,
    State(app): State<App>,
) -> Result<Json<Sandbox>, Failure> {
    let done = app.sandboxes().act(caller.id, Action::Resume);
    done.await.map(Json)
}

/// Starts a sandbox that stopped or failed, with its files. It is `creating` until it
/// runs.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/start", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn start(caller: InSandbox<Drive>, State(app): State<App>) -> Result<Json<Sandbox>, Failure> {
    let done = app.sandboxes().act(caller.id, Action::Start);
    done.await.map(Json)
}

/// Ends a sandbox's processes; its files are kept.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/stop", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn stop(caller: InSandbox<Own>, State(app): State<App>) -> Result<Json<Sandbox>, Failure> {
    let done = app.sandboxes().act(caller.id, Action::Stop);
    done.await.map(Json)
}

/// Makes a sandbox with the files of this one as they are now, on the same host, with
/// the same policy and limits.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/fork", tag = "sandboxes", request_body = NameRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 201, body = Sandbox), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn fork(
    caller: InSandbox<Own>,
    State(app): State<App>,
    Json(request): Json<NameRequest>,
) -> Result<(StatusCode, Json<Sandbox>), Failure> {
    let name = request::name(request.name.as_deref())?;
    let fork = app.sandboxes().fork(&caller, caller.id, name).await?;
    Ok((StatusCode::CREATED, Json(fork)))
}

/// How much of a log.
#[derive(Debug, Deserialize)]
struct Tail {
    /// Lines.
    #[serde(default = "Tail::usual")]
    tail: u32,
}

impl Tail {
    const fn usual() -> u32 {
        100
    }
}

/// The last lines of a sandbox's log: how it was made, and what its Docker daemon says.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/logs", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("tail" = Option<u32>, Query, description = "How many of the last lines, at most 10,000; 100 if absent")),
    responses((status = 200, body = SandboxLog), (status = 401), (status = 403), (status = 404), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn log(
    caller: InSandbox<Drive>,
    State(app): State<App>,
    Query(query): Query<Tail>,
) -> Result<Json<SandboxLog>, Failure> {
    let sandbox = app.sandboxes().find(caller.id).await?;
    let client = app.sandboxes().client(sandbox.host_id)?;
    Ok(Json(
        client.logs(caller.id, query.tail.min(MAX_TAIL)).await?,
    ))
}
