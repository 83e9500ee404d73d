//! Runners.

use axum::extract::State;
use helix_proto::{
    InstanceId, RunnerId,
    fleet::{
        CreateRunnerRequest, CreatedRunner, JoinRequest, Runner, RunnerDevice, RunnerInstance,
    },
    runner::{InstanceStatus, LogTail},
    tunnel::RunnerTunnel,
};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path, Query,
    access::{AdminOnly, Public},
    check,
};
use crate::{
    App,
    auth::secret::{self, Minted},
    fleet::RunnerView,
    store::runners::StoredRunner,
};

mod join_tokens;

/// Most log lines that can be asked for.
const MAX_TAIL: u32 = 1_000;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
        .routes(routes!(tunnel))
        .routes(routes!(drain))
        .routes(routes!(resume))
        .routes(routes!(rotate))
        .routes(routes!(log))
        .routes(routes!(stop))
        .routes(routes!(join))
        .merge(join_tokens::routes())
}

/// All runners, oldest first.
#[utoipa::path(get, path = "/api/v1/runners", tag = "runners",
    responses((status = 200, body = Vec<Runner>), (status = 401), (status = 403)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn list(_: Caller<AdminOnly>, State(app): State<App>) -> Json<Vec<Runner>> {
    let views = app.fleet().runners();
    Json(views.into_iter().map(|view| shown(&app, view)).collect())
}

/// Registers a runner; its credential is shown this once.
#[utoipa::path(post, path = "/api/v1/runners", tag = "runners", request_body = CreateRunnerRequest,
    responses((status = 201, body = CreatedRunner), (status = 401), (status = 403), (status = 422)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn create(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Json(request): Json<CreateRunnerRequest>,
) -> Result<(StatusCode, Json<CreatedRunner>), Failure> {
    let (runner, credential) = newcomer(&app, &request.name)?;
    app.fleet()
        .register(runner.clone(), &credential.hash)
        .await?;
    Ok((StatusCode::CREATED, Json(created(runner, credential))))
}

/// A machine registers itself as a runner, with a join token.
#[utoipa::path(post, path = "/api/v1/runners/join", tag = "runners", request_body = JoinRequest,
    responses((status = 201, body = CreatedRunner), (status = 401), (status = 422)))]
async fn join(
    _: Caller<Public>,
    State(app): State<App>,
    Json(request): Json<JoinRequest>,
) -> Result<(StatusCode, Json<CreatedRunner>), Failure> {
    let (runner, credential) = newcomer(&app, &request.name)?;
    let token = secret::hash(&request.token);
    if !app
        .store()
        .join_runner(&token, &runner, &credential.hash)
        .await?
    {
        return Err(Failure::unauthenticated(
            "the join token is not valid, has expired or was used up: ask an administrator for a new one",
        ));
    }
    app.fleet().registered(runner.clone());
    Ok((StatusCode::CREATED, Json(created(runner, credential))))
}

/// One runner.
#[utoipa::path(get, path = "/api/v1/runners/{id}", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner")),
    responses((status = 200, body = Runner), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn get(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RunnerId>,
) -> Result<Json<Runner>, Failure> {
    found(&app, id)
}

/// How a runner is connected: each lane of its tunnel, or when and why it ended.
#[utoipa::path(get, path = "/api/v1/runners/{id}/tunnel", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner")),
    responses((status = 200, body = RunnerTunnel), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn tunnel(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RunnerId>,
) -> Result<Json<RunnerTunnel>, Failure> {
    let view = app
        .fleet()
        .runner(id)
        .ok_or_else(|| Failure::not_found("runner"))?;
    Ok(Json(view.tunnel()))
}

/// Forgets a runner; its tunnel is closed at once and its credential is worth nothing.
#[utoipa::path(delete, path = "/api/v1/runners/{id}", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn delete(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RunnerId>,
) -> Result<StatusCode, Failure> {
    if !app.fleet().remove(id).await? {
        return Err(Failure::not_found("runner"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Has a runner finish what it has and take nothing new.
#[utoipa::path(post, path = "/api/v1/runners/{id}/drain", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner")),
    responses((status = 200, body = Runner), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn drain(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RunnerId>,
) -> Result<Json<Runner>, Failure> {
    app.fleet().drain(id, true).await?;
    found(&app, id)
}

/// Has a runner take work again.
#[utoipa::path(post, path = "/api/v1/runners/{id}/resume", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner")),
    responses((status = 200, body = Runner), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn resume(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RunnerId>,
) -> Result<Json<Runner>, Failure> {
    app.fleet().drain(id, false).await?;
    found(&app, id)
}

/// Gives a runner another credential, shown this once; the one until now is
/// worth nothing and its tunnel is closed at once.
#[utoipa::path(post, path = "/api/v1/runners/{id}/credential", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner")),
    responses((status = 200, body = CreatedRunner), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn rotate(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<RunnerId>,
) -> Result<Json<CreatedRunner>, Failure> {
    let credential = secret::mint(secret::RUNNER);
    let missing = || Failure::not_found("runner");
    let view = app.fleet().runner(id).ok_or_else(missing)?;
    if !app.fleet().rotate(id, &credential.hash).await? {
        return Err(missing());
    }
    Ok(Json(created(view.known, credential)))
}

/// How much of a log.
#[derive(Debug, Deserialize)]
struct Tail {
    /// Lines, at most 1,000; 100 if absent.
    #[serde(default = "Tail::usual")]
    tail: u32,
}

impl Tail {
    const fn usual() -> u32 {
        100
    }
}

/// The last lines of an instance's log.
#[utoipa::path(get, path = "/api/v1/runners/{id}/instances/{iid}/log", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner"), ("iid" = InstanceId, Path, description = "The instance"),
        ("tail" = Option<u32>, Query, description = "How many of the last lines, 100 if absent")),
    responses((status = 200, body = LogTail), (status = 401), (status = 403), (status = 404), (status = 502), (status = 503)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn log(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path((id, instance)): Path<(RunnerId, InstanceId)>,
    Query(query): Query<Tail>,
) -> Result<Json<LogTail>, Failure> {
    let _ = found(&app, id)?;
    let client = app.fleet().client(id)?;
    Ok(Json(client.log(instance, query.tail.min(MAX_TAIL)).await?))
}

/// Stops an instance; what it is answering is cut off. The scheduler may start
/// another when requests ask for it.
#[utoipa::path(delete, path = "/api/v1/runners/{id}/instances/{iid}", tag = "runners",
    params(("id" = RunnerId, Path, description = "The runner"), ("iid" = InstanceId, Path, description = "The instance")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn stop(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path((id, instance)): Path<(RunnerId, InstanceId)>,
) -> Result<StatusCode, Failure> {
    let here = app
        .inference()
        .ask_scheduler(|scheduler| scheduler.instance(instance))
        .is_some_and(|view| view.runner == id);
    if !here {
        return Err(Failure::not_found("instance on this runner"));
    }
    app.inference().stop_instance(instance);
    Ok(StatusCode::NO_CONTENT)
}

/// A runner to be, and its credential.
fn newcomer(app: &App, name: &str) -> Result<(StoredRunner, Minted), Failure> {
    let name = check::line("name", name, 100)?;
    let foundation = app.foundation();
    let runner = StoredRunner::new(foundation.ids.next(), name, foundation.clock.now_ms());
    Ok((runner, secret::mint(secret::RUNNER)))
}

fn created(runner: StoredRunner, credential: Minted) -> CreatedRunner {
    CreatedRunner {
        id: runner.id,
        name: runner.name,
        credential: credential.secret,
    }
}

fn found(app: &App, id: RunnerId) -> Result<Json<Runner>, Failure> {
    let view = app
        .fleet()
        .runner(id)
        .ok_or_else(|| Failure::not_found("runner"))?;
    Ok(Json(shown(app, view)))
}

/// A runner with what the scheduler has set aside and in flight on it.
fn shown(app: &App, view: RunnerView) -> Runner {
    let (state, tunnel) = (view.state(), view.tunnel());
    let known = view.known;
    let info = known.info;
    app.inference().ask_scheduler(|scheduler| Runner {
        id: known.id,
        name: known.name,
        state,
        tunnel,
        created_at_ms: known.created_at_ms,
        last_seen_at_ms: known.last_seen_at_ms,
        version: info.as_ref().map(|info| info.version.clone()),
        hostname: info.as_ref().map(|info| info.hostname.clone()),
        platform: info.as_ref().map(|info| info.platform.clone()),
        engines: info
            .as_ref()
            .map(|info| info.engines.clone())
            .unwrap_or_default(),
        devices: info
            .iter()
            .flat_map(|info| &info.devices)
            .map(|device| RunnerDevice {
                reserved_bytes: scheduler.reserved_bytes(known.id, &device.id),
                device: device.clone(),
            })
            .collect(),
        instances: info
            .iter()
            .flat_map(|info| &info.instances)
            .map(|status: &InstanceStatus| RunnerInstance {
                in_flight: scheduler.instance(status.id).map_or(0, |it| it.in_flight),
                status: status.clone(),
            })
            .collect(),
    })
}
