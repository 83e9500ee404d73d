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
    api::{
        Failure, Json,
        access::{InSandbox, Read},
        meter::Meter,
        streams::Checks,
    },
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(stats))
        .routes(routes!(stats_stream))
}

async fn measured(app: &App, id: SandboxId) -> Result<SandboxStats, Failure> {
    let client = app.sandboxes().client_of(id).await?;
    Ok(client.stats(id).await?)
}

/// What a sandbox uses now.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/stats", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxStats), (status = 401), (status = 403), (status = 404), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn stats(
    caller: InSandbox<Read>,
    State(app): State<App>,
) -> Result<Json<SandboxStats>, Failure> {
    measured(&app, caller.id).await.map(Json)
}

/// What a sandbox uses, every two seconds. Ends when it cannot be measured any more,
/// with an event named `error` that carries the reason.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/stats/stream", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxStats, content_type = "text/event-stream"), (status = 401), (status = 403), (status = 404), (status = 429), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn stats_stream(
    caller: InSandbox<Read>,
    State(app): State<App>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Failure> {
    let (source, id) = (app.clone(), caller.id);
    let checks = Checks::of(&app, caller.grant());
    Meter::stream(&app, &caller, checks, move || {
        let app = source.clone();
        Box::pin(async move { measured(&app, id).await })
    })
    .await
}
