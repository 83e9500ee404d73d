//! One connection: resolve, connect, through a proxy or not, TLS, upgrade.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::future;
use http::{HeaderMap, Method, Request, Uri, header::HOST, header::PROXY_AUTHORIZATION};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, dns::Name},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};
use tower::{Service as _, ServiceExt as _, service_fn};
use url::Url;

use super::{Error, error::retry_after};

/// Most bytes that the kernel holds unsent: what is written later, such as a small
/// request beside an upload, does not wait behind megabytes in the socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_LIMIT: u32 = 128 << 10;

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

/// Sets what every socket of Helix wants, dialled or accepted: no Nagle delay, and
/// little unsent data in the kernel where the platform can say so.
///
/// # Errors
///
/// What the operating system says; the socket is usable all the same.
pub fn tune_socket(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_LIMIT)?;
    Ok(())
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

/// A connection to the target, with TLS where its scheme says so.
pub(super) async fn connect(
    target: &Target,
    proxies: &Matcher,
    config: &Arc<ClientConfig>,
) -> Result<BoxedIo, Error> {
    let io = match proxies.intercept(&target.uri) {
        Some(proxy) => through(&proxy, target, config).await?,
        None => tcp(&target.uri).await?,
    };
    if target.tls {
        tls(config, &target.host, io).await
    } else {
        Ok(io)
    }
}

/// A connection to a proxy that it has joined to the target.
async fn through(
    proxy: &Intercept,
    target: &Target,
    config: &Arc<ClientConfig>,
) -> Result<BoxedIo, Error> {
    let mut io = tcp(proxy.uri()).await?;
    if proxy.uri().scheme_str() == Some("https") {
        io = tls(config, proxy.uri().host().unwrap_or_default(), io).await?;
    }
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

/// Tells "did not resolve" from "did not connect" inside a connector's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unresolved(io::Error);

/// A TCP connection to the first address that answers, IPv6 and IPv4 side by side.
async fn tcp(uri: &Uri) -> Result<BoxedIo, Error> {
    let resolver = service_fn(|name: Name| async move {
        let found = tokio::net::lookup_host((name.as_str(), 0))
            .await
            .map_err(Unresolved)?;
        Ok::<_, Unresolved>(found.collect::<Vec<SocketAddr>>().into_iter())
    });
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connecting = async { connector.ready().await?.call(uri.clone()).await };
    let socket = connecting
        .await
        .map_err(|error| explain(uri, error.into()))?
        .into_inner();
    if let Err(error) = tune_socket(&socket) {
        tracing::debug!(%error, "socket options were not taken");
    }
    Ok(Box::new(socket))
}

fn explain(uri: &Uri, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(current) = cause {
        if let Some(Unresolved(source)) = current.downcast_ref() {
            let source = io::Error::new(source.kind(), source.to_string());
            return Error::Resolve {
                host: uri.host().unwrap_or_default().to_owned(),
                source,
            };
        }
        if let Some(source) = current.downcast_ref::<io::Error>() {
            let source = io::Error::new(source.kind(), source.to_string());
            return Error::Connect {
                host: authority(uri),
                source: Box::new(source),
            };
        }
        cause = current.source();
    }
    Error::Connect {
        host: authority(uri),
        source: error,
    }
}

fn authority(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

async fn tls(config: &Arc<ClientConfig>, host: &str, io: BoxedIo) -> Result<BoxedIo, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| Error::Url {
        reason: "its host is not a valid TLS name".to_owned(),
    })?;
    let connected = TlsConnector::from(Arc::clone(config))
        .connect(name, io)
        .await;
    let stream = connected.map_err(|source| Error::Tls {
        host: host.to_owned(),
        source,
    })?;
    Ok(Box::new(stream))
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
