//! The routes of files.

use std::path::Path;

use axum::{
    Json, Router,
    body::Body as HttpBody,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use helix_proto::sandbox::guest::{FileEntry, FileList, MoveRequest};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::oneshot;

use super::{
    Target, archive,
    content::{self, Writing},
    path::{decode, from_bytes, under_home},
    stream::{outgoing, reading},
    unpack::unpack,
    watch::Watch,
};
use crate::guest::{
    Guest,
    failure::{Answer, Body, Failed},
    query::Query,
};

/// The most permission bits there are.
const MODES: u32 = 0o7777;

pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/files", delete(remove))
        .route("/files/stat", get(stat))
        .route("/files/list", get(list))
        .route("/files/content", get(read).put(write))
        .route("/files/directory", post(directory))
        .route("/files/archive", get(pack).put(unpack_below))
        .route("/files/watch", get(watch))
        // Bodies here are files: the sandbox's disk bounds them.
        .layer(DefaultBodyLimit::disable())
        .route("/files/move", post(rename))
}

/// The path and user of a request that may have these parameters besides.
fn target(query: Query, more: &[&str]) -> Answer<(Target, Query)> {
    let names: Vec<&str> = ["path", "user"].iter().chain(more).copied().collect();
    let query = query.only(&names)?;
    let path = from_bytes("path", query.bytes("path").unwrap_or_default().to_vec())?;
    let user = query.text("user")?.map(str::to_owned);
    Ok((Target { user, path }, query))
}

impl Guest {
    async fn on_path<T: Send + 'static>(
        &self,
        target: Target,
        job: impl FnOnce(&Path) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let Target { user, path } = target;
        self.inner
            .jobs
            .run_as(user, move |user| job(&under_home(user, &path)))
            .await
    }
}

async fn stat(State(guest): State<Guest>, query: Query) -> Answer<Json<FileEntry>> {
    let (target, _) = target(query, &[])?;
    Ok(Json(guest.on_path(target, super::stat).await?))
}

async fn list(State(guest): State<Guest>, query: Query) -> Answer<Json<FileList>> {
    let (target, _) = target(query, &[])?;
    Ok(Json(guest.on_path(target, super::list).await?))
}

async fn directory(State(guest): State<Guest>, query: Query) -> Answer<Json<FileEntry>> {
    let (target, query) = target(query, &["parents"])?;
    let parents = query.flag("parents")?;
    Ok(Json(
        guest
            .on_path(target, move |path| super::make_directory(path, parents))
            .await?,
    ))
}

async fn remove(State(guest): State<Guest>, query: Query) -> Answer<StatusCode> {
    let (target, query) = target(query, &["recursive"])?;
    let recursive = query.flag("recursive")?;
    guest
        .on_path(target, move |path| super::remove(path, recursive))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rename(
    State(guest): State<Guest>,
    query: Query,
    Body(request): Body<MoveRequest>,
) -> Answer<Json<FileEntry>> {
    let user = query.only(&["user"])?.text("user")?.map(str::to_owned);
    let (from, to) = (decode("from", &request.from)?, decode("to", &request.to)?);
    let job = move |from: &Path, to: &Path| super::rename(from, to, request.overwrite);
    let moved = guest.inner.jobs.run_as(user, move |user| {
        job(&under_home(user, &from), &under_home(user, &to))
    });
    Ok(Json(moved.await?))
}

async fn read(State(guest): State<Guest>, query: Query) -> Answer<Response> {
    let (Target { user, path }, query) = target(query, &["offset", "length"])?;
    let offset = query.number("offset")?.unwrap_or(0);
    let length = query.number("length")?;
    let (to, body) = outgoing(());
    let job = move |user: &_, answer: oneshot::Sender<Answer<Option<u64>>>| match content::open_at(
        &under_home(user, &path),
        offset,
        length,
    ) {
        Ok(opened) => {
            if answer.send(Ok(opened.length)).is_ok() {
                content::send(opened, &to);
            }
        }
        Err(failed) => drop(answer.send(Err(failed))),
    };
    let length = guest.inner.jobs.stream_as(user, job).await?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Ok((headers, body).into_response())
}

async fn write(
    State(guest): State<Guest>,
    query: Query,
    body: HttpBody,
) -> Answer<Json<FileEntry>> {
    let (target, query) = target(query, &["append", "parents", "mode"])?;
    let how = Writing {
        append: query.flag("append")?,
        parents: query.flag("parents")?,
        mode: mode(&query)?,
    };
    let written = reading(body, async |incoming| {
        guest
            .on_path(target, move |path| content::write(path, how, incoming))
            .await
    });
    Ok(Json(written.await?))
}

/// Permission bits, octal as people write them.
fn mode(query: &Query) -> Answer<Option<u32>> {
    query
        .text("mode")?
        .map(|text| {
            u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= MODES)
                .ok_or_else(|| {
                    Failed::invalid("mode", format!("{text:?} are no permissions such as 644"))
                })
        })
        .transpose()
}

async fn pack(State(guest): State<Guest>, query: Query) -> Answer<Response> {
    let (Target { user, path }, _) = target(query, &[])?;
    let (to, body) = outgoing(());
    let job = move |user: &_, answer: oneshot::Sender<Answer<()>>| match archive::open_source(
        &under_home(user, &path),
    ) {
        Ok(source) => {
            if answer.send(Ok(())).is_ok() {
                archive::send(source, to);
            }
        }
        Err(failed) => drop(answer.send(Err(failed))),
    };
    guest.inner.jobs.stream_as(user, job).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

async fn unpack_below(
    State(guest): State<Guest>,
    query: Query,
    body: HttpBody,
) -> Answer<StatusCode> {
    let (target, _) = target(query, &[])?;
    reading(body, async |incoming| {
        guest
            .on_path(target, move |path| unpack(path, incoming))
            .await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn watch(State(guest): State<Guest>, query: Query) -> Answer<Response> {
    let (Target { user, path }, _) = target(query, &[])?;
    let slot = guest.inner.watches.enter()?;
    let (left, leaves) =
        std::io::pipe().map_err(|error| Failed::io("cannot make a pipe", &error))?;
    let (to, body) = outgoing(leaves);
    let job = move |user: &_, answer: oneshot::Sender<Answer<()>>| {
        let _slot = slot;
        match Watch::start(&under_home(user, &path), left, to) {
            Ok(watch) => {
                if answer.send(Ok(())).is_ok() {
                    watch.run();
                }
            }
            Err(failed) => drop(answer.send(Err(failed))),
        }
    };
    guest.inner.jobs.stream_as(user, job).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
