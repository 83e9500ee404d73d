//! What listens in the sandbox, and the way to it.

mod forward;
mod listening;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::Response,
    routing::{any, get},
};
use helix_proto::{error::ErrorCode, sandbox::guest::PortList};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Guest,
    failure::{Answer, Failed},
};

/// How many connections to ports there are at once.
const MOST: usize = 256;

/// The ways to ports.
#[derive(Debug)]
pub(crate) struct Ways(Arc<Semaphore>);

impl Default for Ways {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Ways {
    pub(super) fn enter(&self) -> Answer<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            Failed::new(
                ErrorCode::TooManyRequests,
                format!("{MOST} connections to servers in this sandbox are open: close one first"),
            )
        })
    }
}

pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/ports", get(list))
        .route("/ports/{port}", any(pass_on))
        .route("/ports/{port}/", any(pass_on))
        .route("/ports/{port}/{*path}", any(pass_on))
}

async fn list(State(guest): State<Guest>) -> Answer<Json<PortList>> {
    let mut ports = guest.inner.jobs.run(|| Ok(listening::list())).await?;
    // Those are the host's own.
    ports.retain(|port| !guest.inner.forwards.is_one(port.port));
    Ok(Json(PortList { ports }))
}

async fn pass_on(State(guest): State<Guest>, request: Request) -> Answer<Response> {
    let way = guest.inner.ways.enter()?;
    forward::forward(&guest.inner.tasks, way, request).await
}
