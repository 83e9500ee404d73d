//! Accepts connections and serves each in a task of its own.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use helix_base::TaskGroup;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt as _;

use super::tls::Tls;
use crate::Foundation;

/// Who is at the other end of the socket: a client, or a reverse proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What connections are served with.
pub(super) struct Accept {
    router: Router,
    tls: Option<Arc<Tls>>,
    tasks: TaskGroup,
    http: Arc<Builder<TokioExecutor>>,
    free: Arc<Semaphore>,
}

impl Accept {
    pub(super) fn new(foundation: &Foundation, router: Router, tls: Option<Arc<Tls>>) -> Self {
        let limits = &foundation.options.limits;
        let mut http = Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .keep_alive(true);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(250)
            .keep_alive_interval(Duration::from_secs(20));
        // No WebSockets by HTTP/2 (RFC 8441): a browser that is not offered them opens a
        // connection for each, where what it types waits behind nothing else.
        Self {
            router,
            tls,
            tasks: foundation.tasks.clone(),
            http: Arc::new(http),
            free: Arc::new(Semaphore::new(limits.connections.max(1) as usize)),
        }
    }

    /// Accepts until the group drains.
    pub(super) async fn run(self, listener: TcpListener) {
        let draining = self.tasks.draining_token().clone();
        let forever = async {
            loop {
                let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((socket, peer)) => self.serve(socket, Peer(peer), permit),
                    Err(error) => pause_after(&error).await,
                }
            }
        };
        draining.run_until_cancelled(forever).await;
    }

    fn serve(&self, socket: TcpStream, peer: Peer, permit: OwnedSemaphorePermit) {
        // Streamed answers are many small writes: Nagle would hold each back.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let (http, router, tasks) = (
            Arc::clone(&self.http),
            self.router.clone(),
            self.tasks.clone(),
        );
        let tls = self.tls.clone();
        self.tasks.spawn("connection", async move {
            let _permit = permit;
            match tls {
                None => connection(&http, socket, router, peer, &tasks).await,
                Some(tls) => {
                    if let Some(socket) = tls.handshake(socket, peer).await {
                        connection(&http, socket, router, peer, &tasks).await;
                    }
                }
            }
        });
    }
}

/// Serves one connection; when the group drains, finishes what is in flight.
async fn connection<S>(
    http: &Builder<TokioExecutor>,
    socket: S,
    router: Router,
    peer: Peer,
    tasks: &TaskGroup,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request.map(axum::body::Body::new)
    });
    let serving = http
        .serve_connection_with_upgrades(TokioIo::new(socket), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = tasks.draining() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}

/// A client that left is no fault; too many open files will pass.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "cannot accept connections: are there too many open files?");
    tokio::time::sleep(Duration::from_secs(1)).await;
}
