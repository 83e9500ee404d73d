//! One request to a port on the sandbox's localhost.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use helix_base::TaskGroup;
use helix_proto::error::ErrorCode;
use http::{Uri, uri::PathAndQuery};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};

use crate::guest::{
    failure::{Answer, Failed},
    proxy::{self, To},
};

/// How long a connection may take. (The answer may take as long as its caller waits.)
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Sends a request for `/ports/{port}/{path}` to that port, as if for `localhost`.
pub(super) async fn forward(
    tasks: &TaskGroup,
    way: OwnedSemaphorePermit,
    request: Request,
) -> Answer<Response> {
    let (port, target) = target(request.uri())?;
    let stream = connect(port).await?;
    let to = To {
        host: &format!("localhost:{port}"),
        what: &format!("what listens on port {port}"),
        target,
    };
    proxy::pass_on(tasks, way, stream, to, request).await
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
