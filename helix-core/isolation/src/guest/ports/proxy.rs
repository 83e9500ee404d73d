//! One request to a port on the sandbox's localhost.

use std::{net::Ipv4Addr, net::Ipv6Addr, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use helix_base::TaskGroup;
use helix_proto::error::ErrorCode;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version,
    header::{
        CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
    uri::PathAndQuery,
};
use hyper::{client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};

use crate::guest::failure::{Answer, Failed};

/// How long a connection may take. (The answer may take as long as its caller waits.)
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long either side of an upgrade may take to agree that it is one.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Sends a request for `/ports/{port}/{path}` to that port, as if for `localhost`, and
/// answers with its answer. Bodies stream both ways; after a 101 bytes do.
pub(super) async fn forward(
    tasks: &TaskGroup,
    way: OwnedSemaphorePermit,
    mut request: Request,
) -> Answer<Response> {
    let (port, target) = target(request.uri())?;
    let stream = connect(port).await?;
    let wanted = upgrade_of(request.headers());
    let near = wanted
        .as_ref()
        .and_then(|_| request.extensions_mut().remove::<OnUpgrade>());
    prepare(&mut request, port, target, wanted.as_ref());
    let (mut client, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| upstream(port, &error))?;
    tasks.spawn("port connection", async move {
        let _way = way;
        // Its error is the request's, which says it.
        let _ = connection.with_upgrades().await;
    });
    let mut response = client
        .send_request(request)
        .await
        .map_err(|error| upstream(port, &error))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(near), Some(wanted)) = (near, wanted) else {
            return Err(Failed::new(
                ErrorCode::Upstream,
                format!("what listens on port {port} changed the protocol without being asked"),
            ));
        };
        let far = hyper::upgrade::on(&mut response);
        strip(response.headers_mut());
        switch(response.headers_mut(), &wanted);
        tasks.spawn("port upgrade", pipe(near, far));
    } else {
        strip(response.headers_mut());
    }
    Ok(response.map(Body::new).into_response())
}

/// The port and the rest of a path, as it came: nothing in it is decoded.
fn target(uri: &Uri) -> Answer<(u16, PathAndQuery)> {
    let rest = uri.path().strip_prefix("/ports/").unwrap_or_default();
    let (port, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Failed::invalid("port", format!("{port:?} is no port: 1 to 65535")))?;
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let target = format!("/{path}{query}").parse().map_err(|error| {
        Failed::new(
            ErrorCode::BadRequest,
            format!("the path cannot be passed on: {error}"),
        )
    })?;
    Ok((port, target))
}

async fn connect(port: u16) -> Answer<TcpStream> {
    let connecting = async {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(stream) => Ok(stream),
            Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port))
                .await
                .map_err(|_| error),
        }
    };
    match timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok(stream)) => {
            // Small messages are what a WebSocket has; a failure only costs time.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(Failed::new(
                ErrorCode::Upstream,
                format!("nothing listens on port {port} in this sandbox"),
            ))
        }
        Ok(Err(error)) => Err(Failed::new(
            ErrorCode::Upstream,
            format!("cannot connect to port {port}: {error}"),
        )),
        Err(_) => Err(Failed::new(
            ErrorCode::Timeout,
            format!("what listens on port {port} took no connection for {CONNECT_WITHIN:?}"),
        )),
    }
}

fn upstream(port: u16, error: &hyper::Error) -> Failed {
    Failed::new(
        ErrorCode::Upstream,
        format!("what listens on port {port} did not answer in HTTP: {error}"),
    )
}

/// The protocol that a request wants to change to.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = connection_names(headers).any(|name| name == UPGRADE);
    headers.get(UPGRADE).filter(|_| named).cloned()
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
}

/// Makes a request of the sandbox's own of one that came from outside.
fn prepare(request: &mut Request, port: u16, target: PathAndQuery, upgrade: Option<&HeaderValue>) {
    *request.uri_mut() = target.into();
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip(headers);
    let host = HeaderValue::from_str(&format!("localhost:{port}"));
    if let Ok(host) = host
        && let Some(asked) = headers.insert(HOST, host)
    {
        headers.entry(FORWARDED_HOST).or_insert(asked);
    }
    if let Some(upgrade) = upgrade {
        switch(headers, upgrade);
    }
}

/// Removes what speaks of one connection only.
fn strip(headers: &mut HeaderMap) {
    for name in connection_names(headers).collect::<Vec<_>>() {
        headers.remove(name);
    }
    let of_one_hop = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in of_one_hop {
        headers.remove(name);
    }
}

fn switch(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}

/// Carries bytes both ways until either side ends.
async fn pipe(near: OnUpgrade, far: OnUpgrade) {
    let both = async { tokio::try_join!(near, far) };
    match timeout(UPGRADE_WITHIN, both).await {
        Ok(Ok((near, far))) => {
            // However it ends, it has ended.
            let _ = copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a connection to a port did not change over"),
        Err(_) => tracing::debug!("a connection to a port took too long to change over"),
    }
}
