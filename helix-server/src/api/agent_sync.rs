//! Where sandbox hosts dial in for the agents in their sandboxes.

use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use helix_proto::agents::MAX_MESSAGE;
use http::{HeaderMap, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Caller, Failure, access::HostCredential};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(sync))
}

/// What a sandbox host and the control plane say to each other of agents: a WebSocket, as
/// `docs/agent-sync.md` says.
#[utoipa::path(get, path = "/api/v1/external-agents/sync", tag = "sandbox-hosts",
    responses((status = 101), (status = 400), (status = 401), (status = 403)),
    security(("sandbox_host" = [])))]
async fn sync(
    caller: Caller<HostCredential>,
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|rejection| {
        let why = rejection.body_text().to_lowercase();
        Failure::bad_request(format!("this is a WebSocket: {why}"))
    })?;
    let host = *caller;
    let credential = credential(&headers);
    let tasks = app.foundation().tasks.clone();
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| async move {
            let agents = app.agents().clone();
            let valid = move || {
                let (app, credential) = (app.clone(), credential.clone());
                async move {
                    let known = app.auth().identify_sandbox_host(&credential).await?;
                    Ok(known == Some(host))
                }
            };
            // In the group, so that a shutdown waits for the goodbye.
            let serving = async move { agents.serve(host, socket, valid).await };
            let _ = tasks.spawn("agent sync", serving).await;
        }))
}

/// The credential that the host was let in with.
fn credential(headers: &HeaderMap) -> String {
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (_, credential) = sent.split_once(' ').unwrap_or_default();
    credential.trim().to_owned()
}
