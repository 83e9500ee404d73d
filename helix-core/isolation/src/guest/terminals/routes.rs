//! The routes of terminals.

use axum::{
    Json, Router,
    extract::{
        Path, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
    routing::{delete, get, post},
};
use helix_proto::{
    TerminalId,
    error::ErrorCode,
    sandbox::guest::{Terminal, TerminalList, TerminalRequest},
};
use http::StatusCode;

use super::{Guest, attach};
use crate::guest::{
    failure::{Answer, Body, Failed},
    query::Query,
};

/// The most that one message of a viewer may hold: what somebody pastes.
const MESSAGE_BYTES: usize = 1 << 20;

pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/terminals", post(open).get(list))
        .route("/terminals/{terminal}", delete(remove))
        .route("/terminals/{terminal}/attach", get(view))
}

async fn open(
    State(guest): State<Guest>,
    Body(request): Body<TerminalRequest>,
) -> Answer<(StatusCode, Json<Terminal>)> {
    Ok((
        StatusCode::CREATED,
        Json(guest.open_terminal(request).await?),
    ))
}

async fn list(State(guest): State<Guest>) -> Json<TerminalList> {
    Json(guest.inner.terminals.list())
}

async fn remove(State(guest): State<Guest>, Path(id): Path<String>) -> Answer<StatusCode> {
    if let Some(open) = guest.inner.terminals.lock().remove(&parse(&id)?) {
        open.hung_up.send_replace(true);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn view(
    State(guest): State<Guest>,
    Path(id): Path<String>,
    query: Query,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let after = query.only(&["after"])?.number("after")?;
    let open = guest.inner.terminals.get(parse(&id)?)?;
    let upgrade = upgrade.map_err(|error| {
        let why = error.body_text();
        Failed::new(
            ErrorCode::BadRequest,
            format!("this route takes a WebSocket: {why}"),
        )
    })?;
    let viewer = attach::Viewer::enter(open)?;
    let upgrade = upgrade
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| viewer.serve(socket, after)))
}

fn parse(id: &str) -> Answer<TerminalId> {
    id.parse()
        .map_err(|error| Failed::not_found(format!("{id:?} is no terminal: {error}")))
}
