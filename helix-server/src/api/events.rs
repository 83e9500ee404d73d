//! A session's log as server-sent events.

use axum::{
    extract::State,
    response::sse::{Event, Sse},
};
use futures_util::{Stream, stream};
use helix_proto::{SessionId, session::SessionEvent};
use http::HeaderMap;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Failure, Query,
    access::{InSession, Read},
    streams::{Checks, Open},
};
use crate::{App, sessions::Follower, store::Logged};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Where to begin.
#[derive(Debug, Deserialize)]
struct EventsQuery {
    /// The last event already known; all if absent. `Last-Event-ID` goes before it.
    #[serde(default)]
    after: u64,
}

/// A session's events after one that is known, then those that come. Each has
/// its sequence number as `id`.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/events", tag = "sessions",
    params(("id" = SessionId, Path, description = "The session"),
        ("after" = Option<u64>, Query, description = "The last event already known; all if absent. `Last-Event-ID` goes before it.")),
    responses((status = 200, body = SessionEvent, content_type = "text/event-stream"), (status = 401), (status = 403), (status = 404), (status = 429)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn events(
    caller: InSession<Read>,
    State(app): State<App>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Failure> {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let after = last.unwrap_or(query.after);
    let most = app.options().limits.streams_per_user;
    let open = app.streams().open(caller.user_id, most)?;
    let reader = Reader {
        follower: app.sessions().follow(caller.id, after),
        checks: Checks::of(&app, &caller.found.grant),
        app,
        _open: open,
    };
    Ok(Sse::new(stream::unfold(reader, Reader::next)))
}

/// One browser that follows one log.
struct Reader {
    app: App,
    follower: Follower,
    checks: Checks,
    _open: Open,
}

impl Reader {
    /// The next event or sign of life; `None` ends the stream, and the browser
    /// asks again.
    async fn next(mut self) -> Option<(Result<Event, axum::Error>, Self)> {
        let draining = self.app.foundation().tasks.draining_token().clone();
        tokio::select! {
            biased;
            () = draining.cancelled() => None,
            may = self.checks.next() => may.then(|| (Ok(Event::default().comment("")), self)),
            event = self.follower.next() => match event {
                Ok(Some(event)) => Some((sse(&event), self)),
                Ok(None) => None,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a log cannot be read");
                    None
                }
            }
        }
    }
}

fn sse(event: &Logged) -> Result<Event, axum::Error> {
    Event::default()
        .id(event.seq.to_string())
        .json_data(&event.json)
}
