//! What the guest answers about its Docker daemon.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use helix_proto::{
    error::{ApiError, ErrorCode, ErrorEnvelope},
    sandbox::{
        SandboxLog,
        guest::{DockerNames, ServiceStatus},
    },
};
use serde::Deserialize;

use super::Docker;

/// The longest that an answer waits for the daemon to be ready.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Lines of its log, unless asked for another number.
const LINES: usize = 100;

type Shared = State<Arc<Option<Docker>>>;
type Refusal = (StatusCode, Json<ErrorEnvelope>);

/// The routes of a guest that are about Docker; without a daemon they say so.
pub fn routes<S: Clone + Send + Sync + 'static>(docker: Option<Docker>) -> Router<S> {
    Router::new()
        .route("/docker", get(status))
        .route("/docker/names/{name}", get(names))
        .route("/docker/log", get(log))
        .with_state(Arc::new(docker))
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

async fn status(State(docker): Shared, query: Query<Wait>) -> Result<Json<ServiceStatus>, Refusal> {
    let patience = Duration::from_millis(query.wait_ms).min(LONGEST_WAIT);
    Ok(Json(existing(&docker)?.settled(patience).await))
}

async fn names(
    State(docker): Shared,
    Path(name): Path<String>,
) -> Result<Json<DockerNames>, Refusal> {
    let addresses = existing(&docker)?.names().lookup(&name).await;
    let addresses = addresses.into_iter().map(IpAddr::V4).collect();
    Ok(Json(DockerNames { addresses }))
}

#[derive(Deserialize)]
struct Tail {
    tail: Option<usize>,
}

async fn log(State(docker): Shared, query: Query<Tail>) -> Result<Json<SandboxLog>, Refusal> {
    Ok(Json(existing(&docker)?.log(query.tail.unwrap_or(LINES))))
}

fn existing(docker: &Option<Docker>) -> Result<&Docker, Refusal> {
    docker.as_ref().ok_or_else(|| {
        let message = "this sandbox was made without a Docker daemon";
        let error = ApiError::new(ErrorCode::NotFound, message);
        (StatusCode::NOT_FOUND, Json(ErrorEnvelope { error }))
    })
}
