//! The agent's other lanes: opened when the control plane asks, kept until it is done
//! with them, and gone with the control lane.

use std::{collections::HashMap, sync::Arc};

use axum::{body::Body, response::IntoResponse as _};
use helix_base::{Backoff, TaskGroup};
use http::{Response, StatusCode};
use tokio::sync::Mutex;

use super::{
    greet::{GreetError, Greeter},
    live::{Change, Live},
    serve::Serve,
};
use crate::{CloseCode, CloseReason, Lane, handle::Handle, link::greeting::Welcome};

/// The lanes beside one control lane.
#[derive(Debug)]
pub(super) struct Lanes {
    greeter: Arc<Greeter>,
    serve: Arc<Serve>,
    group: TaskGroup,
    open: Mutex<HashMap<Lane, Arc<Handle>>>,
}

impl Lanes {
    pub(super) fn new(greeter: Arc<Greeter>, serve: Arc<Serve>, group: &TaskGroup) -> Self {
        Self {
            greeter,
            serve,
            group: group.clone(),
            open: Mutex::default(),
        }
    }

    /// Answers the control plane that asks for a lane. One that is there already is
    /// replaced: the control plane knows best whether it still has it.
    pub(super) async fn answer(&self, lane: &str) -> Response<Body> {
        let Ok(lane) = lane.parse::<Lane>() else {
            return (StatusCode::NOT_FOUND, "there is no such lane").into_response();
        };
        if lane == Lane::Control {
            return (StatusCode::CONFLICT, "this is the control lane").into_response();
        }
        let mut open = self.open.lock().await;
        if let Some(old) = open.remove(&lane) {
            old.close(CloseCode::NORMAL, "opened anew");
        }
        match self.open(lane).await {
            Ok(handle) => {
                open.insert(lane, handle);
                StatusCode::NO_CONTENT.into_response()
            }
            Err(error) => {
                tracing::warn!(%lane, %error, "a lane could not be opened");
                (StatusCode::BAD_GATEWAY, error.to_string()).into_response()
            }
        }
    }

    async fn open(&self, lane: Lane) -> Result<Arc<Handle>, GreetError> {
        let (transport, welcome) = self.greeter.greet(lane, None).await?;
        let Welcome::New {
            identity,
            grace,
            window,
        } = welcome
        else {
            let why = "nothing was there to resume";
            return Err(GreetError::Closed(CloseReason::local(
                CloseCode::PROTOCOL,
                why,
            )));
        };
        let live = self
            .serve
            .start(transport, identity, (grace, window), None, &self.group);
        let handle = Arc::clone(live.handle());
        let keep = keep(lane, live, Arc::clone(&self.greeter), self.serve.backoff());
        self.group.spawn("tunnel lane", keep);
        Ok(handle)
    }

    /// Closes them all: their control lane has ended.
    pub(super) async fn close(&self) {
        for (_, handle) in self.open.lock().await.drain() {
            handle.close(CloseCode::GOING_AWAY, "the control lane has ended");
        }
    }
}

/// Brings a lane's link a new connection whenever it needs one, until it ends.
async fn keep(lane: Lane, mut live: Live, greeter: Arc<Greeter>, mut backoff: Backoff) {
    loop {
        let reason = match live.changed().await {
            Change::Proven => {
                backoff.succeeded();
                continue;
            }
            Change::Detached(reason) => reason,
            Change::Ended(reason) => {
                tracing::debug!(%lane, %reason, "a lane closed");
                return;
            }
        };
        tracing::info!(%lane, %reason, "a lane's connection broke; dialling again");
        while let Some(resume) = live.resume() {
            match greeter.greet(lane, Some(resume)).await {
                Ok((transport, Welcome::Resumed { received })) => {
                    live.attach(transport, received);
                    break;
                }
                Ok((_, Welcome::New { .. })) => {
                    live.handle().end(CloseReason::forgotten());
                }
                // The control plane's own word; a connection that broke before it was
                // welcome says nothing about the link.
                Err(GreetError::Closed(reason @ CloseReason::Peer { code, .. }))
                    if !code.is_from_the_middle() =>
                {
                    live.handle().end(reason);
                }
                Err(error) => {
                    tracing::debug!(%lane, %error, "a lane could not be dialled");
                    let delay = backoff.next_delay(&mut rand::rng());
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }
}
