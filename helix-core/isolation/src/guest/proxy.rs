//! One request to a server inside the sandbox.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use helix_base::TaskGroup;
use helix_proto::error::ErrorCode;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Version,
    header::{
        CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
    uri::PathAndQuery,
};
use hyper::{client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::failure::{Answer, Failed};
use crate::HearOut;

/// How long either side of an upgrade may take to agree that it is one.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Where a request goes.
pub(crate) struct To<'a> {
    /// The host that it is for, there.
    pub(crate) host: &'a str,
    /// What is there, in words.
    pub(crate) what: &'a str,
    /// What is asked for.
    pub(crate) target: PathAndQuery,
}

/// Sends a request over a connection to a server inside, and answers with its answer. Bodies
/// stream both ways; after a 101 bytes do.
pub(crate) async fn pass_on(
    tasks: &TaskGroup,
    way: OwnedSemaphorePermit,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    To { host, what, target }: To<'_>,
    mut request: Request,
) -> Answer<Response> {
    let wanted = upgrade_of(request.headers());
    let near = wanted
        .as_ref()
        .and_then(|_| request.extensions_mut().remove::<OnUpgrade>());
    prepare(&mut request, host, target, wanted.as_ref());
    let failed = |error: hyper::Error| {
        Failed::new(
            ErrorCode::Upstream,
            format!("{what} did not answer in HTTP: {error}"),
        )
    };
    let (mut client, connection) = http1::handshake(TokioIo::new(HearOut::new(stream)))
        .await
        .map_err(failed)?;
    tasks.spawn("connection inside", async move {
        let _way = way;
        // Its error is the request's, which says it.
        let _ = connection.with_upgrades().await;
    });
    let mut response = client.send_request(request).await.map_err(failed)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(near), Some(wanted)) = (near, wanted) else {
            return Err(Failed::new(
                ErrorCode::Upstream,
                format!("{what} changed the protocol without being asked"),
            ));
        };
        let far = hyper::upgrade::on(&mut response);
        strip(response.headers_mut());
        switch(response.headers_mut(), &wanted);
        tasks.spawn("upgrade inside", pipe(near, far));
    } else {
        strip(response.headers_mut());
    }
    Ok(response.map(Body::new).into_response())
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
fn prepare(request: &mut Request, host: &str, target: PathAndQuery, upgrade: Option<&HeaderValue>) {
    *request.uri_mut() = target.into();
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip(headers);
    if let Ok(host) = HeaderValue::from_str(host)
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
        Ok(Err(error)) => tracing::debug!(%error, "a connection inside did not change over"),
        Err(_) => tracing::debug!("a connection inside took too long to change over"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Read as _, Write as _},
        os::unix::net::UnixStream,
        sync::{Arc, mpsc},
    };

    use bytes::Bytes;
    use futures_util::stream;
    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    /// A server that reads a head, and when it is told to, it answers and hangs up.
    struct Hasty {
        has_read: oneshot::Receiver<()>,
        answer: mpsc::Sender<()>,
        is_gone: mpsc::Receiver<()>,
    }

    impl Hasty {
        fn start() -> (Self, tokio::net::UnixStream) {
            let (near, mut far) = UnixStream::pair().unwrap();
            let (read, has_read) = oneshot::channel();
            let (answer, may_answer) = mpsc::channel();
            let (gone, is_gone) = mpsc::channel();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut one = [0];
                    far.read_exact(&mut one).unwrap();
                    head.extend(one);
                }
                read.send(()).unwrap();
                may_answer.recv().unwrap();
                let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";
                far.write_all(answer).unwrap();
                drop(far);
                gone.send(()).unwrap();
            });
            near.set_nonblocking(true).unwrap();
            let near = tokio::net::UnixStream::from_std(near).unwrap();
            let server = Self {
                has_read,
                answer,
                is_gone,
            };
            (server, near)
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_before_the_body_was_sent_is_the_answer() {
        let tasks = TaskGroup::new();
        let (server, stream) = Hasty::start();
        // It answers and is gone while HTTP, which has looked for an answer just before, asks
        // for what to write.
        let body = stream::once(async move {
            server.has_read.await.unwrap();
            server.answer.send(()).unwrap();
            server.is_gone.recv().unwrap();
            Ok::<_, io::Error>(Bytes::from_static(b"null"))
        });
        let request = Request::post("/").body(Body::from_stream(body)).unwrap();
        let way = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let to = To {
            host: "localhost",
            what: "a server",
            target: PathAndQuery::from_static("/x"),
        };
        let answer = pass_on(&tasks, way, stream, to, request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, "none");
    }
}
