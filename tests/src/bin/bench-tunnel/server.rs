//! The end of the tunnel that listens: agents dial it, and whoever connects to its
//! forwarding ports reaches the backend through the first agent.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
    serve::ListenerExt as _,
};
use helix_base::{TaskGroup, outbound};
use helix_tunnel::{AcceptOptions, Holder, Hub, Lane, REVDIAL_PATH, Upgrade};
use tokio::net::TcpListener;

use crate::{measure, way::FIRST_AGENT};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) control: u16,
    pub(crate) port: u16,
    /// Zero: tunnels do not outlive their connections.
    pub(crate) grace_ms: u64,
    pub(crate) backend: u16,
    pub(crate) forward: u16,
    pub(crate) bulk_forward: u16,
}

#[derive(Debug, Clone)]
struct Server {
    hub: Hub<String>,
    tasks: TaskGroup,
    /// Until the first agent is there, after which its tunnel has them.
    forwarded: Arc<Mutex<Vec<(Lane, TcpListener)>>>,
    backend: u16,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let tasks = TaskGroup::new();
    let accept = AcceptOptions {
        grace: Duration::from_millis(options.grace_ms),
        ..AcceptOptions::default()
    };
    let forwarded = vec![
        (Lane::Control, listen(options.forward).await?),
        (Lane::Bulk, listen(options.bulk_forward).await?),
    ];
    let server = Server {
        hub: Hub::new(accept, &tasks),
        tasks: tasks.clone(),
        forwarded: Arc::new(Mutex::new(forwarded)),
        backend: options.backend,
    };
    let hub = server.hub.clone();
    let app = Router::new()
        .route(REVDIAL_PATH, get(revdial))
        .with_state(server);
    let listener = listen(options.port).await?.tap_io(|socket| {
        // A socket that is gone already fails by itself.
        let _ = outbound::tune_socket(socket);
    });
    tasks.spawn(
        "control plane",
        async move { axum::serve(listener, app).await },
    );
    measure::run(options.control, Some(hub)).await
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.with_context(|| format!("listening on {port}"))
}

/// The credential is the agent's number, and its name.
async fn revdial(State(server): State<Server>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some(number) = bearer.and_then(|bearer| bearer.strip_prefix("Bearer ")) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let first = number == FIRST_AGENT;
    let holder = Holder::new(number.to_owned(), number);
    let hub = server.hub.clone();
    upgrade.accept(&hub, holder, move |tunnel| {
        if !first {
            return;
        }
        let mut forwarded = server
            .forwarded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (lane, listener) in forwarded.drain(..) {
            let (tunnel, tasks) = (tunnel.clone(), server.tasks.clone());
            let target = format!("127.0.0.1:{}", server.backend);
            server.tasks.spawn("forwarding", async move {
                helix_tunnel::forward(listener, tunnel, lane, target, &tasks).await
            });
        }
    })
}
