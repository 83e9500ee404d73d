//! The one factory for everything that dials out: HTTP clients and WebSockets.
//!
//! One place decides about proxies, `NO_PROXY`, private certificate authorities,
//! name resolution and connect timeouts, so that no client can forget one.
//!
//! - `http://` and `ws://` use [`OutboundOptions::http_proxy`], `https://` and
//!   `wss://` use [`OutboundOptions::https_proxy`]. A WebSocket always goes through
//!   a proxy by `CONNECT`; plain HTTP requests are forwarded by it.
//! - Names are resolved anew for each connection; behind a proxy, by the proxy.
//! - Of a host's addresses the first that answers is taken; a dead one costs a quarter
//!   of a second.
//! - Certificates are checked against the system's roots and the given bundle. A client
//!   certificate is shown to servers that ask for one.
//! - Loopback is nothing special: only `no_proxy` exempts a destination.
//!
//! Nothing is read from the environment here, save that the system's certificate
//! store may be named by `SSL_CERT_FILE` and `SSL_CERT_DIR`, as everywhere.

mod dial;
mod error;
mod options;
mod request;
mod resolve;
mod tcp;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use reqwest::redirect;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::WebSocketConfig};
use url::Url;

use self::{dial::Dialler, request::Requests};
pub use self::{
    dial::{BoxedIo, Io},
    error::{Error, why},
    options::OutboundOptions,
    resolve::{Resolve, SharedResolver, SystemResolver},
    tcp::tune_socket,
};

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Largest WebSocket message that a caller without an opinion accepts.
const MAX_MESSAGE: usize = 1 << 20;

/// Makes everything that dials out. Cheap to clone; all clones share one HTTP
/// connection pool.
#[derive(Clone)]
pub struct Outbound {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    downloads: reqwest::Client,
    requests: Requests,
    dialler: Arc<Dialler>,
    connect_timeout: Duration,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Matcher` leaves credentials out of its own output.
        f.debug_struct("Outbound")
            .field("proxies", &self.inner.dialler.proxies)
            .field("connect_timeout", &self.inner.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Outbound {
    /// Reads the certificates and checks the options; dials nothing.
    ///
    /// # Errors
    ///
    /// A proxy URL that cannot be used, or a CA bundle or client certificate that cannot
    /// be read or holds none.
    pub fn new(options: &OutboundOptions) -> Result<Self, Error> {
        Self::with_resolver(options, Arc::new(SystemResolver))
    }

    /// As [`Self::new`], with another way from names to addresses.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_resolver(
        options: &OutboundOptions,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, Error> {
        let proxies = options.matcher()?;
        let settings = tls::Settings::new(options)?;
        let shared = SharedResolver(Arc::clone(&resolver));
        let client = |redirects| client(options, &settings, shared.clone(), redirects);
        let dialler = Arc::new(Dialler {
            proxies,
            tls: Arc::new(settings.config(&[b"http/1.1"])?),
            tls_of_requests: Arc::new(settings.config(&[b"h2", b"http/1.1"])?),
            resolver,
        });
        let inner = Inner {
            http: client(redirect::Policy::custom(within_one_origin))?,
            downloads: client(redirect::Policy::limited(MAX_REDIRECTS))?,
            requests: Requests::new(Arc::clone(&dialler), options.connect_timeout),
            dialler,
            connect_timeout: options.connect_timeout,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The HTTP client for APIs. It has a connect timeout and no total timeout:
    /// set one per request where the answer is not a stream. Redirects are followed
    /// within one origin only, so that no credential or prompt goes elsewhere; any
    /// other redirect is returned as it came.
    pub fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    /// Sends one request whose body is there, over connections that are kept: for what
    /// is asked all the time, where [`Self::http`] would be much of the time it takes.
    /// Redirects are returned as they came. There is a connect timeout and no total one.
    ///
    /// # Errors
    ///
    /// No connection, or one that ended without an answer.
    pub async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        self.inner.requests.send(request).await
    }

    /// The HTTP client for files. It follows redirects to other hosts, as download
    /// sites ask for, and drops `Authorization` and cookies on the way there: put a
    /// credential in no other header.
    pub fn downloads(&self) -> &reqwest::Client {
        &self.inner.downloads
    }

    /// Opens a WebSocket to a `ws://` or `wss://` URL (`http://` and `https://` mean
    /// the same), with these headers on the upgrade request. Incoming messages are
    /// bounded to 1 MiB; for other bounds see [`Self::websocket_with`].
    ///
    /// # Errors
    ///
    /// Everything from a bad URL to a refused upgrade. The connect timeout covers
    /// resolution, connection, proxy, TLS and upgrade together.
    pub async fn websocket(
        &self,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<WebSocketStream<BoxedIo>, Error> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        self.websocket_with(url, headers, config).await
    }

    /// Like [`Self::websocket`], with the caller's bounds and buffer sizes.
    ///
    /// # Errors
    ///
    /// See [`Self::websocket`].
    pub async fn websocket_with(
        &self,
        url: &Url,
        headers: HeaderMap,
        config: WebSocketConfig,
    ) -> Result<WebSocketStream<BoxedIo>, Error> {
        let target = dial::Target::new(url)?;
        let dial = async {
            let io = self.inner.dialler.connect(&target.destination).await?;
            dial::upgrade(&target, headers, config, io).await
        };
        let after = self.inner.connect_timeout;
        tokio::time::timeout(after, Box::pin(dial))
            .await
            .unwrap_or_else(|_| {
                Err(Error::Timeout {
                    host: target.destination.host_and_port(),
                    after,
                })
            })
    }
}

fn client(
    options: &OutboundOptions,
    settings: &tls::Settings,
    resolver: SharedResolver,
    redirects: redirect::Policy,
) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(settings.config(&[b"h2", b"http/1.1"])?)
        .dns_resolver(resolver)
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .redirect(redirects);
    for proxy in options.reqwest_proxies()? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(Error::Client)
}

fn within_one_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same_origin = attempt
        .previous()
        .last()
        .is_some_and(|from| from.origin() == attempt.url().origin());
    if !same_origin {
        attempt.stop()
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}
