//! One connection of an agent: HTTP/2 as its server, until it ends.

use std::sync::Arc;

use axum::{Router, body::Body};
use helix_base::TaskGroup;
use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tower::Service as _;

use super::AgentOptions;
use crate::{
    CloseCode, CloseReason,
    io::TunnelIo,
    link::Link,
    readers::Readers,
    session::{self, InGroup},
    transport::Transport,
};

/// Serves until the connection ends; `proven` is called with the first answered
/// heartbeat. When the group drains, requests under way finish first.
pub(super) async fn serve(
    transport: Box<dyn Transport>,
    router: Router,
    options: &AgentOptions,
    group: &TaskGroup,
    proven: impl FnOnce(),
) -> CloseReason {
    let link = Arc::new(Link::new());
    let readers = Arc::new(Readers::new(options.limits.clone()));
    let (io, given_back) = TunnelIo::new(transport, options.heartbeat, Arc::clone(&link));
    let service = {
        let (link, readers) = (Arc::clone(&link), Arc::clone(&readers));
        service_fn(move |request: Request<Incoming>| {
            let request = request.map(|body| Body::new(readers.watch(body, None, &link)));
            // A router is always ready.
            router.clone().call(request)
        })
    };
    let limits = &options.limits;
    let mut connection = Box::pin(
        http2::Builder::new(InGroup(group.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(limits.stream_window())
            .initial_connection_window_size(limits.connection_window())
            .max_frame_size(limits.max_frame())
            .max_concurrent_streams(limits.max_requests.max(1))
            .max_header_list_size(limits.max_headers)
            .max_send_buf_size(limits.send_buffer)
            // Cancelled requests come in crowds and are no attack: the other side is
            // the agent's own control plane.
            .max_pending_accept_reset_streams(limits.max_requests as usize)
            .max_local_error_reset_streams(None)
            .enable_connect_protocol()
            .serve_connection(TokioIo::new(io), service),
    );
    let mut going = false;
    let mut proven = Some(proven);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = group.draining(), if !going => {
                connection.as_mut().graceful_shutdown();
                going = true;
            }
            () = link.wait_until_proven(), if proven.is_some() => {
                if let Some(proven) = proven.take() {
                    proven();
                }
            }
            () = readers.sweep() => {}
        }
    };
    if going {
        link.close(CloseCode::GOING_AWAY, "the agent is shutting down");
    }
    drop(connection);
    let otherwise = match ended {
        Ok(()) => CloseReason::local(CloseCode::NORMAL, "HTTP/2 ended"),
        Err(error) => session::broken(&error),
    };
    session::finish(given_back, &link, otherwise).await
}
