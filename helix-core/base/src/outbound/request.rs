//! Requests over a pool of connections that the dialler makes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::PROXY_AUTHORIZATION};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    client::proxy::matcher::Intercept,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tower::Service;

use super::{
    BoxedIo, Error,
    dial::{Destination, Dialler, Opened, authority},
};

/// The pool.
pub(super) struct Requests {
    client: Client<Connector, Full<Bytes>>,
    dialler: Arc<Dialler>,
}

impl Requests {
    pub(super) fn new(dialler: Arc<Dialler>, connect_timeout: Duration) -> Self {
        let connector = Connector {
            dialler: Arc::clone(&dialler),
            connect_timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client, dialler }
    }

    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let proxy = self.dialler.forwards(&uri);
        if let Some(credentials) = proxy.as_ref().and_then(Intercept::basic_auth) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let answered = self.client.request(request).await;
        let answer = answered.map_err(|source| Error::Request {
            host: authority(&uri),
            tls: uri.scheme_str() == Some("https"),
            source,
        })?;
        let status = answer.status();
        match proxy {
            Some(proxy) if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(Error::ProxyRefused {
                    proxy: authority(proxy.uri()),
                    method,
                    host: authority(&uri),
                    status,
                })
            }
            _ => Ok(answer),
        }
    }
}

/// The dialler in the form that the pool takes.
#[derive(Clone)]
struct Connector {
    dialler: Arc<Dialler>,
    connect_timeout: Duration,
}

impl Connector {
    async fn open(self, uri: Uri) -> Result<Pooled, Error> {
        let to = Destination::of(&uri)?;
        let after = self.connect_timeout;
        let opened = tokio::time::timeout(after, self.dialler.open(&to))
            .await
            .unwrap_or_else(|_| {
                Err(Error::Timeout {
                    host: to.host_and_port(),
                    after,
                })
            })?;
        Ok(Pooled::from(opened))
    }
}

impl Service<Uri> for Connector {
    type Response = Pooled;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Pooled, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}

/// A connection in the pool.
struct Pooled {
    io: TokioIo<BoxedIo>,
    forwarded: bool,
    http2: bool,
}

impl From<Opened> for Pooled {
    fn from(opened: Opened) -> Self {
        Self {
            io: TokioIo::new(opened.io),
            forwarded: opened.forwarded,
            http2: opened.http2,
        }
    }
}

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.forwarded);
        if self.http2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
