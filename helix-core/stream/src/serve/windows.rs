//! The windows of a desktop, for programs.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use helix_proto::sandbox::desktop::DesktopWindows;

use super::{Media, routes::refused};
use crate::{Error, ErrorKind, desktop::Windows};

pub(super) fn routes() -> Router<Media> {
    Router::new()
        .route("/windows", get(list))
        .route("/windows/{window}/focus", post(focus))
        .route("/windows/{window}/close", post(close))
}

impl Media {
    fn windows(&self) -> Result<Arc<dyn Windows>, Error> {
        let windows = self.shared.running()?.windows();
        windows.ok_or_else(|| {
            let why = "this kind of desktop does not tell of its windows";
            Error::new(ErrorKind::Unsupported, why)
        })
    }
}

async fn list(State(media): State<Media>) -> Response {
    let listed = async { media.windows()?.list().await };
    match listed.await {
        Ok(windows) => Json(DesktopWindows { windows }).into_response(),
        Err(why) => refused(&why),
    }
}

async fn focus(State(media): State<Media>, Path(window): Path<String>) -> Response {
    done(async { media.windows()?.focus(number(&window)?).await }.await)
}

async fn close(State(media): State<Media>, Path(window): Path<String>) -> Response {
    done(async { media.windows()?.close(number(&window)?).await }.await)
}

fn number(window: &str) -> Result<u64, Error> {
    window.parse().map_err(|_| {
        let why = "a window has a number";
        Error::new(ErrorKind::NotFound, why)
    })
}

fn done(outcome: Result<(), Error>) -> Response {
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refused(&why),
    }
}
