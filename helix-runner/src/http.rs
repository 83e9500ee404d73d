//! The routes of [`helix_proto::runner`].

mod body;
mod events;
mod proxy;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use helix_proto::{
    ApiError, ErrorCode, InstanceId,
    error::ErrorEnvelope,
    runner::{InspectRequest, InspectResponse, InstanceStatus, LogTail, RunnerInfo, StartInstance},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::handle::Handle;

pub(crate) use proxy::Proxy;

/// A control message is smaller than this.
const MAX_CONTROL_BYTES: usize = 1 << 20;

/// How many lines of a log are answered when nobody says.
const DEFAULT_TAIL: usize = 200;

/// What the routes work on.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) handle: Handle,
    pub(crate) proxy: Proxy,
}

/// All routes of a runner.
pub(crate) fn router(served: Served) -> Router {
    Router::new()
        .route("/runner/v1/info", get(info))
        .route("/runner/v1/events", get(follow))
        .route("/runner/v1/inspect", post(inspect))
        .route("/runner/v1/instances/{id}", put(start).delete(stop))
        .route("/runner/v1/instances/{id}/log", get(log))
        .layer(DefaultBodyLimit::max(MAX_CONTROL_BYTES))
        .route(
            "/runner/v1/instances/{id}/engine/{*path}",
            any(proxy::forward),
        )
        .fallback(async || Failed::from(ApiError::new(ErrorCode::NotFound, "no such route")))
        .with_state(served)
}

/// An error as it is answered.
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
        (status, Json(ErrorEnvelope { error: self.0 })).into_response()
    }
}

fn unknown(id: InstanceId) -> Failed {
    ApiError::new(
        ErrorCode::NotFound,
        format!("this runner has no instance {id}"),
    )
    .into()
}

fn parse_id(text: &str) -> Result<InstanceId, Failed> {
    let wrong = |error| ApiError::new(ErrorCode::NotFound, format!("instance: {error}")).into();
    text.parse().map_err(wrong)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    let wrong = |error| ApiError::new(ErrorCode::BadRequest, format!("malformed request: {error}"));
    Ok(serde_json::from_slice(body).map_err(wrong)?)
}

async fn info(State(served): State<Served>) -> Json<RunnerInfo> {
    Json(served.handle.info().await)
}

async fn follow(State(served): State<Served>) -> Response {
    events::stream(served.handle)
}

async fn start(
    State(served): State<Served>,
    Path(id): Path<String>,
    body: bytes::Bytes,
) -> Result<Json<InstanceStatus>, Failed> {
    let start: StartInstance = parse(&body)?;
    Ok(Json(served.handle.start(parse_id(&id)?, start)?))
}

async fn stop(
    State(served): State<Served>,
    Path(id): Path<String>,
) -> Result<Json<InstanceStatus>, Failed> {
    let id = parse_id(&id)?;
    served.handle.stop(id).map(Json).ok_or_else(|| unknown(id))
}

#[derive(Debug, Deserialize)]
struct Tail {
    tail: Option<usize>,
}

async fn log(
    State(served): State<Served>,
    Path(id): Path<String>,
    Query(Tail { tail }): Query<Tail>,
) -> Result<Json<LogTail>, Failed> {
    let id = parse_id(&id)?;
    let lines = served.handle.log(id, tail.unwrap_or(DEFAULT_TAIL));
    lines
        .map(|lines| Json(LogTail { lines }))
        .ok_or_else(|| unknown(id))
}

async fn inspect(
    State(served): State<Served>,
    body: bytes::Bytes,
) -> Result<Json<InspectResponse>, Failed> {
    let request: InspectRequest = parse(&body)?;
    Ok(Json(served.handle.inspect(&request).await?))
}
