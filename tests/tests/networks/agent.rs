//! An agent behind a network, and what is asked of it through its tunnel.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::Request,
    routing::{get, post},
};
use futures_util::StreamExt as _;
use helix_base::{BackoffPolicy, Outbound, OutboundOptions, TaskGroup};
use helix_tests::eventually::SOON;
use helix_tunnel::{Agent, AgentOptions, AgentState, HeartbeatPolicy, Tunnel};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// Bytes of the second half of the streamed answer.
const REST: usize = 1 << 20;

/// A third of the tests' idle timeouts, as 10 s is of 30 s.
pub(crate) fn heartbeat() -> HeartbeatPolicy {
    HeartbeatPolicy {
        interval: Duration::from_secs(1),
        missed: 3,
    }
}

fn options() -> AgentOptions {
    let backoff = BackoffPolicy {
        base: Duration::from_millis(50),
        cap: Duration::from_millis(500),
    };
    AgentOptions {
        heartbeat: heartbeat(),
        backoff,
        refused: backoff,
        ..AgentOptions::default()
    }
}

/// An agent at work. It stops with the value.
pub(crate) struct Running {
    group: TaskGroup,
    state: watch::Receiver<AgentState>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.cancel();
    }
}

impl Running {
    pub(crate) fn start(url: &str, key: &str, outbound: &OutboundOptions) -> Self {
        Self::with(url, key, Outbound::new(outbound).unwrap())
    }

    pub(crate) fn with(url: &str, key: &str, outbound: Outbound) -> Self {
        let url = url.parse().unwrap();
        let agent = Agent::new(&url, key.into(), outbound, router(), options()).unwrap();
        let (group, state) = (TaskGroup::new(), agent.state());
        let inner = group.clone();
        group.spawn("agent", async move { agent.run(&inner).await });
        Self { group, state }
    }

    /// Why it is not connected.
    pub(crate) async fn failure(&mut self) -> String {
        let failed = |state: &AgentState| !matches!(state, AgentState::Connecting);
        let state = timeout(SOON, self.state.wait_for(failed)).await.unwrap();
        match &*state.unwrap() {
            AgentState::Waiting { reason, .. } => reason.clone(),
            other => panic!("it should not have connected: {other:?}"),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        *self.state.borrow() == AgentState::Connected
    }
}

fn router() -> Router {
    let go = Arc::new(Notify::new());
    let (waiting, going) = (Arc::clone(&go), go);
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/halves", get(async move || halves(waiting)))
        .route("/go", post(async move || going.notify_one()))
}

/// The second half comes only when it was asked for.
fn halves(go: Arc<Notify>) -> Body {
    let first = futures_util::stream::iter([Bytes::from_static(b"first")]);
    let second = futures_util::stream::once(async move {
        go.notified().await;
        pattern()
    });
    Body::from_stream(first.chain(second).map(Ok::<_, std::io::Error>))
}

fn pattern() -> Bytes {
    (0..REST).map(|at| (at % 251) as u8).collect()
}

fn ask(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::empty()).unwrap()
}

/// A request is answered, and a streamed answer arrives part by part, whole.
pub(crate) async fn works(tunnel: &Tunnel) {
    let asked = async {
        let answer = tunnel.request(ask("GET", "/hello")).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "hello");
        Halfway::begin(tunnel).await.finish(tunnel).await;
    };
    timeout(SOON, asked).await.unwrap();
}

/// A streamed answer of which the first half is here.
pub(crate) struct Halfway {
    rest: helix_tunnel::Body,
}

impl Halfway {
    pub(crate) async fn begin(tunnel: &Tunnel) -> Self {
        let answer = tunnel.request(ask("GET", "/halves")).await.unwrap();
        let mut rest = answer.into_body();
        let first = rest.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "first");
        Self { rest }
    }

    /// Asks for the second half, over whatever carries the tunnel now.
    pub(crate) async fn finish(self, tunnel: &Tunnel) {
        let answer = tunnel.request(ask("POST", "/go")).await.unwrap();
        assert!(answer.status().is_success());
        let rest = self.rest.collect().await.unwrap().to_bytes();
        assert_eq!(rest, pattern());
    }
}
