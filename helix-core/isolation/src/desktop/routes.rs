//! What the guest answers about its desktop, and the way to what serves it.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Query, Request, State},
    response::Response,
    routing::{any, get},
};
use helix_proto::{
    error::ErrorCode,
    sandbox::{SandboxLog, guest::ServiceStatus},
};
use http::uri::PathAndQuery;
use serde::Deserialize;
use tokio::time::timeout;

use super::Desktop;
use crate::guest::{
    Guest,
    failure::{Answer, Failed},
    proxy::{self, To},
};

/// How long it may take to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Lines of its log, unless asked for another number.
const LINES: usize = 100;

/// The routes of a guest that are about its desktop; without one they say so.
pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/desktop/status", get(status))
        .route("/desktop/log", get(log))
        .route("/desktop", any(pass_on))
        .route("/desktop/{*path}", any(pass_on))
}

async fn status(State(guest): State<Guest>) -> Answer<Json<ServiceStatus>> {
    Ok(Json(existing(&guest)?.status()))
}

#[derive(Deserialize)]
struct Tail {
    tail: Option<usize>,
}

async fn log(State(guest): State<Guest>, query: Query<Tail>) -> Answer<Json<SandboxLog>> {
    Ok(Json(existing(&guest)?.log(query.tail.unwrap_or(LINES))))
}

async fn pass_on(State(guest): State<Guest>, request: Request) -> Answer<Response> {
    let desktop = existing(&guest)?;
    let way = guest.enter_ways()?;
    let target = target(&request)?;
    let Ok(Ok(stream)) = timeout(CONNECT_WITHIN, desktop.connect()).await else {
        let ServiceStatus { message, .. } = desktop.status();
        let why = if message.is_empty() {
            "it is starting"
        } else {
            &message
        };
        return Err(Failed::new(
            ErrorCode::Unavailable,
            format!("the desktop does not answer: {why}"),
        ));
    };
    let to = To {
        host: "localhost",
        what: "what serves the desktop",
        target,
    };
    proxy::pass_on(guest.tasks(), way, stream, to, request).await
}

/// `/desktop` is its own, and what is below it is asked for from its root.
fn target(request: &Request) -> Answer<PathAndQuery> {
    let path = request.uri().path();
    let path = path
        .strip_prefix("/desktop/")
        .map_or("/desktop".to_owned(), |rest| format!("/{rest}"));
    let query = request
        .uri()
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    format!("{path}{query}").parse().map_err(|error| {
        Failed::new(
            ErrorCode::BadRequest,
            format!("the path cannot be passed on: {error}"),
        )
    })
}

fn existing(guest: &Guest) -> Answer<&Desktop> {
    guest
        .desktop()
        .ok_or_else(|| Failed::not_found("this sandbox was made without a desktop"))
}
