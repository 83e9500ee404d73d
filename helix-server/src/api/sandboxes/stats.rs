//! What a sandbox uses, once and as it goes.

use axum::{
    extract::State,
    response::sse::{Event, Sse},
};
use futures_util::Stream;
use helix_proto::{SandboxId, sandbox::SandboxStats};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{Caller, Failure, Json, Path, access::SandboxesKey, meter::Meter},
    auth::Identity,
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(stats))
        .routes(routes!(stats_stream))
}

async fn measured(app: &App, caller: &Identity, id: SandboxId) -> Result<SandboxStats, Failure> {
    let sandbox = app.sandboxes().find(caller, id).await?;
    let client = app.sandboxes().client(sandbox.host_id)?;
    Ok(client.stats(id).await?)
}

/// What a sandbox uses now.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/stats", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxStats), (status = 401), (status = 404), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn stats(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Path(id): Path<SandboxId>,
) -> Result<Json<SandboxStats>, Failure> {
    measured(&app, &caller, id).await.map(Json)
}

/// What a sandbox uses, every two seconds. Ends when it cannot be measured any more,
/// with an event named `error` that carries the reason.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/stats/stream", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxStats, content_type = "text/event-stream"), (status = 401), (status = 404), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn stats_stream(
    caller: Caller<SandboxesKey>,
    State(app): State<App>,
    Path(id): Path<SandboxId>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Failure> {
    let identity = (*caller).clone();
    let source = (app.clone(), identity.clone());
    Meter::stream(&app, &identity, move || {
        let (app, identity) = source.clone();
        Box::pin(async move { measured(&app, &identity, id).await })
    })
    .await
}
