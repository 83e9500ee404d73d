//! The control plane's handle on one connected agent.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::client::conn::http2::SendRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{AcceptOptions, Body, CloseCode, CloseReason, Error, link::Link, readers::Readers};

/// Sends requests to one agent. Cheap to clone; when the last clone and the last body
/// are gone, the connection closes.
pub struct Tunnel {
    sender: SendRequest<axum::body::Body>,
    shared: Arc<Shared>,
}

impl Clone for Tunnel {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            sender: self.sender.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.handles.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("ended", &self.shared.link.ended())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// What the handles and the session share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    pub(crate) readers: Arc<Readers>,
    handles: AtomicUsize,
    slots: Arc<Semaphore>,
    max_requests: u32,
    draining: AtomicBool,
    headers_timeout: Option<Duration>,
}

impl Shared {
    pub(crate) fn new(options: &AcceptOptions, link: Arc<Link>, readers: Arc<Readers>) -> Self {
        let max_requests = options.limits.max_requests.max(1);
        Self {
            link,
            readers,
            handles: AtomicUsize::new(1),
            slots: Arc::new(Semaphore::new(max_requests as usize)),
            max_requests,
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

    /// Whether nobody can send another request.
    pub(crate) fn is_unused(&self) -> bool {
        self.handles.load(Ordering::Relaxed) == 0
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Some(reason) = self.link.ended() {
            return Err(Error::Closed(reason));
        }
        if self.draining.load(Ordering::Relaxed) {
            return Err(Error::Draining);
        }
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| Error::Busy {
                limit: self.max_requests,
            })
    }
}

impl Tunnel {
    pub(crate) const fn new(sender: SendRequest<axum::body::Body>, shared: Arc<Shared>) -> Self {
        Self { sender, shared }
    }

    /// Sends a request to the agent's router. The URI may be a path alone.
    ///
    /// Dropping the future, or the response's body before its end, cancels the request:
    /// the agent's handler is dropped where it is.
    ///
    /// # Errors
    ///
    /// Before or instead of headers; after them the body ends with an [`Error`] of its
    /// own. [`Error::Busy`] and [`Error::Draining`] say that nothing was sent.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let slot = self.shared.slot()?;
        let request = with_authority(request)?.map(axum::body::Body::new);
        let mut sender = self.sender.clone();
        let answer = sender.try_send_request(request);
        let answered = match self.shared.headers_timeout {
            None => answer.await,
            Some(after) => tokio::time::timeout(after, answer)
                .await
                .map_err(|_| Error::HeadersTimeout { after })?,
        };
        let response = answered.map_err(|error| self.explain(error.into_error()))?;
        Ok(response.map(|body| {
            self.shared
                .readers
                .watch(body, Some(slot), &self.shared.link)
        }))
    }

    fn explain(&self, error: hyper::Error) -> Error {
        match self.shared.link.ended() {
            Some(reason) => Error::Closed(reason),
            // The agent has said that it takes no more on this connection.
            None if error.is_closed() || error.is_canceled() => Error::Draining,
            None => Error::Stream(error),
        }
    }

    /// Requests under way, bodies included.
    pub fn in_flight(&self) -> usize {
        self.shared.max_requests as usize - self.shared.slots.available_permits()
    }

    /// The last measured heartbeat; none before the first answer.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.link.round_trip()
    }

    /// Whether the tunnel has ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.shared.link.has_ended() || self.sender.is_closed()
    }

    /// Ends when the connection is gone, with the reason.
    pub async fn closed(&self) -> CloseReason {
        self.shared.link.wait_until_closed().await
    }

    /// Closes the connection now, with this code and reason; requests under way fail.
    /// The first reason given counts.
    pub fn close(&self, code: CloseCode, reason: impl Into<String>) {
        self.shared.link.close(code, reason);
    }
}

/// HTTP/2 wants a scheme and an authority; behind a tunnel they mean nothing.
fn with_authority<B>(mut request: Request<B>) -> Result<Request<B>, http::Error> {
    if request.uri().authority().is_none() {
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
