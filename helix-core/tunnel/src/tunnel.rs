//! The control plane's handle on one connected agent.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, uri::Authority};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::ext::Protocol;
use tokio::sync::oneshot;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};

use crate::{
    AcceptOptions, Body, CloseCode, CloseReason, Error, Lane, LaneState, LaneStatus, Pipe,
    channel::Channel,
};

/// Where the control plane asks the agent to open a lane, on the agent's side of the
/// control lane.
pub(crate) const LANES_PATH: &str = "/.well-known/helix-tunnel/lanes/";

/// Longest reason that is taken from an agent.
const MAX_REASON: usize = 4 << 10;

/// Sends requests to one agent. Cheap to clone; when the last clone and the last body
/// are gone, the tunnel closes.
#[derive(Clone)]
pub struct Tunnel {
    inner: Arc<Inner>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("control", &self.inner.control)
            .finish_non_exhaustive()
    }
}

struct Inner {
    control: Channel,
    bulk: Side,
    media: Side,
    lane_timeout: Duration,
}

/// A lane that is there on demand.
struct Side {
    lane: Lane,
    channel: Mutex<Option<Channel>>,
    /// One asks, the others wait.
    opening: tokio::sync::Mutex<()>,
    /// Who waits for it to be opened. What arrives is handed over, so that it cannot be idle
    /// for too long before anybody looks.
    expected: Mutex<Option<oneshot::Sender<Channel>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Side {
    const fn new(lane: Lane) -> Self {
        Self {
            lane,
            channel: Mutex::new(None),
            opening: tokio::sync::Mutex::const_new(()),
            expected: Mutex::new(None),
        }
    }

    fn current(&self) -> Option<Channel> {
        lock(&self.channel).as_ref().and_then(Channel::claim)
    }

    fn expect(&self) -> Expecting<'_> {
        let (sender, arrives) = oneshot::channel();
        *lock(&self.expected) = Some(sender);
        Expecting {
            side: self,
            arrives,
        }
    }

    fn opened(&self, channel: Channel) {
        let before = lock(&self.channel).replace(channel.clone());
        let expected = lock(&self.expected).take();
        if let Some(expected) = expected {
            // Whoever waited may have given up.
            let _ = expected.send(channel);
        }
        drop(before);
    }

    fn status(&self) -> LaneStatus {
        let channel = lock(&self.channel);
        channel.as_ref().map_or_else(
            || LaneStatus::closed(self.lane, None),
            |channel| channel.status(self.lane),
        )
    }
}

/// Waits for a lane that was asked for; it is not expected any more when this is gone.
struct Expecting<'a> {
    side: &'a Side,
    arrives: oneshot::Receiver<Channel>,
}

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        *lock(&self.side.expected) = None;
    }
}

impl Tunnel {
    pub(crate) fn new(control: Channel, options: &AcceptOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                control,
                bulk: Side::new(Lane::Bulk),
                media: Side::new(Lane::Media),
                lane_timeout: options.lane_timeout,
            }),
        }
    }

    fn side(&self, lane: Lane) -> Option<&Side> {
        match lane {
            Lane::Control => None,
            Lane::Bulk => Some(&self.inner.bulk),
            Lane::Media => Some(&self.inner.media),
        }
    }

    /// Whether a connection for this lane was asked for.
    pub(crate) fn expects(&self, lane: Lane) -> bool {
        self.side(lane)
            .is_some_and(|side| lock(&side.expected).is_some())
    }

    /// Takes a lane that the agent has opened.
    pub(crate) fn opened(&self, lane: Lane, channel: Channel) {
        if let Some(side) = self.side(lane) {
            side.opened(channel);
        }
    }

    /// The channel of a lane, opened if need be.
    async fn channel(&self, lane: Lane) -> Result<Channel, Error> {
        let Some(side) = self.side(lane) else {
            return Ok(self.inner.control.clone());
        };
        if let Some(channel) = side.current() {
            return Ok(channel);
        }
        let failed = |reason: String| Error::Lane { lane, reason };
        let within = self.inner.lane_timeout;
        let opened = tokio::time::timeout(within, async {
            let _opening = side.opening.lock().await;
            if let Some(channel) = side.current() {
                return Ok(channel);
            }
            let mut expecting = side.expect();
            self.ask_for(lane).await.map_err(failed)?;
            tokio::select! {
                Ok(channel) = &mut expecting.arrives => Ok(channel),
                reason = self.closed() => Err(failed(format!("the tunnel has ended: {reason}"))),
            }
        });
        opened
            .await
            .unwrap_or_else(|_| Err(failed(format!("not within {} s", within.as_secs_f32()))))
    }

    /// Has the agent open a lane; its reason, if it cannot.
    async fn ask_for(&self, lane: Lane) -> Result<(), String> {
        let request = Request::post(format!("{LANES_PATH}{lane}"))
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let response = self
            .inner
            .control
            .request(request)
            .await
            .map_err(|error| error.to_string())?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(reason(response.into_body()).await)
    }

    /// Sends a request to the agent's router, on the control lane. The URI may be a path
    /// alone.
    ///
    /// Dropping the future, or the response's body before its end, cancels the request:
    /// the agent's handler is dropped where it is.
    ///
    /// While the tunnel's connection is being replaced, the request waits.
    ///
    /// # Errors
    ///
    /// Before or instead of headers; after them the body ends with an [`Error`] of its
    /// own. [`Error::Busy`] and [`Error::Draining`] say that nothing was sent.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        self.inner.control.request(request).await
    }

    /// Sends a request on a lane of the caller's choice, which is opened if need be.
    ///
    /// # Errors
    ///
    /// As [`Self::request`]; [`Error::Lane`] if the lane cannot be opened. The request is
    /// not sent on another lane then.
    pub async fn request_on<B>(
        &self,
        lane: Lane,
        request: Request<B>,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        self.channel(lane).await?.request(request).await
    }

    /// Opens a WebSocket to the agent's router, by extended CONNECT (RFC 8441). `headers`
    /// may name subprotocols; the response's headers say what was chosen.
    ///
    /// # Errors
    ///
    /// As [`Self::request_on`]; [`Error::Refused`] if the router answers with anything
    /// but success.
    pub async fn websocket(
        &self,
        lane: Lane,
        path: &str,
        headers: HeaderMap,
        config: WebSocketConfig,
    ) -> Result<Response<WebSocketStream<Pipe>>, Error> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = path
            .parse::<Uri>()
            .map_err(|error| Error::Request(error.into()))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(
            "sec-websocket-version",
            http::HeaderValue::from_static("13"),
        );
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let (parts, pipe) = self.pipe(lane, request).await?.into_parts();
        let stream = WebSocketStream::from_raw_socket(pipe, Role::Client, Some(config)).await;
        Ok(Response::from_parts(parts, stream))
    }

    /// Connects to `target` (`host:port`) from where the agent is, by CONNECT (RFC 9113,
    /// section 8.5). The agent's [`Forward`](crate::Forward) must allow it.
    ///
    /// # Errors
    ///
    /// As [`Self::request_on`]; [`Error::Refused`] with 403 if the agent does not allow
    /// it, and 502 or 504 if there is nothing at the target.
    pub async fn connect(&self, lane: Lane, target: &str) -> Result<Pipe, Error> {
        let authority = target
            .parse::<Authority>()
            .map_err(|error| Error::Request(error.into()))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from(authority);
        self.pipe(lane, request).await.map(Response::into_body)
    }

    async fn pipe(
        &self,
        lane: Lane,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Pipe>, Error> {
        let channel = self.channel(lane).await?;
        let (mut response, slot) = channel.send(request).await?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = channel
                .readers()
                .watch(response.into_body(), Some(slot), channel.handle());
            return Err(Error::Refused {
                status,
                reason: reason(body).await,
            });
        }
        let upgraded = hyper::upgrade::on(&mut response)
            .await
            .map_err(|error| channel.explain(error))?;
        let pipe = channel.readers().watch_pipe(upgraded, Some(slot));
        Ok(response.map(|_| pipe))
    }

    /// Requests under way on all lanes, bodies and pipes included.
    pub fn in_flight(&self) -> usize {
        self.status().iter().map(|lane| lane.in_flight).sum()
    }

    /// The control lane's last measured heartbeat; none before the first answer.
    pub fn round_trip(&self) -> Option<Duration> {
        self.inner.control.handle().round_trip()
    }

    /// All lanes as they are now.
    pub fn status(&self) -> [LaneStatus; 3] {
        [
            self.inner.control.status(Lane::Control),
            self.inner.bulk.status(),
            self.inner.media.status(),
        ]
    }

    /// Where the tunnel stands: its control lane's state.
    pub fn state(&self) -> LaneState {
        self.inner.control.status(Lane::Control).state
    }

    /// Ends when the tunnel no longer stands where it is known to stand; where it stands
    /// then. An interruption that is over before anybody looks may go unnoticed; nothing
    /// follows [`LaneState::Closed`].
    pub async fn state_other_than(&self, known: LaneState) -> LaneState {
        let mut phase = self.inner.control.handle().phase();
        loop {
            let state = self.state();
            if state != known {
                return state;
            }
            tokio::select! {
                // The sender lives as long as this tunnel.
                _ = phase.changed() => {}
                _ = self.closed() => return LaneState::Closed,
            }
        }
    }

    /// Whether the tunnel has ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.inner.control.is_closed()
    }

    /// Ends when the tunnel is gone, with the reason. A connection that breaks and is
    /// replaced in time is no end.
    pub async fn closed(&self) -> CloseReason {
        self.inner.control.closed().await
    }

    /// Closes all lanes now, with this code and reason; requests under way fail. The
    /// first reason given counts.
    pub fn close(&self, code: CloseCode, reason: impl Into<String>) {
        let reason = reason.into();
        for side in [&self.inner.bulk, &self.inner.media] {
            if let Some(channel) = side.current() {
                channel.close(code, reason.clone());
            }
        }
        self.inner.control.close(code, reason);
    }
}

/// What the agent says, as far as it is short.
async fn reason(body: Body) -> String {
    let text = Limited::new(body, MAX_REASON).collect().await;
    text.map_or_else(
        |error| format!("and its reason was lost: {error}"),
        |text| String::from_utf8_lossy(&text.to_bytes()).into_owned(),
    )
}
