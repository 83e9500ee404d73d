//! A small control plane.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{FromRequestParts as _, Request, State, WebSocketUpgrade},
    response::{IntoResponse as _, Response},
    routing::get,
    serve::Listener,
};
use helix_base::{TaskGroup, tls::Identity};
use helix_tests::eventually::{SOON, eventually};
use helix_tunnel::{AcceptOptions, Holder, Hub, REVDIAL_PATH, Tunnel, Upgrade};
use rustls::{ServerConfig, sign::SingleCertAndKey};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{agent::heartbeat, authority::Issued};

/// Who comes with this credential gets a WebSocket on which nothing is ever said.
pub(crate) const SILENT: &str = "silent";

/// A control plane that knows everybody by their credential.
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    site: Site,
}

#[derive(Clone)]
struct Site {
    hub: Hub<String>,
    group: TaskGroup,
    dialled: Arc<AtomicUsize>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.site.group.cancel();
    }
}

impl Control {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub(crate) async fn at(address: &str) -> Self {
        let bound = TcpListener::bind(address).await;
        let listener = bound.unwrap_or_else(|error| {
            panic!("this machine cannot listen on {address}, which the test is about: {error}")
        });
        Self::serve(listener.local_addr().unwrap(), listener)
    }

    /// With TLS.
    pub(crate) async fn start_tls(identity: &Issued) -> Self {
        let identity = Identity::read(&identity.certificate, &identity.key).unwrap();
        let identity = SingleCertAndKey::from(identity.certified_key().unwrap());
        let config = ServerConfig::builder_with_provider(helix_base::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(identity));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        Self::serve(address, TlsListener { listener, tls })
    }

    fn serve<L>(address: SocketAddr, listener: L) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let group = TaskGroup::new();
        let options = AcceptOptions {
            heartbeat: heartbeat(),
            ..AcceptOptions::default()
        };
        let site = Site {
            hub: Hub::new(options, &group),
            group: group.clone(),
            dialled: Arc::default(),
        };
        let router = Router::new()
            .route(REVDIAL_PATH, get(revdial))
            .with_state(site.clone());
        group.spawn("server", async move { axum::serve(listener, router).await });
        Self { address, site }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often agents have dialled.
    pub(crate) fn dialled(&self) -> usize {
        self.site.dialled.load(Ordering::Relaxed)
    }

    /// The tunnel of the agent with this credential, once it is there.
    pub(crate) async fn tunnel(&self, key: &str) -> Tunnel {
        eventually("a tunnel", SOON, async || {
            self.site.hub.get(&key.to_owned()).ok_or(())
        })
        .await
    }
}

async fn revdial(State(site): State<Site>, request: Request) -> Response {
    let bearer = request.headers()["authorization"].to_str().unwrap();
    let key = bearer.trim_start_matches("Bearer ").to_owned();
    let (mut parts, _) = request.into_parts();
    if key == SILENT {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        return upgrade.unwrap().on_upgrade(async |socket| {
            std::future::pending::<()>().await;
            drop(socket);
        });
    }
    site.dialled.fetch_add(1, Ordering::Relaxed);
    match Upgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.accept(&site.hub, Holder::new(key.clone(), key), |_| {}),
        Err(rejection) => rejection.into_response(),
    }
}

struct TlsListener {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, peer) = self.listener.accept().await.unwrap();
            // One that does not trust this certificate is no fault of this side.
            if let Ok(stream) = self.tls.accept(socket).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
