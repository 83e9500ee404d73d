//! The routes of a desktop.

use axum::{
    Json, Router,
    extract::{Query, State, WebSocketUpgrade, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use helix_proto::{
    desktop::MAX_CLIPBOARD,
    error::{ApiError, ErrorCode, ErrorEnvelope},
};
use serde::Deserialize;

use super::{Media, Thumbnail, automation, clipboard, recording, viewer, windows};
use crate::{Error, ErrorKind, screenshot::Format};

pub(super) fn router(media: Media) -> Router {
    Router::new()
        .route("/desktop", get(desktop))
        .route("/screenshot", get(screenshot))
        .route("/thumbnail", get(thumbnail))
        .merge(automation::routes())
        .merge(clipboard::routes())
        .merge(recording::routes())
        .merge(windows::routes())
        .with_state(media)
}

async fn desktop(State(media): State<Media>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade
        .max_message_size(MAX_CLIPBOARD)
        .max_frame_size(MAX_CLIPBOARD)
        // What is sent is a message in itself: each is written at once.
        .write_buffer_size(0);
    upgrade.on_upgrade(async move |socket| {
        let shared = media.shared.clone();
        // So that a shutdown waits until it has said goodbye.
        media.shared.tasks.spawn("viewer", async move {
            Box::pin(viewer::serve(&shared, socket)).await;
        });
    })
}

#[derive(Debug, Deserialize)]
struct Screenshot {
    #[serde(default)]
    format: Format,
    #[serde(default = "usual_quality")]
    quality: u8,
    #[serde(default)]
    cursor: bool,
}

const fn usual_quality() -> u8 {
    80
}

async fn screenshot(
    State(media): State<Media>,
    query: Result<Query<Screenshot>, QueryRejection>,
) -> Response {
    let Query(Screenshot {
        format,
        quality,
        cursor,
    }) = match query {
        Ok(query) => query,
        Err(why) => return failed(ErrorCode::BadRequest, why.body_text()),
    };
    if !(1..=100).contains(&quality) {
        return failed(ErrorCode::Invalid, "quality is 1 to 100".to_owned());
    }
    match media.screenshot(format, quality, cursor).await {
        Ok(file) => ([(header::CONTENT_TYPE, format.mime())], file).into_response(),
        Err(why) => refused(&why),
    }
}

async fn thumbnail(State(media): State<Media>, headers: HeaderMap) -> Response {
    let Thumbnail { jpeg, tag } = match media.thumbnail().await {
        Ok(thumbnail) => thumbnail,
        Err(why) => return refused(&why),
    };
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == tag);
    if known {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let kind = Format::Jpeg.mime().to_owned();
    ([(header::CONTENT_TYPE, kind), (header::ETAG, tag)], jpeg).into_response()
}

/// Why something was not done.
pub(super) fn refused(why: &Error) -> Response {
    let code = match why.kind() {
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::Invalid => ErrorCode::Invalid,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Conflict => ErrorCode::Conflict,
        ErrorKind::Ended | ErrorKind::Timeout => ErrorCode::Unavailable,
        ErrorKind::Failed => ErrorCode::Internal,
    };
    failed(code, why.to_string())
}

pub(super) fn failed(code: ErrorCode, message: String) -> Response {
    let status = StatusCode::from_u16(code.http_status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = ApiError::new(code, message);
    (status, Json(ErrorEnvelope { error })).into_response()
}
