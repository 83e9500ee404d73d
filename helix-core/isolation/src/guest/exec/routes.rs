//! The routes of programs.

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    body::Body as HttpBody,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use helix_proto::{
    ExecId,
    error::ErrorCode,
    sandbox::guest::{Exec, ExecEvent, ExecList, ExecRequest, SignalRequest},
};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use super::{Guest, Running, log::Cursor};
use crate::guest::{
    failure::{Answer, Body, Failed},
    query::Query,
    reaper::signal_named,
};

/// How many bytes of events are sent at once.
const BATCH: usize = 64 * 1024;

pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/exec", post(start).get(list))
        .route("/exec/{exec}", get(show).delete(remove))
        .route("/exec/{exec}/events", get(events))
        .route("/exec/{exec}/stdin", post(stdin))
        .route("/exec/{exec}/signal", post(signal))
}

async fn start(State(guest): State<Guest>, Body(request): Body<ExecRequest>) -> Answer<Response> {
    let (stream, background) = (request.stream, request.background);
    let (running, leaving) = begin(&guest, request).await?;
    if stream {
        return Ok(follow(running, Cursor::after(0), leaving));
    }
    if background {
        return Ok((StatusCode::CREATED, Json(running.exec())).into_response());
    }
    let exit = running.wait().await.ok_or_else(given_up)?;
    drop(leaving);
    Ok(Json(running.result(exit, guest.inner.clock.now())).into_response())
}

/// Starts a program in a task of its own: a caller that leaves while it is started would leave a
/// program that nobody ends.
async fn begin(guest: &Guest, request: ExecRequest) -> Answer<(Arc<Running>, Option<Leaving>)> {
    let starting = guest.clone();
    let begun = guest.inner.tasks.spawn("start a program", async move {
        let background = request.background;
        let running = starting.exec(request).await?;
        let leaving = (!background).then(|| Leaving {
            guest: starting,
            running: running.clone(),
        });
        Ok((running, leaving))
    });
    match begun.await {
        Ok(Some(begun)) => begun,
        Ok(None) | Err(_) => Err(given_up()),
    }
}

fn given_up() -> Failed {
    Failed::new(
        ErrorCode::Unavailable,
        "the guest ends: the program was given up",
    )
}

/// Kills a program whose caller has left before its end.
struct Leaving {
    guest: Guest,
    running: Arc<Running>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.running.reader.send_replace(u64::MAX);
        if self.running.ended() {
            return;
        }
        let (guest, running) = (self.guest.clone(), self.running.clone());
        self.guest.inner.tasks.spawn("exec without caller", async move {
            if let Err(failed) = guest.kill(&running).await {
                tracing::warn!(id = %running.exec.id, error = %failed.0, "cannot kill a program");
            }
        });
    }
}

async fn list(State(guest): State<Guest>) -> Json<ExecList> {
    Json(guest.inner.execs.list())
}

async fn show(State(guest): State<Guest>, Path(id): Path<String>) -> Answer<Json<Exec>> {
    Ok(Json(guest.inner.execs.get(parse(&id)?)?.exec()))
}

async fn events(
    State(guest): State<Guest>,
    Path(id): Path<String>,
    query: Query,
) -> Answer<Response> {
    let after = query.only(&["after"])?.number("after")?.unwrap_or(0);
    Ok(follow(
        guest.inner.execs.get(parse(&id)?)?,
        Cursor::after(after),
        None,
    ))
}

/// The events behind `cursor` to the last, as lines of JSON.
fn follow(running: Arc<Running>, cursor: Cursor, leaving: Option<Leaving>) -> Response {
    let lines = stream::unfold(
        (running, cursor, leaving),
        |(running, mut cursor, leaving)| async move {
            // Asking for more says that what was given before has gone out.
            running.reader.send_if_modified(|read| {
                let further = *read != u64::MAX && *read < cursor.total();
                if further {
                    *read = cursor.total();
                }
                further
            });
            let events = running.log.read(&mut cursor, BATCH).await;
            if events.is_empty() {
                return None;
            }
            Some((lines(&events), (running, cursor, leaving)))
        },
    );
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (headers, HttpBody::from_stream(lines)).into_response()
}

fn lines(events: &[ExecEvent]) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    for event in events {
        serde_json::to_writer(&mut bytes, event)?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}

async fn stdin(
    State(guest): State<Guest>,
    Path(id): Path<String>,
    query: Query,
    mut body: HttpBody,
) -> Answer<StatusCode> {
    let close = query.only(&["close"])?.flag("close")?;
    let running = guest.inner.execs.get(parse(&id)?)?;
    let mut stdin = running.stdin.lock().await;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failed::new(
                ErrorCode::BadRequest,
                format!("the body could not be read: {error}"),
            )
        })?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        let pipe = stdin
            .as_mut()
            .filter(|_| !running.ended())
            .ok_or_else(|| closed(&running))?;
        tokio::select! {
            written = pipe.write_all(&bytes) => written.map_err(|_| closed(&running))?,
            _ = running.wait() => return Err(closed(&running)),
        }
    }
    if close || running.ended() {
        stdin.take();
    }
    Ok(StatusCode::NO_CONTENT)
}

fn closed(running: &Running) -> Failed {
    let why = if running.ended() {
        "has ended"
    } else {
        "has no input, or has closed it"
    };
    Failed::new(
        ErrorCode::Conflict,
        format!("the program {} {why}", running.exec.id),
    )
}

async fn signal(
    State(guest): State<Guest>,
    Path(id): Path<String>,
    Body(request): Body<SignalRequest>,
) -> Answer<StatusCode> {
    let signal: Signal = signal_named(&request.signal)?;
    guest.inner.execs.get(parse(&id)?)?.signal(signal)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(State(guest): State<Guest>, Path(id): Path<String>) -> Answer<StatusCode> {
    // What is not known has no descendants that are known.
    if let Ok(running) = guest.inner.execs.get(parse(&id)?) {
        guest.kill(&running).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn parse(id: &str) -> Answer<ExecId> {
    id.parse()
        .map_err(|error| Failed::not_found(format!("{id:?} is no program: {error}")))
}
