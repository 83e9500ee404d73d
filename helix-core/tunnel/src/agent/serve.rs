//! One link of an agent: HTTP/2 as its server, until it ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use helix_base::{Backoff, TaskGroup};
use http::{Method, Request, Response};
use hyper::{body::Incoming, ext::Protocol, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tower::Service as _;

use super::{AgentOptions, lanes::Lanes, live::Live};
use crate::{
    CloseCode, CloseReason, Forward,
    handle::Handle,
    io::{LinkIo, Parting, Policy},
    link::greeting::Identity,
    readers::Readers,
    session::{self, InGroup},
    transport::Transport,
    tunnel::LANES_PATH,
};

/// What an agent serves, on every lane.
#[derive(Debug)]
pub(super) struct Serve {
    pub(super) router: Router,
    pub(super) forward: Forward,
    pub(super) options: AgentOptions,
}

/// What answers the requests of one link.
#[derive(Debug)]
struct Answers {
    serve: Arc<Serve>,
    lanes: Option<Arc<Lanes>>,
    readers: Arc<Readers>,
    handle: Arc<Handle>,
    group: TaskGroup,
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if let Some(lanes) = &self.lanes
            && request.method() == Method::POST
            && let Some(lane) = request.uri().path().strip_prefix(LANES_PATH)
        {
            return Ok(lanes.answer(lane).await);
        }
        if request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
            let readers = Arc::clone(&self.readers);
            let forward = &self.serve.forward;
            return Ok(forward.answer(request, readers, &self.group).await);
        }
        let request = request.map(|body| Body::new(self.readers.watch(body, None, &self.handle)));
        // A router is always ready.
        self.serve.router.clone().call(request).await
    }
}

impl Serve {
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.backoff)
    }

    /// Serves on a new link until it ends. When the group drains, requests under way
    /// finish first.
    pub(super) fn start(
        self: &Arc<Self>,
        transport: Box<dyn Transport>,
        identity: Identity,
        (grace, window): (Duration, u32),
        lanes: Option<Arc<Lanes>>,
        group: &TaskGroup,
    ) -> Live {
        let handle = Arc::new(Handle::new());
        let policy = Policy {
            heartbeat: self.options.heartbeat,
            grace,
            window: self.options.limits.replay.min(window) as usize,
        };
        let (io, given_back) = LinkIo::new(transport, None, policy, Arc::clone(&handle));
        let answers = Answers {
            serve: Arc::clone(self),
            lanes,
            readers: Arc::new(Readers::new(self.options.limits.clone())),
            handle: Arc::clone(&handle),
            group: group.clone(),
        };
        let serving = group.spawn("tunnel serve", run(io, given_back, Arc::new(answers)));
        Live::new(identity, handle, serving)
    }
}

async fn run(
    io: LinkIo,
    given_back: oneshot::Receiver<Parting>,
    answers: Arc<Answers>,
) -> CloseReason {
    let limits = &answers.serve.options.limits;
    let service = {
        let answers = Arc::clone(&answers);
        service_fn(move |request| {
            let answers = Arc::clone(&answers);
            // Boxed, since it lies in every stream's task for as long as the stream does.
            Box::pin(async move { answers.answer(request).await })
        })
    };
    let mut connection = Box::pin(
        http2::Builder::new(InGroup(answers.group.clone()))
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
    let handle = &answers.handle;
    let mut going = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = answers.group.draining(), if !going => {
                connection.as_mut().graceful_shutdown();
                going = true;
            }
            () = answers.readers.sweep() => {}
        }
    };
    if going {
        handle.close(CloseCode::GOING_AWAY, "the agent is shutting down");
    }
    drop(connection);
    let otherwise = match ended {
        Ok(()) => CloseReason::local(CloseCode::NORMAL, "HTTP/2 ended"),
        Err(error) => session::broken(&error),
    };
    if let Some(lanes) = &answers.lanes {
        lanes.close().await;
    }
    session::finish(given_back, handle, otherwise).await
}
