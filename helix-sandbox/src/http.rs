//! The routes of [`helix_proto::sandbox::host`].

mod events;
mod relay;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post, put},
};
use helix_proto::{
    ApiError, ErrorCode, SandboxId, SnapshotId,
    error::ErrorEnvelope,
    sandbox::{
        Egress, SandboxLimits, SandboxLog, SandboxStats,
        host::{
            HostInfo, HostUse, LiveSet, LiveSetReport, SandboxSpec, SandboxStatus, SandboxTimes,
            SnapshotStatus,
        },
    },
};
use serde::{Deserialize, de::DeserializeOwned};

pub(crate) use self::relay::forwardable;
use crate::Handle;

/// A control message is smaller than this; a live set has many ids.
const MAX_CONTROL_BYTES: usize = 4 << 20;

/// How many lines of a log are answered when nobody says.
const DEFAULT_TAIL: usize = 200;

/// All routes of a sandbox host.
pub(crate) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/host/v1/info", get(info))
        .route("/host/v1/events", get(follow))
        .route("/host/v1/stats", get(stats_of_all))
        .route("/host/v1/live-set", post(live_set))
        .route("/host/v1/snapshots/{snapshot}", delete(remove_snapshot))
        .route(
            "/host/v1/sandboxes/{id}",
            put(create).get(status).delete(remove),
        )
        .route("/host/v1/sandboxes/{id}/pause", post(pause))
        .route("/host/v1/sandboxes/{id}/resume", post(resume))
        .route("/host/v1/sandboxes/{id}/start", post(start))
        .route("/host/v1/sandboxes/{id}/stop", post(stop))
        .route("/host/v1/sandboxes/{id}/egress", put(set_egress))
        .route("/host/v1/sandboxes/{id}/limits", put(set_limits))
        .route("/host/v1/sandboxes/{id}/times", put(set_times))
        .route("/host/v1/sandboxes/{id}/stats", get(stats))
        .route("/host/v1/sandboxes/{id}/logs", get(logs))
        .route(
            "/host/v1/sandboxes/{id}/snapshots/{snapshot}",
            put(snapshot),
        )
        .layer(DefaultBodyLimit::max(MAX_CONTROL_BYTES))
        .route("/host/v1/sandboxes/{id}/guest/{*path}", any(relay::relay))
        .fallback(async || Failed::from(ApiError::new(ErrorCode::NotFound, "no such route")))
        .with_state(handle)
}

/// Tells an error of the host from an answer of what runs in a sandbox.
const OWN_ERROR: HeaderName = HeaderName::from_static("x-helix-error");

/// An error as it is answered.
#[derive(Debug)]
pub(crate) struct Failed(ApiError);

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let own = [(OWN_ERROR, "host")];
        (status, own, Json(ErrorEnvelope { error: self.0 })).into_response()
    }
}

type Answer<T> = Result<T, Failed>;

fn sandbox_id(text: &str) -> Result<SandboxId, ApiError> {
    let wrong = |error| ApiError::new(ErrorCode::NotFound, format!("sandbox: {error}"));
    text.parse().map_err(wrong)
}

fn snapshot_id(text: &str) -> Result<SnapshotId, ApiError> {
    let wrong = |error| ApiError::new(ErrorCode::NotFound, format!("snapshot: {error}"));
    text.parse().map_err(wrong)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let wrong = |error| ApiError::new(ErrorCode::BadRequest, format!("malformed request: {error}"));
    serde_json::from_slice(body).map_err(wrong)
}

async fn info(State(handle): State<Handle>) -> Json<HostInfo> {
    Json(handle.info().await)
}

async fn follow(State(handle): State<Handle>) -> Response {
    events::stream(handle)
}

async fn live_set(State(handle): State<Handle>, body: bytes::Bytes) -> Answer<Json<LiveSetReport>> {
    let set: LiveSet = parse(&body)?;
    Ok(Json(handle.live_set(&set).await?))
}

async fn create(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    body: bytes::Bytes,
) -> Answer<(StatusCode, Json<SandboxStatus>)> {
    let spec: SandboxSpec = parse(&body)?;
    if sandbox_id(&id)? != spec.id {
        let message = "the id in the address is not that in the body";
        return Err(ApiError::new(ErrorCode::Invalid, message)
            .with_field("id")
            .into());
    }
    Ok((StatusCode::ACCEPTED, Json(handle.create(spec)?)))
}

async fn status(
    State(handle): State<Handle>,
    Path(id): Path<String>,
) -> Answer<Json<SandboxStatus>> {
    Ok(Json(handle.find(sandbox_id(&id)?)?.status()))
}

async fn remove(State(handle): State<Handle>, Path(id): Path<String>) -> Answer<StatusCode> {
    handle.delete(sandbox_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(
    State(handle): State<Handle>,
    Path(id): Path<String>,
) -> Answer<Json<SandboxStatus>> {
    Ok(Json(handle.pause(sandbox_id(&id)?).await?))
}

async fn resume(
    State(handle): State<Handle>,
    Path(id): Path<String>,
) -> Answer<Json<SandboxStatus>> {
    Ok(Json(handle.resume(sandbox_id(&id)?).await?))
}

async fn start(
    State(handle): State<Handle>,
    Path(id): Path<String>,
) -> Answer<Json<SandboxStatus>> {
    Ok(Json(handle.start(sandbox_id(&id)?).await?))
}

async fn stop(State(handle): State<Handle>, Path(id): Path<String>) -> Answer<Json<SandboxStatus>> {
    Ok(Json(handle.stop(sandbox_id(&id)?).await?))
}

async fn set_egress(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    body: bytes::Bytes,
) -> Answer<Json<SandboxStatus>> {
    let egress: Egress = parse(&body)?;
    Ok(Json(handle.set_egress(sandbox_id(&id)?, egress).await?))
}

async fn set_limits(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    body: bytes::Bytes,
) -> Answer<Json<SandboxStatus>> {
    let limits: SandboxLimits = parse(&body)?;
    Ok(Json(handle.set_limits(sandbox_id(&id)?, limits).await?))
}

async fn set_times(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    body: bytes::Bytes,
) -> Answer<Json<SandboxStatus>> {
    let times: SandboxTimes = parse(&body)?;
    Ok(Json(handle.set_times(sandbox_id(&id)?, times).await?))
}

async fn stats_of_all(State(handle): State<Handle>) -> Json<HostUse> {
    Json(handle.stats_of_all().await)
}

async fn stats(State(handle): State<Handle>, Path(id): Path<String>) -> Answer<Json<SandboxStats>> {
    Ok(Json(handle.stats(sandbox_id(&id)?).await?))
}

#[derive(Debug, Deserialize)]
struct Tail {
    tail: Option<usize>,
}

async fn logs(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    Query(Tail { tail }): Query<Tail>,
) -> Answer<Json<SandboxLog>> {
    let tail = tail.unwrap_or(DEFAULT_TAIL);
    Ok(Json(handle.log(sandbox_id(&id)?, tail).await?))
}

async fn snapshot(
    State(handle): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
) -> Answer<Json<SnapshotStatus>> {
    let snapshot = snapshot_id(&snapshot)?;
    Ok(Json(handle.snapshot(sandbox_id(&id)?, snapshot).await?))
}

async fn remove_snapshot(
    State(handle): State<Handle>,
    Path(snapshot): Path<String>,
) -> Answer<StatusCode> {
    handle.delete_snapshot(snapshot_id(&snapshot)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
