//! Recordings of a desktop.
//!
//! A recording watches as a viewer does, and the others see it among them: its pictures are those
//! that are encoded for them, where they decode the same codec. A picture is written when the next
//! has come, since only then it is known how long it was seen.

mod begin;
mod run;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use helix_proto::sandbox::desktop::{Recording, RecordingRequest, RecordingState};
use tokio::sync::watch;

use super::{Media, automation::unreadable, routes::refused};
use crate::{Error, ErrorKind};

/// Records, one recording after the other.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Below which folder; none where nothing is recorded.
    below: Option<PathBuf>,
    last: Mutex<Option<Arc<Running>>>,
}

/// A recording that runs, or has ended.
#[derive(Debug)]
pub(super) struct Running {
    state: watch::Sender<Recording>,
    stop: watch::Sender<bool>,
}

impl Recorder {
    pub(super) const fn new(below: Option<PathBuf>) -> Self {
        Self {
            below,
            last: Mutex::new(None),
        }
    }

    fn last(&self) -> Result<Arc<Running>, Error> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().ok_or_else(|| {
            let why = "nothing was recorded of this desktop";
            Error::new(ErrorKind::NotFound, why)
        })
    }
}

pub(super) fn routes() -> Router<Media> {
    let route = get(state).post(begin).delete(end);
    Router::new().route("/recording", route)
}

impl Media {
    /// The recording that runs, or the last one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there was none.
    pub fn recording(&self) -> Result<Recording, Error> {
        Ok(self.shared.recorder.last()?.state.borrow().clone())
    }

    /// Ends the recording that runs, and waits until its file is whole; one that has ended stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there was none.
    pub async fn end_recording(&self) -> Result<Recording, Error> {
        let running = self.shared.recorder.last()?;
        running.stop.send_replace(true);
        let mut state = running.state.subscribe();
        let ended = state.wait_for(|now| now.state != RecordingState::Recording);
        let ended = ended.await.map(|state| state.clone());
        // The sender lives as long as `running` does.
        ended.map_err(|why| Error::failed("the recording is gone", why))
    }
}

async fn begin(
    State(media): State<Media>,
    asked: Result<Json<RecordingRequest>, JsonRejection>,
) -> Response {
    let Json(asked) = match asked {
        Ok(asked) => asked,
        Err(why) => return unreadable(&why),
    };
    match media.record(&asked) {
        Ok(recording) => (StatusCode::CREATED, Json(recording)).into_response(),
        Err(why) => refused(&why),
    }
}

async fn state(State(media): State<Media>) -> Response {
    answer(media.recording())
}

async fn end(State(media): State<Media>) -> Response {
    answer(media.end_recording().await)
}

fn answer(recording: Result<Recording, Error>) -> Response {
    match recording {
        Ok(recording) => Json(recording).into_response(),
        Err(why) => refused(&why),
    }
}
