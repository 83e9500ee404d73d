//! A control plane and agents for the tests, over memory or over real WebSockets, and a
//! line between them that can be cut or frozen.

pub(crate) mod raw;

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
    serve::ListenerExt as _,
};
use bytes::Bytes;
use helix_base::{BackoffPolicy, Outbound, OutboundOptions, TaskGroup, outbound::tune_socket};
use helix_tunnel::{
    AcceptOptions, Agent, AgentOptions, AgentState, HeartbeatPolicy, Holder, Hub, Lane, Limits,
    REVDIAL_PATH, Stopped, Transport, Tunnel, Upgrade,
    agent::{Dial, DialError, WebSocketDial},
    link::greeting::{Hello, Instance},
    memory::{self, Memory},
};
use http_body_util::BodyExt as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};

/// What carries the tunnel in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Memory,
    WebSocket,
}

/// Bounded, and far longer than anything here should take.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future)
        .await
        .expect("this takes far too long")
}

/// Settings that make tests quick.
pub(crate) fn agent_options() -> AgentOptions {
    let backoff = BackoffPolicy {
        base: Duration::from_millis(10),
        cap: Duration::from_millis(100),
    };
    AgentOptions {
        backoff,
        refused: backoff,
        ..AgentOptions::default()
    }
}

pub(crate) fn accept_options(limits: Limits) -> AcceptOptions {
    AcceptOptions {
        limits,
        ..AcceptOptions::default()
    }
}

pub(crate) fn impatient() -> HeartbeatPolicy {
    HeartbeatPolicy {
        interval: Duration::from_millis(100),
        missed: 2,
    }
}

/// A control plane.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) hub: Hub<String>,
    pub(crate) group: TaskGroup,
    pub(crate) address: Option<SocketAddr>,
    memory: Option<mpsc::Sender<(String, Memory)>>,
}

/// The bearer token is the key; `refused` is nobody's.
async fn revdial(State(hub): State<Hub<String>>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let key = bearer
        .unwrap_or_default()
        .trim_start_matches("Bearer ")
        .to_owned();
    if key == "refused" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    upgrade.accept(&hub, Holder::new(key.clone(), key), |_| {})
}

impl Site {
    pub(crate) async fn start(over: Over, options: AcceptOptions) -> Self {
        match over {
            Over::Memory => Self::in_memory(options),
            Over::WebSocket => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                Self::listen(listener, options)
            }
        }
    }

    fn in_memory(options: AcceptOptions) -> Self {
        let group = TaskGroup::new();
        let hub = Hub::new(options, &group);
        let (sender, mut dialled) = mpsc::channel::<(String, Memory)>(16);
        let (inner, tasks) = (hub.clone(), group.clone());
        group.spawn("acceptor", async move {
            while let Some((key, end)) = dialled.recv().await {
                let hub = inner.clone();
                // A refused connection is the test's own business.
                tasks.spawn("accept", async move {
                    hub.accept(Holder::new(key.clone(), key), end).await
                });
            }
        });
        Self {
            hub,
            group,
            address: None,
            memory: Some(sender),
        }
    }

    pub(crate) fn listen(listener: TcpListener, options: AcceptOptions) -> Self {
        let group = TaskGroup::new();
        let hub = Hub::new(options, &group);
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route(REVDIAL_PATH, get(revdial))
            .with_state(hub.clone());
        let listener = listener.tap_io(|socket| tune_socket(socket).unwrap());
        let inner = group.clone();
        group.spawn("server", async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { inner.draining().await })
                .await
        });
        Self {
            hub,
            group,
            address: Some(address),
            memory: None,
        }
    }

    /// How an agent with this credential dials this site.
    pub(crate) fn dial(&self, key: &str) -> Arc<dyn Dial> {
        match (&self.memory, self.address) {
            (Some(sender), _) => Arc::new(MemoryDial {
                key: key.to_owned(),
                sender: sender.clone(),
            }),
            (None, Some(address)) => dial_to(address, key),
            (None, None) => panic!("a site has one or the other"),
        }
    }

    pub(crate) fn agent(&self, key: &str, router: Router) -> RunningAgent {
        RunningAgent::start(self.dial(key), router, agent_options())
    }

    /// An agent that stays away for long once its connection ends, so that the test cannot
    /// miss that it does.
    pub(crate) fn patient_agent(&self, key: &str, router: Router) -> RunningAgent {
        let backoff = BackoffPolicy {
            base: Duration::from_secs(600),
            cap: Duration::from_secs(600),
        };
        let options = AgentOptions {
            backoff,
            refused: backoff,
            ..AgentOptions::default()
        };
        RunningAgent::start(self.dial(key), router, options)
    }

    /// The tunnel of this key. An agent may know that it is connected a moment before
    /// the hub does.
    pub(crate) async fn tunnel(&self, key: &str) -> Tunnel {
        soon(async {
            loop {
                match self.hub.get(&key.to_owned()) {
                    Some(tunnel) => break tunnel,
                    None => tokio::task::yield_now().await,
                }
            }
        })
        .await
    }

    /// A connected agent and its tunnel.
    pub(crate) async fn connected(&self, key: &str, router: Router) -> (RunningAgent, Tunnel) {
        let agent = self.agent(key, router);
        self.once_connected(key, agent).await
    }

    /// Waits until an agent is connected.
    pub(crate) async fn once_connected(
        &self,
        key: &str,
        mut agent: RunningAgent,
    ) -> (RunningAgent, Tunnel) {
        agent
            .wait_for(|state| *state == AgentState::Connected)
            .await;
        (agent, self.tunnel(key).await)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.group.cancel();
    }
}

pub(crate) fn dial_to(address: SocketAddr, key: &str) -> Arc<dyn Dial> {
    let url = format!("http://{address}").parse().unwrap();
    // Reading the system's certificates takes a while, and is needed once.
    static OUTBOUND: LazyLock<Outbound> =
        LazyLock::new(|| Outbound::new(&OutboundOptions::default()).unwrap());
    Arc::new(WebSocketDial::new(&url, key.into(), OUTBOUND.clone()).unwrap())
}

#[derive(Debug)]
struct MemoryDial {
    key: String,
    sender: mpsc::Sender<(String, Memory)>,
}

#[async_trait]
impl Dial for MemoryDial {
    async fn dial(&self) -> Result<Box<dyn Transport>, DialError> {
        let (ours, theirs) = memory::pair();
        let sent = self.sender.send((self.key.clone(), theirs)).await;
        sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(ours))
    }
}

/// An agent at work. It stops with the value.
pub(crate) struct RunningAgent {
    pub(crate) group: TaskGroup,
    pub(crate) state: watch::Receiver<AgentState>,
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        self.group.cancel();
    }
}

impl RunningAgent {
    pub(crate) fn start(dial: Arc<dyn Dial>, router: Router, options: AgentOptions) -> Self {
        Self::run(Agent::with_dial(dial, router, options))
    }

    pub(crate) fn run(agent: Agent) -> Self {
        let (group, state) = (TaskGroup::new(), agent.state());
        let inner = group.clone();
        group.spawn("agent", async move { agent.run(&inner).await });
        Self { group, state }
    }

    pub(crate) async fn wait_for(&mut self, accept: impl FnMut(&AgentState) -> bool) {
        soon(self.state.wait_for(accept)).await.unwrap();
    }

    pub(crate) async fn stopped(&mut self) -> Stopped {
        self.wait_for(|state| matches!(state, AgentState::Stopped { .. }))
            .await;
        match &*self.state.borrow() {
            AgentState::Stopped { reason } => reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// A TCP line that can be cut, closed for a while, or frozen so that it stays open and
/// carries nothing.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    group: TaskGroup,
    carrying: Arc<Mutex<TaskGroup>>,
    target: Arc<Mutex<SocketAddr>>,
    /// Connections with lower numbers carry nothing.
    frozen: watch::Sender<u64>,
    dialled: Arc<AtomicU64>,
    closed: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.group.cancel();
    }
}

impl Line {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let group = TaskGroup::new();
        let line = Self {
            address: listener.local_addr().unwrap(),
            carrying: Arc::new(Mutex::new(group.child())),
            group,
            target: Arc::new(Mutex::new(target)),
            frozen: watch::Sender::new(0),
            dialled: Arc::default(),
            closed: Arc::default(),
        };
        let (carrying, frozen) = (Arc::clone(&line.carrying), line.frozen.subscribe());
        let (target, closed) = (Arc::clone(&line.target), Arc::clone(&line.closed));
        let dialled = Arc::clone(&line.dialled);
        line.group.spawn("line", async move {
            while let Ok((near, _)) = listener.accept().await {
                if closed.load(Ordering::Relaxed) {
                    continue;
                }
                let number = dialled.fetch_add(1, Ordering::Relaxed);
                let (mut frozen, target) = (frozen.clone(), *target.lock().unwrap());
                let group = carrying.lock().unwrap().clone();
                group.spawn("carry", async move {
                    let mut near = near;
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = async { frozen.wait_for(|first| number < *first).await.is_ok() } => {
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        line
    }

    /// Hangs up on both sides; new connections work.
    pub(crate) fn cut(&self) {
        let mut carrying = self.carrying.lock().unwrap();
        carrying.cancel();
        *carrying = self.group.child();
    }

    /// Hangs up on both sides, and on whoever dials.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.cut();
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }

    /// New connections come out elsewhere.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    /// Carries nothing any more, and never will.
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(u64::MAX);
    }

    /// What is connected carries nothing any more; new connections work.
    pub(crate) fn freeze_what_there_is(&self) {
        self.frozen
            .send_replace(self.dialled.load(Ordering::Relaxed));
    }
}

/// What a well-behaved agent says first.
pub(crate) fn hello(attempt: u64) -> Hello {
    Hello {
        lane: Lane::Control,
        instance: Instance::random(&mut rand::rng()),
        attempt,
        window: 1 << 20,
        resume: None,
    }
}

pub(crate) fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(crate) async fn text(response: http::Response<helix_tunnel::Body>) -> String {
    let bytes = soon(response.into_body().collect())
        .await
        .unwrap()
        .to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Bytes that say where they are: a cheap pattern that repeats only after 2^64.
pub(crate) fn pattern(offset: usize, length: usize) -> Bytes {
    assert_eq!((offset % 8, length % 8), (0, 0));
    let mut bytes = Vec::with_capacity(length);
    for word in offset / 8..(offset + length) / 8 {
        let mixed = (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes());
    }
    Bytes::from(bytes)
}
