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
    pub(super) tls: Arc<ClientConfig>,
    pub(super) resolver: Arc<dyn Resolve>,
}

/// Where a WebSocket goes.
#[derive(Debug)]
pub(super) struct Target {
    /// With scheme `ws` or `wss`, for the upgrade request.
    websocket: Url,
    /// With scheme `http` or `https`, for proxy rules and connectors.
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
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
        Ok(Self {
            websocket,
            uri,
            host,
            port,
            tls,
        })
    }

    pub(super) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Dialler {
    /// A connection to the target, with TLS where its scheme says so.
    pub(super) async fn connect(&self, target: &Target) -> Result<BoxedIo, Error> {
        let io = match self.proxies.intercept(&target.uri) {
            Some(proxy) => self.through(&proxy, target).await?,
            None => self.tcp(&target.uri).await?,
        };
        if target.tls {
            tls::connect(&self.tls, &target.host, io).await
        } else {
            Ok(io)
        }
    }

    /// A connection to a proxy that it has joined to the target.
    async fn through(&self, proxy: &Intercept, target: &Target) -> Result<BoxedIo, Error> {
        let mut io = self.tcp(proxy.uri()).await?;
        if proxy.uri().scheme_str() == Some("https") {
            io = tls::connect(&self.tls, proxy.uri().host().unwrap_or_default(), io).await?;
        }
        join(io, proxy, target).await
    }

    async fn tcp(&self, uri: &Uri) -> Result<BoxedIo, Error> {
        Ok(Box::new(tcp::connect(self.resolver.as_ref(), uri).await?))
    }
}

/// Has a proxy join its connection to the target.
async fn join(io: BoxedIo, proxy: &Intercept, target: &Target) -> Result<BoxedIo, Error> {
    let name = authority(proxy.uri());
    let host = target.host_and_port();
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
    let host = target.host_and_port();
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
