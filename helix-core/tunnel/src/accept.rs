//! The control plane's side: an accepted connection becomes a [`Tunnel`].

use std::{pin::pin, sync::Arc};

use helix_base::TaskGroup;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;

use crate::{
    AcceptOptions, CloseCode, CloseReason, Error, Tunnel,
    io::{Parting, TunnelIo},
    link::Link,
    readers::Readers,
    session::{self, InGroup},
    transport::Transport,
    tunnel::Shared,
};

type Connection = http2::Connection<TokioIo<TunnelIo>, axum::body::Body, InGroup>;

/// Starts HTTP/2 as its client over a connection that an agent has dialled.
///
/// The tunnel's tasks live in `group`. When that drains, the tunnel takes no new
/// requests, lets those under way finish, and closes with
/// [`CloseCode::GOING_AWAY`], upon which agents dial again.
///
/// # Errors
///
/// The connection broke at once.
pub async fn accept(
    transport: impl Transport,
    options: &AcceptOptions,
    group: &TaskGroup,
) -> Result<Tunnel, Error> {
    let link = Arc::new(Link::new());
    let (io, given_back) = TunnelIo::new(Box::new(transport), options.heartbeat, Arc::clone(&link));
    let limits = &options.limits;
    let (sender, connection) = http2::Builder::new(InGroup(group.clone()))
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.stream_window())
        .initial_connection_window_size(limits.connection_window())
        .max_frame_size(limits.max_frame())
        .max_header_list_size(limits.max_headers)
        .max_send_buf_size(limits.send_buffer)
        // What arrives late for a cancelled request is no offence: browsers leave in
        // crowds, and hyper's own bounds would end the connection for all, one of them
        // by a count that never starts over.
        .max_concurrent_reset_streams(limits.max_requests as usize)
        .max_local_error_reset_streams(None)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| link.ended().map_or(Error::Stream(error), Error::Closed))?;
    let readers = Arc::new(Readers::new(limits.clone()));
    let shared = Arc::new(Shared::new(
        options,
        Arc::clone(&link),
        Arc::clone(&readers),
    ));
    let tunnel = Tunnel::new(sender, Arc::clone(&shared));
    let session = run(connection, given_back, shared, group.clone());
    group.spawn("tunnel", session);
    Ok(tunnel)
}

async fn run(
    connection: Connection,
    given_back: oneshot::Receiver<Parting>,
    shared: Arc<Shared>,
    group: TaskGroup,
) {
    let mut connection = pin!(connection);
    let drained = async {
        group.draining().await;
        shared.drain().await;
        shared
            .link
            .close(CloseCode::GOING_AWAY, "the control plane is shutting down");
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = drained => Ok(()),
        () = shared.readers.sweep() => Ok(()),
    };
    if ended.is_ok() && shared.is_unused() {
        shared.link.close(CloseCode::NORMAL, "no longer used");
    }
    let otherwise = match ended {
        Ok(()) => CloseReason::local(CloseCode::PROTOCOL, "HTTP/2 ended"),
        Err(error) => session::broken(&error),
    };
    let reason = session::finish(given_back, &shared.link, otherwise).await;
    tracing::debug!(%reason, "tunnel closed");
}
