//! What a sandbox uses, once and as it goes.

use std::time::Duration;

use axum::{
    extract::State,
    response::sse::{Event, Sse},
};
use futures_util::{Stream, stream};
use helix_proto::{SandboxId, sandbox::SandboxStats};
use tokio::time::{Interval, MissedTickBehavior};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{
        Caller, Failure, Json, Path,
        access::SandboxesKey,
        streams::{self, Open},
    },
    auth::Identity,
};

/// How often a stream measures.
const MEASURE: Duration = Duration::from_secs(2);

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
    let most = app.options().limits.streams_per_user;
    let open = app.streams().open(caller.user_id, most)?;
    // What is wrong now is answered as an error and not as a stream.
    measured(&app, &caller, id).await?;
    let mut beat = tokio::time::interval(MEASURE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let meter = Meter {
        identity: (*caller).clone(),
        ticks: streams::ticks(),
        app,
        id,
        beat,
        over: false,
        _open: open,
    };
    Ok(Sse::new(stream::unfold(meter, Meter::next)))
}

/// One browser that watches one sandbox.
struct Meter {
    app: App,
    identity: Identity,
    id: SandboxId,
    beat: Interval,
    ticks: Interval,
    over: bool,
    _open: Open,
}

impl Meter {
    async fn next(mut self) -> Option<(Result<Event, axum::Error>, Self)> {
        if self.over {
            return None;
        }
        let draining = self.app.foundation().tasks.draining_token().clone();
        tokio::select! {
            biased;
            () = draining.cancelled() => None,
            _ = self.ticks.tick() => {
                let may = streams::may_go_on(&self.app, &self.identity).await;
                may.then(|| (Ok(Event::default().comment("")), self))
            }
            _ = self.beat.tick() => {
                let event = match measured(&self.app, &self.identity, self.id).await {
                    Ok(stats) => Event::default().json_data(stats),
                    Err(failure) => {
                        self.over = true;
                        Event::default().event("error").json_data(failure.error())
                    }
                };
                Some((event, self))
            }
        }
    }
}
