//! One connection: resolve, connect, through a proxy or not, TLS, upgrade.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future;
use http::{HeaderMap, Method, Request, Uri, header::HOST, header::PROXY_AUTHORIZATION};
use hyper_util::{
    client::proxy::matcher::{Intercept, Matcher},
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};
use url::Url;

use super::{Error, Resolve, error::retry_after, tcp, tls};

/// A connection of any kind.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection whose kind does not matter: TCP, TLS, or through a proxy.
pub type BoxedIo = Box<dyn Io>;

impl fmt::Debug for dyn Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}

/// What a connection is made with.
pub(super) struct Dialler {
    pub(super) proxies: Matcher,
    /// For HTTP/1.1: WebSockets, and proxies themselves.
    pub(super) tls: Arc<ClientConfig>,
    /// For requests, over HTTP/2 where the server knows it.
    pub(super) tls_of_requests: Arc<ClientConfig>,
    pub(super) resolver: Arc<dyn Resolve>,
}

/// The end of a connection.
#[derive(Debug)]
pub(super) struct Destination {
    /// With scheme `http` or `https`, for proxy rules and connectors.
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

/// Where a WebSocket goes.
#[derive(Debug)]
pub(super) struct Target {
    /// With scheme `ws` or `wss`, for the upgrade request.
    websocket: Url,
    pub(super) destination: Destination,
}

/// A connection for requests.
pub(super) struct Opened {
    pub(super) io: BoxedIo,
    /// To a proxy that forwards each request.
    pub(super) forwarded: bool,
    /// Whether HTTP/2 was agreed on.
    pub(super) http2: bool,
}

impl Destination {
    /// Of a request's URI, whose scheme is `http` or `https`.
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::Url {
            reason: reason.to_owned(),
        };
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid("its scheme must be http or https")),
        };
        let host = uri.host().ok_or_else(|| invalid("it has no host"))?;
        Ok(Self {
            uri: uri.clone(),
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        })
    }

    pub(super) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Target {
    pub(super) fn new(url: &Url) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::Url {
            reason: reason.to_owned(),
        };
        let tls = match url.scheme() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(invalid("its scheme must be ws, wss, http or https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds credentials; send them in a header"));
        }
        let host = url
            .host_str()
            .ok_or_else(|| invalid("it has no host"))?
            .to_owned();
        let port = url
            .port_or_known_default()
            .ok_or_else(|| invalid("it has no port"))?;
        let scheme = if tls { "https" } else { "http" };
        let uri = format!("{scheme}://{host}:{port}/")
            .parse()
            .map_err(|_| invalid("its host is not valid"))?;
        let mut websocket = url.clone();
        websocket.set_fragment(None);
        websocket
            .set_scheme(if tls { "wss" } else { "ws" })
            .map_err(|()| invalid("its scheme must be ws, wss, http or https"))?;
        let destination = Destination {
            uri,
            host,
            port,
            tls,
        };
        Ok(Self {
            websocket,
            destination,
        })
    }
}

impl Dialler {
    /// A connection to speak HTTP/1.1 over, with TLS where the scheme says so.
    pub(super) async fn connect(&self, to: &Destination) -> Result<BoxedIo, Error> {
        let io = match self.proxies.intercept(&to.uri) {
            Some(proxy) => self.through(&proxy, to).await?,
            None => self.tcp(&to.uri).await?,
        };
        if to.tls {
            Ok(Box::new(tls::connect(&self.tls, &to.host, io).await?))
        } else {
            Ok(io)
        }
    }

    /// A connection for requests: where a proxy is to be used without TLS, one to the
    /// proxy, which forwards them. Many allow `CONNECT` to TLS ports only.
    pub(super) async fn open(&self, to: &Destination) -> Result<Opened, Error> {
        let proxy = self.proxies.intercept(&to.uri);
        let forwarded = proxy.is_some() && !to.tls;
        let io = match &proxy {
            Some(proxy) if forwarded => self.proxy(proxy).await?,
            Some(proxy) => self.through(proxy, to).await?,
            None => self.tcp(&to.uri).await?,
        };
        if !to.tls {
            return Ok(Opened {
                io,
                forwarded,
                http2: false,
            });
        }
        let stream = tls::connect(&self.tls_of_requests, &to.host, io).await?;
        Ok(Opened {
            http2: stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            io: Box::new(stream),
            forwarded,
        })
    }

    /// The proxy that forwards a request for this URI, if one does.
    pub(super) fn forwards(&self, uri: &Uri) -> Option<Intercept> {
        let plain = uri.scheme_str() == Some("http");
        plain.then(|| self.proxies.intercept(uri)).flatten()
    }

    /// A connection to a proxy that it has joined to the destination.
    async fn through(&self, proxy: &Intercept, to: &Destination) -> Result<BoxedIo, Error> {
        join(self.proxy(proxy).await?, proxy, to).await
    }

    async fn proxy(&self, proxy: &Intercept) -> Result<BoxedIo, Error> {
        let io = self.tcp(proxy.uri()).await?;
        if proxy.uri().scheme_str() != Some("https") {
            return Ok(io);
        }
        let host = proxy.uri().host().unwrap_or_default();
        Ok(Box::new(tls::connect(&self.tls, host, io).await?))
    }

    async fn tcp(&self, uri: &Uri) -> Result<BoxedIo, Error> {
        Ok(Box::new(tcp::connect(self.resolver.as_ref(), uri).await?))
    }
}

/// Has a proxy join its connection to the target.
async fn join(io: BoxedIo, proxy: &Intercept, to: &Destination) -> Result<BoxedIo, Error> {
    let name = authority(proxy.uri());
    let host = to.host_and_port();
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&host)
        .header(HOST, &host)
        .body(http_body_util::Empty::<Bytes>::new())
        .map_err(|error| Error::Url {
            reason: error.to_string(),
        })?;
    if let Some(credentials) = proxy.basic_auth() {
        request
            .headers_mut()
            .insert(PROXY_AUTHORIZATION, credentials.clone());
    }
    let broken = |source| Error::Proxy {
        proxy: name.clone(),
        source,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
        .await
        .map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        if !response.status().is_success() {
            let (proxy, status) = (name.clone(), response.status());
            return Err(Error::ProxyRefused {
                proxy,
                method: Method::CONNECT,
                host,
                status,
            });
        }
        hyper::upgrade::on(response).await.map_err(broken)
    };
    // The connection moves the bytes of the exchange, and ends by handing itself over;
    // what it fails with reaches the exchange too.
    let driven = Box::pin(connection.with_upgrades());
    let upgraded = match future::select(Box::pin(answer), driven).await {
        future::Either::Left((answered, _)) => answered?,
        future::Either::Right((_, answer)) => answer.await?,
    };
    Ok(Box::new(TokioIo::new(upgraded)))
}

pub(super) fn authority(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

/// The upgrade request over a connection that is there.
pub(super) async fn upgrade(
    target: &Target,
    headers: HeaderMap,
    config: WebSocketConfig,
    io: BoxedIo,
) -> Result<WebSocketStream<BoxedIo>, Error> {
    let host = target.destination.host_and_port();
    let failed = |error| match error {
        tungstenite::Error::Http(answer) => Error::Refused {
            host: host.clone(),
            status: answer.status(),
            retry_after: retry_after(answer.headers()),
        },
        // What the server thinks of a client certificate comes only now (TLS 1.3).
        tungstenite::Error::Io(source) if tls::cause(&source).is_some() => Error::Tls {
            host: host.clone(),
            source,
        },
        error => Error::Handshake {
            host: host.clone(),
            source: Box::new(error),
        },
    };
    let mut request = target
        .websocket
        .as_str()
        .into_client_request()
        .map_err(failed)?;
    request.headers_mut().extend(headers);
    let upgraded = tokio_tungstenite::client_async_with_config(request, io, Some(config)).await;
    Ok(upgraded.map_err(failed)?.0)
}
