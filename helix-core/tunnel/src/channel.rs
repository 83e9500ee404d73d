//! The control plane's side of one lane: HTTP/2 as its client over one link.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use helix_base::TaskGroup;
use http::{Method, Request, Response, Uri, uri::PathAndQuery};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    AcceptOptions, Body, CloseCode, CloseReason, Error, Lane, LaneState, LaneStatus,
    handle::{Handle, Phase},
    io::{LinkIo, Parting, Policy},
    readers::Readers,
    session::{self, InGroup},
    transport::Transport,
    upload::{self, Waiting},
};

type Connection = http2::Connection<TokioIo<LinkIo>, axum::body::Body, InGroup>;

/// Sends requests to one agent on one lane. Cheap to clone; when the last clone and the
/// last body are gone, the link closes.
pub(crate) struct Channel {
    sender: SendRequest<axum::body::Body>,
    shared: Arc<Shared>,
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        *self.shared.handles() += 1;
        self.counted()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        *self.shared.handles() -= 1;
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("ended", &self.shared.handle.ended())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// A request that was sent and answered: held with the response's body. When it goes,
/// there is room for another, and what is left of the request's body is not sent.
#[derive(Debug)]
pub(crate) struct UnderWay {
    _slot: OwnedSemaphorePermit,
    _waiting: Waiting,
}

/// What the handles and the session share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) handle: Arc<Handle>,
    pub(crate) readers: Arc<Readers>,
    handles: Mutex<usize>,
    slots: Arc<Semaphore>,
    max_requests: u32,
    requests: AtomicU64,
    draining: AtomicBool,
    headers_timeout: Option<Duration>,
}

impl Shared {
    pub(crate) fn new(options: &AcceptOptions, handle: Arc<Handle>, readers: Arc<Readers>) -> Self {
        let max_requests = options.limits.max_requests.max(1);
        Self {
            handle,
            readers,
            handles: Mutex::new(1),
            slots: Arc::new(Semaphore::new(max_requests as usize)),
            max_requests,
            requests: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            headers_timeout: options.headers_timeout,
        }
    }

    /// Takes no new requests, and waits for those under way.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        // The semaphore is never closed.
        let _ = self.slots.acquire_many(self.max_requests).await;
    }

    fn handles(&self) -> MutexGuard<'_, usize> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody can send another request.
    pub(crate) fn is_unused(&self) -> bool {
        *self.handles() == 0
    }

    /// Closes the link when there was no request for this long; never, for none.
    async fn close_when_idle(&self, idle: Option<Duration>) {
        let Some(idle) = idle else {
            return std::future::pending().await;
        };
        let mut seen = None;
        loop {
            let requests = self.requests.load(Ordering::Relaxed);
            if seen.replace(requests) == Some(requests) && self.close_unless_used() {
                return;
            }
            tokio::time::sleep(idle).await;
        }
    }

    /// Closes the link if no request is under way and nobody is about to send one: only the
    /// tunnel itself has a handle. Whoever asks it for one comes before or after this.
    fn close_unless_used(&self) -> bool {
        let handles = self.handles();
        let used = *handles > 1 || self.slots.available_permits() < self.max_requests as usize;
        if !used {
            self.handle.close(CloseCode::NORMAL, "idle");
        }
        !used
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Some(reason) = self.handle.ended() {
            return Err(Error::Closed(reason));
        }
        if self.draining.load(Ordering::Relaxed) {
            return Err(Error::Draining);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| Error::Busy {
                limit: self.max_requests,
            })
    }
}

impl Channel {
    /// Starts HTTP/2 as its client over a link that begins on this transport.
    ///
    /// The channel's tasks live in `group`. When that drains, it takes no new requests,
    /// lets those under way finish, and closes with [`CloseCode::GOING_AWAY`], upon which
    /// agents dial again.
    ///
    /// # Errors
    ///
    /// The connection broke at once.
    pub(crate) async fn open(
        transport: Box<dyn Transport>,
        greeting: Bytes,
        policy: Policy,
        lane: Lane,
        options: &AcceptOptions,
        handle: &Arc<Handle>,
        group: &TaskGroup,
    ) -> Result<Self, Error> {
        let (io, given_back) = LinkIo::new(transport, Some(greeting), policy, Arc::clone(handle));
        let limits = &options.limits;
        let (sender, connection) = http2::Builder::new(InGroup(group.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(limits.stream_window())
            .initial_connection_window_size(limits.connection_window())
            .max_frame_size(limits.max_frame())
            .max_header_list_size(limits.max_headers)
            .max_send_buf_size(limits.send_buffer)
            // What arrives late for a cancelled request is no offence: browsers leave in
            // crowds, and hyper's own bounds would end the connection for all, one of
            // them by a count that never starts over.
            .max_concurrent_reset_streams(limits.max_requests as usize)
            .max_local_error_reset_streams(None)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| handle.ended().map_or(Error::Stream(error), Error::Closed))?;
        let readers = Arc::new(Readers::new(limits.clone()));
        let shared = Arc::new(Shared::new(options, Arc::clone(handle), readers));
        let idle = (lane != Lane::Control).then_some(options.lane_idle);
        let session = run(
            connection,
            given_back,
            Arc::clone(&shared),
            idle,
            group.clone(),
        );
        group.spawn("tunnel", session);
        Ok(Self { sender, shared })
    }

    /// A handle that was counted.
    fn counted(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Another handle, with which the link is not closed as idle; none if it has ended.
    pub(crate) fn claim(&self) -> Option<Self> {
        let mut handles = self.shared.handles();
        if self.is_closed() {
            return None;
        }
        *handles += 1;
        Some(self.counted())
    }

    /// Sends a request to the agent's router. The URI may be a path alone.
    ///
    /// # Errors
    ///
    /// Before or instead of headers.
    pub(crate) async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (response, request) = self.send(request).await?;
        let shared = &self.shared;
        Ok(response.map(|body| shared.readers.watch(body, Some(request), &shared.handle)))
    }

    /// Sends a request, and leaves the response's body to the caller.
    ///
    /// # Errors
    ///
    /// Before or instead of headers.
    pub(crate) async fn send<B>(
        &self,
        request: Request<B>,
    ) -> Result<(Response<Incoming>, UnderWay), Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let slot = self.shared.slot()?;
        let (parts, body) = with_authority(request)?.into_parts();
        let (waiting, body) = upload::tied(body);
        let request = Request::from_parts(parts, body);
        let mut sender = self.sender.clone();
        let answer = sender.try_send_request(request);
        let answered = match self.shared.headers_timeout {
            None => answer.await,
            Some(after) => tokio::time::timeout(after, answer)
                .await
                .map_err(|_| Error::HeadersTimeout { after })?,
        };
        match answered {
            Ok(response) => {
                let under_way = UnderWay {
                    _slot: slot,
                    _waiting: waiting,
                };
                Ok((response, under_way))
            }
            Err(error) => Err(self.explain(error.into_error())),
        }
    }

    pub(crate) fn explain(&self, error: hyper::Error) -> Error {
        match self.shared.handle.ended() {
            Some(reason) => Error::Closed(reason),
            // The agent has said that it takes no more on this connection.
            None if error.is_closed() || error.is_canceled() => Error::Draining,
            None => Error::Stream(error),
        }
    }

    pub(crate) fn readers(&self) -> &Arc<Readers> {
        &self.shared.readers
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.shared.handle
    }

    /// Requests under way, bodies included.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.max_requests as usize - self.shared.slots.available_permits()
    }

    /// Whether the link has ended or is about to.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.handle.has_ended() || self.sender.is_closed()
    }

    /// Ends when the link is gone, with the reason.
    pub(crate) async fn closed(&self) -> CloseReason {
        self.shared.handle.wait_until_closed().await
    }

    /// Closes the link now; requests under way fail. The first reason given counts.
    pub(crate) fn close(&self, code: CloseCode, reason: impl Into<String>) {
        self.shared.handle.close(code, reason);
    }

    pub(crate) fn status(&self, lane: Lane) -> LaneStatus {
        let handle = &self.shared.handle;
        let figures = &handle.figures;
        let detached = match &*handle.phase().borrow() {
            Phase::Detached(reason) => Some(reason.clone()),
            Phase::Attached | Phase::Proven => None,
        };
        LaneStatus {
            lane,
            state: match detached {
                _ if self.is_closed() => LaneState::Closed,
                None => LaneState::Connected,
                Some(_) => LaneState::Resuming,
            },
            round_trip: handle.round_trip(),
            bytes_in: figures.bytes_in.load(Ordering::Relaxed),
            bytes_out: figures.bytes_out.load(Ordering::Relaxed),
            resumes: figures.resumes.load(Ordering::Relaxed),
            replay_depth: figures.replay_depth.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            last_close: handle.ended().or_else(|| handle.last_break()),
        }
    }
}

async fn run(
    connection: Connection,
    given_back: oneshot::Receiver<Parting>,
    shared: Arc<Shared>,
    idle: Option<Duration>,
    group: TaskGroup,
) {
    let mut connection = pin!(connection);
    let drained = async {
        group.draining().await;
        shared.drain().await;
        shared
            .handle
            .close(CloseCode::GOING_AWAY, "the control plane is shutting down");
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = drained => Ok(()),
        () = shared.readers.sweep() => Ok(()),
        () = shared.close_when_idle(idle) => Ok(()),
    };
    if ended.is_ok() && shared.is_unused() {
        shared.handle.close(CloseCode::NORMAL, "no longer used");
    }
    let otherwise = match ended {
        Ok(()) => CloseReason::local(CloseCode::PROTOCOL, "HTTP/2 ended"),
        Err(error) => session::broken(&error),
    };
    let reason = session::finish(given_back, &shared.handle, otherwise).await;
    tracing::debug!(%reason, "a tunnel's link closed");
}

/// HTTP/2 wants a scheme and an authority; behind a tunnel they mean nothing. CONNECT
/// without a protocol has an authority alone (RFC 9113, section 8.5), and means it.
fn with_authority<B>(mut request: Request<B>) -> Result<Request<B>, http::Error> {
    let forwards = request.method() == Method::CONNECT && request.uri().path_and_query().is_none();
    if !forwards && request.uri().authority().is_none() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority("tunnel")
            .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build()?;
    }
    *request.version_mut() = http::Version::HTTP_2;
    Ok(request)
}
