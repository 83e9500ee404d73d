//! Git repositories in a sandbox.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use helix_proto::{
    SandboxId,
    sandbox::git::{
        GitBranches, GitCheckoutRequest, GitCloneEvent, GitCloneRequest, GitCommit,
        GitCommitRequest, GitDiff, GitPush, GitPushRequest, GitRepository, GitStatus,
    },
};
use http::header;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::files::only;
use crate::{
    App,
    api::{
        Failure, Json, Query,
        access::{Drive, InSandbox, Own, Read},
        streams::Open,
    },
    auth::Identity,
    sharing::{self, Right},
    workspaces::Progress,
};

/// Events of a clone that wait for their reader; the newest are left out when it is slow.
const EVENTS: usize = 64;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(git_clone))
        .routes(routes!(git_status))
        .routes(routes!(git_diff))
        .routes(routes!(git_branches))
        .routes(routes!(git_checkout))
        .routes(routes!(git_commit))
        .routes(routes!(git_push))
}

/// Which repository.
#[derive(Debug, Deserialize)]
struct Where {
    #[serde(default)]
    directory: Option<String>,
}

/// Which difference.
#[derive(Debug, Deserialize)]
struct Which {
    #[serde(default)]
    directory: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    staged: bool,
}

/// That somebody does not ask too much at once.
fn enter(app: &App, caller: &Identity) -> Result<Open, Failure> {
    let most = app.options().sandboxes.max_requests_per_user;
    app.relays().open(caller.user_id, most)
}

/// That whoever may only read asks for a repository in the directory of the agent whose session
/// they see.
fn readable(caller: &InSandbox<Read>, directory: Option<&str>) -> Result<(), Failure> {
    let found = &caller.found;
    let directory = directory.unwrap_or(".");
    if found.grant.right() > Right::Read
        || sharing::readable(&found.directories, directory.as_bytes())
    {
        return Ok(());
    }
    Err(only(found))
}

/// Clones a repository in a sandbox, as its user and with the secrets that it is given.
/// With `stream` the answer is newline-delimited `GitCloneEvent`, else the repository when
/// it is there.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/git/clone", tag = "sandboxes", request_body = GitCloneRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = GitRepository), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_clone(
    caller: InSandbox<Own>,
    State(app): State<App>,
    Json(request): Json<GitCloneRequest>,
) -> Result<Response, Failure> {
    let open = enter(&app, &caller)?;
    let id = caller.id;
    if !request.stream {
        let done = app.workspaces().clone_into(id, &request, |_| ()).await?;
        drop(open);
        return Ok(Json(done).into_response());
    }
    let (events, heard) = mpsc::channel(EVENTS);
    let workspaces = app.workspaces().clone();
    app.foundation()
        .tasks
        .spawn("clone a repository", async move {
            let hear = |Progress { what, percent }| {
                // The last event has its own way.
                let _ = events.try_send(GitCloneEvent::Progress { what, percent });
            };
            let done = tokio::select! {
                done = workspaces.clone_into(id, &request, hear) => done,
                // Who asked has left: so ends the clone.
                () = events.closed() => return,
            };
            let last = match done {
                Ok(repository) => GitCloneEvent::Done { repository },
                Err(failure) => GitCloneEvent::Failed {
                    message: failure.error().message.clone(),
                },
            };
            let _ = events.send(last).await;
            drop(open);
        });
    let lines = ReceiverStream::new(heard).map(|event| {
        let line = serde_json::to_string(&event).unwrap_or_default();
        Ok::<_, Infallible>(line + "\n")
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// What changed in a repository.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/git/status", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("directory" = Option<String>, Query, description = "The repository, from the user's home on; the home itself if absent")),
    responses((status = 200, body = GitStatus), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_status(
    caller: InSandbox<Read>,
    State(app): State<App>,
    Query(at): Query<Where>,
) -> Result<Json<GitStatus>, Failure> {
    let _open = enter(&app, &caller)?;
    readable(&caller, at.directory.as_deref())?;
    let workspace = app.workspaces().open(caller.id, at.directory.as_deref());
    workspace.await?.status().await.map(Json)
}

/// How a file, or everything that git knows, differs from what is staged, or what is
/// staged from the commit.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/git/diff", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("directory" = Option<String>, Query, description = "The repository, from the user's home on; the home itself if absent"),
        ("path" = Option<String>, Query, description = "The file, from the repository's directory on; all if absent"),
        ("staged" = Option<bool>, Query, description = "Whether what is staged is compared with the commit")),
    responses((status = 200, body = GitDiff), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_diff(
    caller: InSandbox<Read>,
    State(app): State<App>,
    Query(which): Query<Which>,
) -> Result<Json<GitDiff>, Failure> {
    let _open = enter(&app, &caller)?;
    readable(&caller, which.directory.as_deref())?;
    let workspace = app.workspaces().open(caller.id, which.directory.as_deref());
    let diff = workspace.await?;
    diff.diff(which.path.as_deref(), which.staged)
        .await
        .map(Json)
}

/// The branches of a repository, and those of its remotes as they were last fetched.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/git/branches", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox"),
        ("directory" = Option<String>, Query, description = "The repository, from the user's home on; the home itself if absent")),
    responses((status = 200, body = GitBranches), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_branches(
    caller: InSandbox<Read>,
    State(app): State<App>,
    Query(at): Query<Where>,
) -> Result<Json<GitBranches>, Failure> {
    let _open = enter(&app, &caller)?;
    readable(&caller, at.directory.as_deref())?;
    let workspace = app.workspaces().open(caller.id, at.directory.as_deref());
    workspace.await?.branches().await.map(Json)
}

/// Checks a branch out in a repository; what changed there then.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/git/checkout", tag = "sandboxes", request_body = GitCheckoutRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = GitStatus), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_checkout(
    caller: InSandbox<Drive>,
    State(app): State<App>,
    Json(request): Json<GitCheckoutRequest>,
) -> Result<Json<GitStatus>, Failure> {
    let _open = enter(&app, &caller)?;
    let workspace = app
        .workspaces()
        .open(caller.id, request.directory.as_deref());
    let workspace = workspace.await?;
    workspace
        .checkout(&request.branch, request.create)
        .await
        .map(Json)
}

/// Commits what changed in a repository. It is by whom the sandbox's git says, else by
/// the caller.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/git/commit", tag = "sandboxes", request_body = GitCommitRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = GitCommit), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_commit(
    caller: InSandbox<Drive>,
    State(app): State<App>,
    Json(request): Json<GitCommitRequest>,
) -> Result<Json<GitCommit>, Failure> {
    let _open = enter(&app, &caller)?;
    let author = app.auth().user(caller.user_id).await?;
    let workspace = app
        .workspaces()
        .open(caller.id, request.directory.as_deref());
    let workspace = workspace.await?;
    let commit = workspace.commit(&request.message, request.paths.as_deref(), &author);
    commit.await.map(Json)
}

/// Pushes the branch that is checked out in a repository, with the secrets that the
/// sandbox is given.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/git/push", tag = "sandboxes", request_body = GitPushRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = GitPush), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn git_push(
    caller: InSandbox<Own>,
    State(app): State<App>,
    Json(request): Json<GitPushRequest>,
) -> Result<Json<GitPush>, Failure> {
    let _open = enter(&app, &caller)?;
    app.workspaces().prepare(caller.id).await?;
    let workspace = app
        .workspaces()
        .open(caller.id, request.directory.as_deref());
    workspace
        .await?
        .push(request.remote.as_deref())
        .await
        .map(Json)
}
