//! WebSockets: an extended CONNECT from the tunnel (RFC 8441), or an upgrade of HTTP/1.1
//! from whoever serves the router in another way, as an upgrade of HTTP/1.1 inside.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use helix_base::TaskGroup;
use hyper::{body::Incoming, ext::Protocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use rand::RngExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::headers::forwardable;
use crate::sandbox::InUse;

/// A request for a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    caller: OnUpgrade,
    /// The key, where the caller speaks HTTP/1.1 and expects the answer to it.
    key: Option<HeaderValue>,
}

impl Upgrade {
    /// Takes it out of a request, if it is one.
    pub(super) fn of(request: &mut Request<Body>) -> Option<Self> {
        let extended = request.method() == Method::CONNECT
            && request
                .extensions()
                .get::<Protocol>()
                .is_some_and(|protocol| protocol.as_str() == "websocket");
        let plain = request.method() == Method::GET && asks(request.headers());
        if !extended && !plain {
            return None;
        }
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
        Some(Self {
            caller: hyper::upgrade::on(request),
            key: key.filter(|_| plain),
        })
    }

    /// Asks what runs inside for the same.
    pub(super) fn ask(&self, head: &mut Parts) {
        head.method = Method::GET;
        let headers = &mut head.headers;
        let fixed = HeaderValue::from_static;
        headers.insert(header::CONNECTION, fixed("Upgrade"));
        headers.insert(header::UPGRADE, fixed("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, fixed("13"));
        let key = self.key.clone().unwrap_or_else(random_key);
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        headers.remove(header::CONTENT_LENGTH);
    }

    /// Joins the two, and answers the caller.
    pub(super) fn join(
        self,
        mut answer: Response<Incoming>,
        in_use: InUse,
        tasks: &TaskGroup,
    ) -> Response<Body> {
        let inside = hyper::upgrade::on(&mut answer);
        let caller = self.caller;
        let group = tasks.clone();
        tasks.spawn("sandbox websocket", async move {
            let (caller, inside) = match tokio::try_join!(caller, inside) {
                Ok(joined) => joined,
                Err(error) => {
                    tracing::debug!(%error, "a WebSocket did not come to be");
                    return;
                }
            };
            let mut caller = Used(TokioIo::new(caller), in_use);
            let mut inside = TokioIo::new(inside);
            tokio::select! {
                carried = copy_bidirectional(&mut caller, &mut inside) => {
                    if let Err(error) = carried {
                        tracing::debug!(%error, "a WebSocket broke");
                    }
                }
                // A terminal goes on inside, and can be attached to again.
                () = group.draining() => {}
            }
        });
        let (mut head, _) = answer.into_parts();
        forwardable(&mut head.headers);
        head.extensions.clear();
        if self.key.is_some() {
            let fixed = HeaderValue::from_static;
            head.headers.insert(header::CONNECTION, fixed("Upgrade"));
            head.headers.insert(header::UPGRADE, fixed("websocket"));
        } else {
            head.status = StatusCode::OK;
            head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        }
        Response::from_parts(head, Body::empty())
    }
}

fn asks(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn random_key() -> HeaderValue {
    let key = BASE64_STANDARD.encode(rand::rng().random::<[u8; 16]>());
    // Base64 is always a header value.
    HeaderValue::try_from(key).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The caller's side: what comes from it is a use of the sandbox.
struct Used<T>(T, InUse);

impl<T: AsyncRead + Unpin> AsyncRead for Used<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        self.1.touch();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Used<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
