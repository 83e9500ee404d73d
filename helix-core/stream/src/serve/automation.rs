//! What programs do to a desktop.
//!
//! They act beside whoever has the controls, as a second pair of hands would: what they do is
//! neither refused because somebody watches, nor does it take the controls. One request acts at a
//! time; others wait for it. A person who takes over ends what is under way, and a switch refuses
//! what comes after. Whatever a request has pressed is let go of, however it ends.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use helix_proto::{
    error::ErrorCode,
    sandbox::desktop::{DesktopAutomation, DesktopInput, DesktopInputDone, MAX_TOTAL_MS},
};
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

use super::{
    Media, Shared,
    routes::{failed, refused},
};
use crate::{
    Error, ErrorKind,
    automation::{self, Step},
    hub::held::Held,
    input::Input,
};

/// How long a request waits for others: as long as one of them may take.
const WAIT: Duration = Duration::from_millis(MAX_TOTAL_MS as u64);

/// Who acts, and whether anybody may.
#[derive(Debug)]
pub(super) struct Automation {
    acting: Mutex<()>,
    allowed: watch::Sender<bool>,
}

impl Default for Automation {
    fn default() -> Self {
        Self {
            acting: Mutex::new(()),
            allowed: watch::Sender::new(true),
        }
    }
}

pub(super) fn routes() -> Router<Media> {
    Router::new()
        .route("/input", post(input))
        .route("/automation", get(allowed).put(allow))
}

/// What is down; let go of when this is dropped.
struct Hands<'a> {
    shared: &'a Shared,
    held: Held,
}

impl Hands<'_> {
    fn act(&mut self, input: &Input) -> Result<(), Error> {
        let is_news = match input {
            Input::Key { key, down } => self.held.key(*key, *down),
            Input::Button { button, down } => self.held.button(*button, *down),
            _ => true,
        };
        if !is_news {
            return Ok(());
        }
        let done = self.shared.state.lock().input(input.clone());
        self.shared.changed.notify_one();
        done.unwrap_or_else(|| Err(Error::new(ErrorKind::Ended, "the desktop is starting")))
    }
}

impl Drop for Hands<'_> {
    fn drop(&mut self) {
        for input in self.held.release() {
            // A desktop that is gone holds nothing.
            let _ = self.shared.state.lock().input(input);
        }
    }
}

impl Media {
    /// Does what a program asks for, one action after the other. Dropping this ends it, and lets
    /// go of what it has pressed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] where an action cannot be right: then nothing is done.
    /// [`ErrorKind::Conflict`] where a person has stopped it or programs may not act, or others
    /// act for half a minute; what the desktop says. The message says how many actions were done.
    pub async fn act(&self, asked: &DesktopInput) -> Result<DesktopInputDone, Error> {
        let shared = &*self.shared;
        let mut interrupts = shared.state.interrupts();
        let acting = timeout(WAIT, shared.automation.acting.lock()).await;
        let _acting = acting.map_err(|_| {
            let why = "other programs act on this desktop";
            Error::new(ErrorKind::Conflict, why)
        })?;
        let mut allowed = shared.automation.allowed.subscribe();
        let size = shared.running()?.size();
        let steps = automation::plan(&asked.actions, size)?;
        let began = shared.clock.now();
        let mut done = 0;
        let stopped = tokio::select! {
            biased;
            _ = allowed.wait_for(|allowed| !*allowed) => "programs may not act on this desktop",
            _ = interrupts.changed() => "a person has taken over",
            outcome = carry_out(shared, &steps, &mut done) => {
                outcome.map_err(|why| after(done, &asked.actions, why.kind(), &why))?;
                let took = shared.clock.now().saturating_duration_since(began);
                return Ok(DesktopInputDone {
                    actions: asked.actions.len(),
                    took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
                });
            }
        };
        Err(after(done, &asked.actions, ErrorKind::Conflict, &stopped))
    }
}

fn after<A>(done: usize, all: &[A], kind: ErrorKind, why: &dyn std::fmt::Display) -> Error {
    let all = all.len();
    Error::new(
        kind,
        format!("stopped after {done} of {all} actions: {why}"),
    )
}

async fn carry_out(shared: &Shared, steps: &[Step], done: &mut usize) -> Result<(), Error> {
    let mut hands = Hands {
        shared,
        held: Held::default(),
    };
    for step in steps {
        *done = step.action;
        if let Some(input) = &step.input {
            hands.act(input)?;
        }
        sleep(step.then).await;
    }
    Ok(())
}

async fn input(
    State(media): State<Media>,
    asked: Result<Json<DesktopInput>, JsonRejection>,
) -> Response {
    let Json(asked) = match asked {
        Ok(asked) => asked,
        Err(why) => return unreadable(&why),
    };
    match Box::pin(media.act(&asked)).await {
        Ok(done) => Json(done).into_response(),
        Err(why) => refused(&why),
    }
}

/// What is wrong with a body.
pub(super) fn unreadable(why: &JsonRejection) -> Response {
    let code = match why.status().as_u16() {
        413 => ErrorCode::PayloadTooLarge,
        422 => ErrorCode::Invalid,
        _ => ErrorCode::BadRequest,
    };
    failed(code, why.body_text())
}

async fn allowed(State(media): State<Media>) -> Json<DesktopAutomation> {
    let allowed = *media.shared.automation.allowed.borrow();
    Json(DesktopAutomation { allowed })
}

async fn allow(
    State(media): State<Media>,
    asked: Result<Json<DesktopAutomation>, JsonRejection>,
) -> Response {
    match asked {
        Ok(Json(asked)) => {
            media.shared.automation.allowed.send_replace(asked.allowed);
            Json(asked).into_response()
        }
        Err(why) => unreadable(&why),
    }
}
