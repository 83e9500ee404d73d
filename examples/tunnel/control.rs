//! The side with an address: agents dial it, and whoever asks it is answered by them.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse as _, Response},
    routing::{any, get},
    serve::ListenerExt as _,
};
use helix_base::{TaskGroup, outbound::tune_socket};
use helix_tunnel::{AcceptOptions, Holder, Hub, REVDIAL_PATH, Upgrade};
use tokio::net::TcpListener;

/// An agent dials in. A real control plane looks its credential up; here it is the
/// agent's name, and everybody is let in.
async fn revdial(State(hub): State<Hub<String>>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    let bearer = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    match bearer.and_then(|it| it.strip_prefix("Bearer ")) {
        Some(name) => upgrade.accept(&hub, Holder::new(name.to_owned(), name), |_| {}),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Hands a request to an agent, and its answer back, body and all.
async fn ask(
    State(hub): State<Hub<String>>,
    Path((name, path)): Path<(String, String)>,
    mut request: Request,
) -> Response {
    let Ok(uri) = format!("/{path}").parse() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    match hub.request(&name, request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Listens; where, and who is connected.
pub(crate) async fn serve(
    address: &str,
    group: &TaskGroup,
) -> anyhow::Result<(SocketAddr, Hub<String>)> {
    let hub = Hub::new(AcceptOptions::default(), group);
    let app = Router::new()
        .route(REVDIAL_PATH, get(revdial))
        .route("/agents/{name}/{*path}", any(ask))
        .with_state(hub.clone());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|socket| {
        if let Err(error) = tune_socket(socket) {
            tracing::warn!(%error, "a socket could not be set up");
        }
    });
    let draining = group.draining_token().clone();
    group.spawn("server", async move {
        let stopped = draining.cancelled_owned();
        axum::serve(listener, app)
            .with_graceful_shutdown(stopped)
            .await
    });
    Ok((address, hub))
}
