//! Machines that host sandboxes.

use axum::{
    extract::State,
    response::sse::{Event, Sse},
};
use futures_util::Stream;
use helix_proto::{
    SandboxHostId,
    fleet::JoinRequest,
    sandbox::host::{
        CreateSandboxHostRequest, CreatedSandboxHost, HostUse, LiveSetReport, SandboxHost,
        UpdateSandboxHostRequest,
    },
};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path, Query,
    access::{AdminOnly, Public},
    check,
    meter::Meter,
    streams::Checks,
};
use crate::{
    App,
    auth::secret::{self, Minted},
    store::sandbox_hosts::StoredHost,
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(drain))
        .routes(routes!(resume))
        .routes(routes!(rotate))
        .routes(routes!(live_set))
        .routes(routes!(stats_stream))
        .routes(routes!(join))
}

/// All sandbox hosts, oldest first.
#[utoipa::path(get, path = "/api/v1/sandbox-hosts", tag = "sandbox-hosts",
    responses((status = 200, body = Vec<SandboxHost>), (status = 401), (status = 403)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn list(
    _: Caller<AdminOnly>,
    State(app): State<App>,
) -> Result<Json<Vec<SandboxHost>>, Failure> {
    Ok(Json(app.sandboxes().hosts().await?))
}

/// Registers a sandbox host; its credential is shown this once.
#[utoipa::path(post, path = "/api/v1/sandbox-hosts", tag = "sandbox-hosts", request_body = CreateSandboxHostRequest,
    responses((status = 201, body = CreatedSandboxHost), (status = 401), (status = 403), (status = 422)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn create(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Json(request): Json<CreateSandboxHostRequest>,
) -> Result<(StatusCode, Json<CreatedSandboxHost>), Failure> {
    let (host, credential) = newcomer(&app, &request.name)?;
    app.sandboxes()
        .register(host.clone(), &credential.hash)
        .await?;
    Ok((StatusCode::CREATED, Json(created(host, credential))))
}

/// A machine registers itself as a sandbox host, with a join token of that role.
#[utoipa::path(post, path = "/api/v1/sandbox-hosts/join", tag = "sandbox-hosts", request_body = JoinRequest,
    responses((status = 201, body = CreatedSandboxHost), (status = 401), (status = 422)))]
async fn join(
    _: Caller<Public>,
    State(app): State<App>,
    Json(request): Json<JoinRequest>,
) -> Result<(StatusCode, Json<CreatedSandboxHost>), Failure> {
    let (host, credential) = newcomer(&app, &request.name)?;
    let token = secret::hash(&request.token);
    let joined = app
        .store()
        .join_sandbox_host(&token, &host, &credential.hash)
        .await?;
    if !joined {
        return Err(Failure::unauthenticated(
            "the join token is not valid for sandbox hosts, has expired or was used up: ask an administrator for a new one",
        ));
    }
    app.sandboxes().registered(host.clone());
    Ok((StatusCode::CREATED, Json(created(host, credential))))
}

/// One sandbox host.
#[utoipa::path(get, path = "/api/v1/sandbox-hosts/{id}", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = SandboxHost), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn get(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
) -> Result<Json<SandboxHost>, Failure> {
    app.sandboxes().host(id).await.map(Json)
}

/// Changes what a sandbox host is called.
#[utoipa::path(patch, path = "/api/v1/sandbox-hosts/{id}", tag = "sandbox-hosts", request_body = UpdateSandboxHostRequest,
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = SandboxHost), (status = 401), (status = 403), (status = 404), (status = 422)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn update(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
    Json(request): Json<UpdateSandboxHostRequest>,
) -> Result<Json<SandboxHost>, Failure> {
    if let Some(name) = &request.name {
        let name = check::line("name", name, 100)?;
        app.sandboxes().rename_host(id, &name).await?;
    }
    app.sandboxes().host(id).await.map(Json)
}

/// What becomes of a host's sandboxes.
#[derive(Debug, Deserialize)]
struct DeleteQuery {
    /// Whether to forget those that it has.
    #[serde(default)]
    force: bool,
}

/// Forgets a sandbox host; its tunnel is closed at once and its credential is worth
/// nothing. With `force`, its sandboxes and snapshots are forgotten with it.
#[utoipa::path(delete, path = "/api/v1/sandbox-hosts/{id}", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host"),
        ("force" = Option<bool>, Query, description = "Whether to forget the sandboxes and snapshots that it has")),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 409)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn delete(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Failure> {
    app.sandboxes().remove_host(id, query.force).await?;
    app.agents().revoke(id, "the sandbox host was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Has a sandbox host take no new sandboxes; those that it has stay.
#[utoipa::path(post, path = "/api/v1/sandbox-hosts/{id}/drain", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = SandboxHost), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn drain(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
) -> Result<Json<SandboxHost>, Failure> {
    app.sandboxes().drain_host(id, true).await?;
    app.sandboxes().host(id).await.map(Json)
}

/// Has a sandbox host take sandboxes again.
#[utoipa::path(post, path = "/api/v1/sandbox-hosts/{id}/resume", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = SandboxHost), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn resume(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
) -> Result<Json<SandboxHost>, Failure> {
    app.sandboxes().drain_host(id, false).await?;
    app.sandboxes().host(id).await.map(Json)
}

/// Gives a sandbox host another credential, shown this once; the one until now is
/// worth nothing and its tunnel is closed at once.
#[utoipa::path(post, path = "/api/v1/sandbox-hosts/{id}/credential", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = CreatedSandboxHost), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn rotate(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
) -> Result<Json<CreatedSandboxHost>, Failure> {
    let credential = secret::mint(secret::SANDBOX_HOST);
    let host = app.sandboxes().host(id).await?;
    if !app.sandboxes().rotate_host(id, &credential.hash).await? {
        return Err(Failure::not_found("sandbox host"));
    }
    app.agents().revoke(id, "the credential was replaced");
    let (name, credential) = (host.name, credential.secret);
    Ok(Json(CreatedSandboxHost {
        id,
        name,
        credential,
    }))
}

/// What the host would keep and remove by the database of now, each with the reason. A
/// dry run: nothing is removed.
#[utoipa::path(get, path = "/api/v1/sandbox-hosts/{id}/live-set", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = LiveSetReport), (status = 401), (status = 403), (status = 404), (status = 502), (status = 503)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn live_set(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
) -> Result<Json<LiveSetReport>, Failure> {
    app.sandboxes().live_set_dry_run(id).await.map(Json)
}

/// What a sandbox host and its sandboxes use, every two seconds. Ends when they cannot be
/// measured any more, with an event named `error` that carries the reason.
#[utoipa::path(get, path = "/api/v1/sandbox-hosts/{id}/stats/stream", tag = "sandbox-hosts",
    params(("id" = SandboxHostId, Path, description = "The host")),
    responses((status = 200, body = HostUse, content_type = "text/event-stream"), (status = 401), (status = 403), (status = 404), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn stats_stream(
    caller: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<SandboxHostId>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Failure> {
    let sandboxes = app.sandboxes().clone();
    sandboxes.host(id).await?;
    let checks = Checks::of_caller(&app, &caller);
    Meter::stream(&app, &caller, checks, move || {
        let sandboxes = sandboxes.clone();
        Box::pin(async move { Ok(sandboxes.client(id)?.use_of_all().await?) })
    })
    .await
}

/// A host to be, and its credential.
fn newcomer(app: &App, name: &str) -> Result<(StoredHost, Minted), Failure> {
    let name = check::line("name", name, 100)?;
    let foundation = app.foundation();
    let host = StoredHost::new(foundation.ids.next(), name, foundation.clock.now_ms());
    Ok((host, secret::mint(secret::SANDBOX_HOST)))
}

fn created(host: StoredHost, credential: Minted) -> CreatedSandboxHost {
    CreatedSandboxHost {
        id: host.id,
        name: host.name,
        credential: credential.secret,
    }
}
