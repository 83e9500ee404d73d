//! Lanes, WebSockets and forwarded connections over a tunnel.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{WebSocketUpgrade, ws},
    response::Response,
    routing::{any, get},
};
use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Retry as _, TaskGroup};
use helix_tunnel::{
    AcceptOptions, Agent, AgentState, Error, Forward, Lane, LaneState, Limits, Transport, Tunnel,
    agent::{Dial, DialError},
    forward,
    transport::{self, TransportError},
};
use http::{HeaderMap, HeaderValue, StatusCode};
use support::{Line, Over, RunningAgent, Site, agent_options, dial_to, get_request, soon, text};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};

/// Says everything again, in capitals.
async fn shout(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .protocols(["shout.v1"])
        .on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if let ws::Message::Text(text) = message {
                    let louder = text.to_uppercase().into();
                    if socket.send(ws::Message::Text(louder)).await.is_err() {
                        break;
                    }
                }
            }
        })
}

fn router() -> Router {
    Router::new()
        .route("/shout", any(shout))
        .route("/quick", get(|| async { "quick" }))
}

async fn on(tunnel: &Tunnel, lane: Lane) -> String {
    let response = soon(tunnel.request_on(lane, get_request("/quick")))
        .await
        .unwrap();
    text(response).await
}

fn states(tunnel: &Tunnel) -> [LaneState; 3] {
    tunnel.status().map(|lane| lane.state)
}

#[tokio::test]
async fn a_lane_is_opened_when_it_is_first_asked_for_and_is_a_connection_of_its_own() {
    for over in [Over::Memory, Over::WebSocket] {
        let site = Site::start(over, AcceptOptions::default()).await;
        let (_agent, tunnel) = site.connected("a", router()).await;
        use LaneState::{Closed, Connected};
        assert_eq!(states(&tunnel), [Connected, Closed, Closed]);
        assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
        assert_eq!(states(&tunnel), [Connected, Connected, Closed]);
        let before = tunnel.status();
        assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
        let after = tunnel.status();
        assert!(after[1].bytes_in > before[1].bytes_in);
        assert_eq!(after[0].bytes_in, before[0].bytes_in);
        assert_eq!(on(&tunnel, Lane::Media).await, "quick");
        assert_eq!(states(&tunnel), [Connected; 3]);
        assert_eq!(site.hub.keys(), ["a"]);
    }
}

#[tokio::test]
async fn many_who_ask_for_a_lane_at_once_share_one() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_agent, tunnel) = site.connected("a", router()).await;
    let asked = (0..50).map(|_| on(&tunnel, Lane::Media));
    let answers = soon(futures_util::future::join_all(asked)).await;
    assert!(answers.iter().all(|answer| answer == "quick"));
}

#[tokio::test]
async fn the_lanes_end_with_their_tunnel_and_are_there_again_with_the_next() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (agent, tunnel) = site.connected("a", router()).await;
    assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
    agent.group.cancel();
    soon(tunnel.closed()).await;
    soon(async {
        while states(&tunnel) != [LaneState::Closed; 3] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = soon(tunnel.request_on(Lane::Bulk, get_request("/quick")))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Lane {
                lane: Lane::Bulk,
                ..
            }
        ),
        "{error:?}"
    );
    let (_agent, tunnel) = site.connected("a", router()).await;
    assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
}

/// An agent that takes its time over what it hears.
#[derive(Debug)]
struct Ponderous(Arc<dyn Dial>);

#[async_trait]
impl Dial for Ponderous {
    async fn dial(&self) -> Result<Box<dyn Transport>, DialError> {
        Ok(Box::new(Delayed(self.0.dial().await?)))
    }
}

#[derive(Debug)]
struct Delayed(Box<dyn Transport>);

impl Transport for Delayed {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<transport::Message, TransportError>>> {
        let received = ready!(self.0.poll_receive(cx));
        std::thread::sleep(Duration::from_millis(50));
        Poll::Ready(received)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.poll_ready(cx)
    }

    fn start_send(&mut self, message: transport::Message) -> Result<(), TransportError> {
        self.0.start_send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.poll_flush(cx)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_discard(cx)
    }
}

/// A lane is there before the agent says so, and is not idle in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_is_not_idle_before_whoever_asked_for_it_has_it() {
    let options = AcceptOptions {
        lane_idle: Duration::from_millis(10),
        ..AcceptOptions::default()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let dial = Ponderous(site.dial("a"));
    let _agent = RunningAgent::start(Arc::new(dial), router(), agent_options());
    let tunnel = site.tunnel("a").await;
    assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
}

#[tokio::test]
async fn a_lane_that_nobody_uses_closes_and_opens_again_when_asked_for() {
    let options = AcceptOptions {
        lane_idle: Duration::from_millis(50),
        ..AcceptOptions::default()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let (_agent, tunnel) = site.connected("a", router()).await;
    for _ in 0..3 {
        assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
        soon(async {
            while states(&tunnel)[1] != LaneState::Closed {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(states(&tunnel)[0], LaneState::Connected);
}

/// Dials, until it is told not to.
#[derive(Debug)]
struct Fickle {
    dial: Arc<dyn Dial>,
    works: Arc<AtomicBool>,
}

#[async_trait]
impl Dial for Fickle {
    async fn dial(&self) -> Result<Box<dyn Transport>, DialError> {
        if self.works.load(Ordering::Relaxed) {
            return self.dial.dial().await;
        }
        Err(std::io::Error::other("the proxy has had enough").into())
    }
}

#[tokio::test]
async fn a_lane_that_cannot_be_opened_is_an_error_that_says_why_and_nothing_goes_elsewhere() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let works = Arc::new(AtomicBool::new(true));
    let dial = Fickle {
        dial: site.dial("a"),
        works: Arc::clone(&works),
    };
    let mut agent = RunningAgent::start(Arc::new(dial), router(), agent_options());
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let tunnel = site.tunnel("a").await;
    works.store(false, Ordering::Relaxed);
    let error = soon(tunnel.request_on(Lane::Bulk, get_request("/quick")))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the bulk lane could not be opened: the proxy has had enough"
    );
    assert!(error.retryability().is_retryable());
    works.store(true, Ordering::Relaxed);
    assert_eq!(on(&tunnel, Lane::Bulk).await, "quick");
}

#[tokio::test]
async fn a_lane_goes_on_after_a_cut_like_any_link() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let line = Line::to(site.address.unwrap()).await;
    let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), agent_options());
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let tunnel = site.tunnel("a").await;
    let mut socket = shouting(&tunnel, Lane::Media).await;
    for (round, word) in ["one", "two", "three"].into_iter().enumerate() {
        line.cut();
        socket.send(Message::text(word)).await.unwrap();
        let answer = soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text(word.to_uppercase()));
        assert!(tunnel.status()[2].resumes > round as u64);
    }
    assert_eq!(on(&tunnel, Lane::Control).await, "quick");
}

#[tokio::test]
async fn a_lane_whose_resumption_is_cut_before_it_is_welcome_is_resumed_the_next_time() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let line = Line::to(site.address.unwrap()).await;
    let dumb = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), agent_options());
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let tunnel = site.tunnel("a").await;
    let mut socket = shouting(&tunnel, Lane::Media).await;
    // What the agent dials takes the upgrade, and hangs up on the greeting.
    line.lead_to(dumb.local_addr().unwrap());
    line.cut();
    for _ in 0..4 {
        let (near, _) = soon(dumb.accept()).await.unwrap();
        let mut near = tokio_tungstenite::accept_async(near).await.unwrap();
        soon(near.next()).await.unwrap().unwrap();
    }
    line.lead_to(site.address.unwrap());
    drop(dumb);
    socket.send(Message::text("still there")).await.unwrap();
    let answer = soon(socket.next()).await.unwrap().unwrap();
    assert_eq!(answer, Message::text("STILL THERE"));
}

async fn shouting(
    tunnel: &Tunnel,
    lane: Lane,
) -> tokio_tungstenite::WebSocketStream<helix_tunnel::Pipe> {
    let mut headers = HeaderMap::new();
    headers.insert(
        "sec-websocket-protocol",
        HeaderValue::from_static("whisper, shout.v1"),
    );
    let opened = tunnel.websocket(lane, "/shout", headers, WebSocketConfig::default());
    let response = soon(opened).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "shout.v1");
    response.into_body()
}

#[tokio::test]
async fn a_websocket_to_the_agents_router_talks_both_ways_and_says_goodbye() {
    for over in [Over::Memory, Over::WebSocket] {
        let site = Site::start(over, AcceptOptions::default()).await;
        let (_agent, tunnel) = site.connected("a", router()).await;
        let mut socket = shouting(&tunnel, Lane::Control).await;
        assert_eq!(tunnel.in_flight(), 1);
        for word in ["hello", "world"] {
            socket.send(Message::text(word)).await.unwrap();
            let answer = soon(socket.next()).await.unwrap().unwrap();
            assert_eq!(answer, Message::text(word.to_uppercase()));
        }
        soon(socket.close(None)).await.unwrap();
        while soon(socket.next()).await.is_some_and(|it| it.is_ok()) {}
        drop(socket);
        assert_eq!(tunnel.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_websocket_to_a_route_that_has_none_is_refused_with_the_routers_answer() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_agent, tunnel) = site.connected("a", router()).await;
    let opened = tunnel.websocket(
        Lane::Control,
        "/nowhere",
        HeaderMap::new(),
        WebSocketConfig::default(),
    );
    let error = soon(opened).await.unwrap_err();
    let Error::Refused { status, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// Answers each connection with what it got.
async fn echo(group: &TaskGroup) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = group.clone();
    group.spawn("echo", async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tasks.spawn("echo one", async move {
                let (mut read, mut write) = socket.split();
                // A connection that breaks is its own business.
                let _ = copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn forwarding(site: &Site, allowed: Forward) -> (RunningAgent, Tunnel) {
    let agent = Agent::with_dial(site.dial("a"), router(), agent_options()).with_forward(allowed);
    let mut agent = RunningAgent::run(agent);
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    (agent, site.tunnel("a").await)
}

#[tokio::test]
async fn a_forwarded_connection_carries_bytes_and_ends_of_both_directions() {
    for over in [Over::Memory, Over::WebSocket] {
        let site = Site::start(over, AcceptOptions::default()).await;
        let target = echo(&site.group).await.to_string();
        let (_agent, tunnel) = forwarding(&site, Forward::to([&target])).await;
        let mut pipe = soon(tunnel.connect(Lane::Bulk, &target)).await.unwrap();
        let sent = support::pattern(0, 3 << 20);
        let mut got = Vec::new();
        soon(async {
            let (mut read, mut write) = tokio::io::split(&mut pipe);
            let writes = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(writes, async { read.read_to_end(&mut got).await.unwrap() });
        })
        .await;
        assert!(got == sent);
    }
}

#[tokio::test]
async fn a_listener_on_the_control_plane_comes_out_at_the_agent() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let target = echo(&site.group).await.to_string();
    let (_agent, tunnel) = forwarding(&site, Forward::to([&target])).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, inner) = (site.group.clone(), site.group.clone());
    tasks.spawn("forward", async move {
        forward(listener, tunnel, Lane::Bulk, target, &inner).await
    });
    for _ in 0..3 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"through").await.unwrap();
        let mut answer = [0; 7];
        soon(socket.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"through");
    }
}

#[tokio::test]
async fn an_agent_forwards_only_where_it_is_allowed_to_and_says_what_is_wrong() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let target = echo(&site.group).await.to_string();
    let (_agent, tunnel) = site.connected("closed", router()).await;
    let refused =
        async |tunnel: &Tunnel, target: &str| match soon(tunnel.connect(Lane::Control, target))
            .await
        {
            Err(Error::Refused { status, reason }) => (status.as_u16(), reason),
            other => panic!("{other:?}"),
        };
    let (status, reason) = refused(&tunnel, &target).await;
    assert_eq!(status, 403);
    assert_eq!(reason, format!("this agent does not forward to {target}"));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let (_agent, tunnel) = forwarding(&site, Forward::to([&nobody])).await;
    let (status, reason) = refused(&tunnel, &nobody).await;
    assert_eq!(status, 502);
    assert!(reason.contains("cannot connect to"), "{reason}");
    assert_eq!(refused(&tunnel, "127.0.0.1:1").await.0, 403);
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_is_given_up_and_the_others_go_on() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        stall_grace: Duration::from_millis(100),
        ..Limits::default()
    };
    let options = AcceptOptions {
        limits,
        ..AcceptOptions::default()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let target = echo(&site.group).await.to_string();
    let (_agent, tunnel) = forwarding(&site, Forward::to([&target])).await;
    let mut pipe = soon(tunnel.connect(Lane::Control, &target)).await.unwrap();
    pipe.write_all(b"12345678").await.unwrap();
    let mut byte = [0];
    soon(pipe.read_exact(&mut byte)).await.unwrap();
    // It has more, and its reader is gone.
    let error = soon(async {
        loop {
            if let Err(error) = pipe.write_all(b"x").await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        error.to_string().contains("not read for too long"),
        "{error}"
    );
    assert_eq!(on(&tunnel, Lane::Control).await, "quick");
}
