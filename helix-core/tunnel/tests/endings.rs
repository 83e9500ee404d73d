//! How tunnels end: broken lines, restarts, takeovers, revocations, and peers that do
//! not play by the rules.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::convert::Infallible;

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use helix_base::{Retry as _, TaskGroup};
use helix_tunnel::{
    AcceptOptions, AgentOptions, AgentState, CloseCode, CloseReason, Error, HubEvent, REVDIAL_PATH,
    Stopped, Tunnel,
};
use http_body_util::BodyExt as _;
use support::{
    Line, Over, RunningAgent, Site, agent_options, dial_to, get_request, hello, impatient,
    raw::{Raw, closed_with, raw},
    soon, text,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

/// One piece, then nothing for ever.
async fn never_ends() -> Body {
    let first = stream::iter([Ok::<_, Infallible>("first")]);
    Body::from_stream(first.chain(stream::pending()))
}

fn router() -> Router {
    Router::new()
        .route("/never-ends", get(never_ends))
        .route("/quick", get(|| async { "quick" }))
}

/// As if links could not be resumed.
fn without_grace() -> AcceptOptions {
    AcceptOptions {
        grace: std::time::Duration::ZERO,
        ..AcceptOptions::default()
    }
}

fn key(name: &str) -> String {
    name.to_owned()
}

fn code(reason: &CloseReason) -> u16 {
    reason.code().unwrap().0
}

/// Sends a request whose body never ends, and reads its beginning.
async fn begin(tunnel: &Tunnel) -> helix_tunnel::Body {
    let response = soon(tunnel.request(get_request("/never-ends")))
        .await
        .unwrap();
    let mut body = response.into_body();
    soon(body.frame()).await.unwrap().unwrap();
    body
}

/// The error with which a body ends.
async fn ends_with(body: helix_tunnel::Body) -> Error {
    soon(body.collect()).await.unwrap_err()
}

#[tokio::test]
async fn an_agent_that_dies_ends_its_responses_with_an_error() {
    for over in [Over::Memory, Over::WebSocket] {
        let site = Site::start(over, AcceptOptions::default()).await;
        let (agent, tunnel) = site.connected("a", router()).await;
        let body = begin(&tunnel).await;
        agent.group.cancel();
        let error = ends_with(body).await;
        assert!(matches!(&error, Error::Closed(_)), "{error:?}");
        assert!(error.retryability().is_retryable());
        soon(tunnel.closed()).await;
        let error = soon(tunnel.request(get_request("/quick")))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Closed(_)));
    }
}

#[tokio::test]
async fn without_grace_a_cut_line_ends_responses_and_the_agent_comes_back() {
    let site = Site::start(Over::WebSocket, without_grace()).await;
    let line = Line::to(site.address.unwrap()).await;
    let mut events = site.hub.subscribe();
    let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), agent_options());
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let body = begin(&site.tunnel("a").await).await;
    line.cut();
    let error = ends_with(body).await;
    assert!(
        matches!(error, Error::Closed(CloseReason::Lost { .. })),
        "{error:?}"
    );
    agent
        .wait_for(|state| *state != AgentState::Connected)
        .await;
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let response = soon(site.hub.request(&key("a"), get_request("/quick")))
        .await
        .unwrap();
    assert_eq!(text(response).await, "quick");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(match soon(events.recv()).await.unwrap() {
            HubEvent::Connected { connection, .. } => ("connected", connection),
            HubEvent::Disconnected { connection, .. } => ("disconnected", connection),
            other => panic!("{other:?}"),
        });
    }
    seen.sort_by_key(|(_, connection)| *connection);
    assert_eq!(
        seen,
        [("connected", 1), ("disconnected", 1), ("connected", 2)]
    );
}

#[tokio::test]
async fn a_line_that_goes_dead_without_a_word_is_found_by_both_sides() {
    let options = AcceptOptions {
        heartbeat: impatient(),
        ..without_grace()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let line = Line::to(site.address.unwrap()).await;
    let options = AgentOptions {
        heartbeat: impatient(),
        ..agent_options()
    };
    let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), options);
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let tunnel = site.tunnel("a").await;
    let body = begin(&tunnel).await;
    line.freeze();
    let error = ends_with(body).await;
    let Error::Closed(reason) = error else {
        panic!("{error:?}")
    };
    assert_eq!(code(&reason), CloseCode::SILENT.0);
    agent
        .wait_for(|state| {
            matches!(state, AgentState::Waiting { reason, .. } if reason.contains("heartbeats"))
        })
        .await;
    soon(tunnel.closed()).await;
}

#[tokio::test]
async fn after_a_restart_of_the_control_plane_the_agent_connects_again() {
    let first = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let address = first.address.unwrap();
    let (mut agent, tunnel) = first.connected("a", router()).await;
    first
        .group
        .shutdown(std::time::Duration::from_secs(20))
        .await;
    let reason = soon(tunnel.closed()).await;
    assert_eq!(code(&reason), CloseCode::GOING_AWAY.0, "{reason}");
    agent
        .wait_for(|state| {
            matches!(state, AgentState::Waiting { reason, .. } if reason.contains("connect"))
        })
        .await;
    drop(first);
    let listener = soon(async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let second = Site::listen(listener, AcceptOptions::default());
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let response = soon(second.hub.request(&key("a"), get_request("/quick")))
        .await
        .unwrap();
    assert_eq!(text(response).await, "quick");
}

#[tokio::test]
async fn the_last_connection_of_a_credential_wins_and_the_older_stays_away() {
    for over in [Over::Memory, Over::WebSocket] {
        let site = Site::start(over, AcceptOptions::default()).await;
        let mut events = site.hub.subscribe();
        let (mut older, old_tunnel) = site.connected("a", router()).await;
        let body = begin(&old_tunnel).await;
        let newer_router = Router::new().route("/quick", get(|| async { "newer" }));
        let (newer, _) = site.connected("a", newer_router).await;
        let Stopped::Dismissed(reason) = older.stopped().await else {
            panic!("not dismissed")
        };
        assert_eq!(code(&reason), CloseCode::SUPERSEDED.0);
        let error = ends_with(body).await;
        assert!(
            matches!(error, Error::Closed(CloseReason::Local { .. })),
            "{error:?}"
        );
        let response = soon(site.hub.request(&key("a"), get_request("/quick")))
            .await
            .unwrap();
        assert_eq!(text(response).await, "newer");
        assert_eq!(*newer.state.borrow(), AgentState::Connected);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(soon(events.recv()).await.unwrap());
        }
        assert!(matches!(seen[0], HubEvent::Connected { connection: 1, .. }));
        assert!(matches!(
            seen[1],
            HubEvent::Disconnected { connection: 1, .. }
        ));
        assert!(matches!(seen[2], HubEvent::Connected { connection: 2, .. }));
        // The old tunnel's end is not taken for the new one's.
        soon(old_tunnel.closed()).await;
        assert_eq!(site.hub.keys(), ["a"]);
    }
}

#[tokio::test]
async fn a_revoked_agent_stops_for_good_and_leaves_the_hub() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (mut agent, tunnel) = site.connected("a", router()).await;
    assert!(
        site.hub
            .close(&key("a"), CloseCode::REVOKED, "removed by an administrator")
    );
    let stopped = agent.stopped().await;
    assert!(
        stopped
            .to_string()
            .contains("removed by an administrator (4003)"),
        "{stopped}"
    );
    soon(tunnel.closed()).await;
    let error = soon(site.hub.request(&key("a"), get_request("/quick")))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::NotConnected { .. } | Error::Closed(_)
    ));
    soon(async {
        while site.hub.get(&key("a")).is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = soon(site.hub.request(&key("a"), get_request("/quick")))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "a is not connected");
}

#[tokio::test]
async fn an_agent_whose_credential_is_refused_keeps_trying_and_says_so() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let mut agent = site.agent("refused", router());
    for _ in 0..3 {
        agent
            .wait_for(|state| {
                matches!(state, AgentState::Waiting { reason, .. } if reason.contains("401"))
            })
            .await;
        agent
            .wait_for(|state| *state == AgentState::Connecting)
            .await;
    }
}

#[tokio::test]
async fn an_agent_whose_group_drains_stops_wherever_it_is() {
    let nowhere = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut waiting = RunningAgent::start(dial_to(nowhere, "a"), router(), agent_options());
    waiting
        .wait_for(|state| matches!(state, AgentState::Waiting { .. }))
        .await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let mut dialling = RunningAgent::start(dial_to(address, "a"), router(), agent_options());
    let _accepted = soon(silent.accept()).await.unwrap();
    for agent in [&mut waiting, &mut dialling] {
        let report = soon(agent.group.shutdown(std::time::Duration::from_secs(20))).await;
        assert!(report.aborted.is_empty());
        assert_eq!(agent.stopped().await, Stopped::Shutdown);
    }
}

// Peers that do not play by the rules.

async fn raw_site() -> (Site, Raw) {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let socket = raw(site.address.unwrap(), "raw").await;
    (site, socket)
}

#[tokio::test]
async fn garbage_instead_of_a_greeting_is_closed_as_a_protocol_error() {
    let (_site, mut socket) = raw_site().await;
    socket
        .send(Message::binary(vec![0xff; 1000]))
        .await
        .unwrap();
    assert_eq!(closed_with(&mut socket).await.0, CloseCode::PROTOCOL.0);
}

#[tokio::test]
async fn text_is_closed_as_unsupported() {
    let (_site, mut socket) = raw_site().await;
    socket.send(Message::text("hello")).await.unwrap();
    let expected = (
        CloseCode::UNSUPPORTED.0,
        "a tunnel has no text messages".to_owned(),
    );
    assert_eq!(closed_with(&mut socket).await, expected);
}

#[tokio::test]
async fn a_message_beyond_the_bound_is_closed_as_too_big() {
    let (_site, mut socket) = raw_site().await;
    socket
        .send(Message::binary(vec![0; (1 << 20) + 1]))
        .await
        .unwrap();
    let (code, reason) = closed_with(&mut socket).await;
    assert_eq!(code, CloseCode::TOO_BIG.0);
    assert!(reason.contains("1048576"), "{reason}");
}

#[tokio::test]
async fn bytes_that_are_no_websocket_frames_are_closed_as_a_protocol_error() {
    let (_site, mut socket) = raw_site().await;
    socket.get_mut().write_all(&[0xff; 4096]).await.unwrap();
    assert_eq!(closed_with(&mut socket).await.0, CloseCode::PROTOCOL.0);
}

#[tokio::test]
async fn a_peer_that_answers_no_pings_is_closed_as_silent() {
    let options = AcceptOptions {
        heartbeat: impatient(),
        ..without_grace()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let mut events = site.hub.subscribe();
    let mut socket = raw(site.address.unwrap(), "raw").await;
    let hello = Message::Binary(hello(1).write());
    socket.send(hello).await.unwrap();
    // Pongs are sent by reading, so this one only talks.
    let reason = soon(async {
        loop {
            if let HubEvent::Disconnected { reason, .. } = events.recv().await.unwrap() {
                break reason;
            }
        }
    })
    .await;
    assert_eq!(code(&reason), CloseCode::SILENT.0);
    // By now the socket is gone, so only its bytes are left to look at.
    let mut bytes = Vec::new();
    soon(socket.get_mut().read_to_end(&mut bytes))
        .await
        .unwrap();
    let close = [
        &CloseCode::SILENT.0.to_be_bytes()[..],
        b"no answer to heartbeats",
    ]
    .concat();
    assert!(bytes.ends_with(&close), "{bytes:?}");
}

#[tokio::test]
async fn what_is_no_upgrade_gets_426_with_the_reason() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let mut socket = TcpStream::connect(site.address.unwrap()).await.unwrap();
    let request = format!("GET {REVDIAL_PATH} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains(r#""code":"bad_request""#), "{answer}");
}

#[tokio::test]
async fn an_agent_survives_a_control_plane_that_talks_garbage() {
    let group = TaskGroup::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (codes, mut seen) = tokio::sync::mpsc::channel(8);
    group.spawn("impostor", async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            socket
                .send(Message::Binary(Bytes::from_static(&[0xff; 999])))
                .await
                .unwrap();
            codes.send(closed_with(&mut socket).await.0).await.unwrap();
        }
    });
    let agent = RunningAgent::start(dial_to(address, "a"), router(), agent_options());
    for _ in 0..3 {
        assert_eq!(soon(seen.recv()).await, Some(CloseCode::PROTOCOL.0));
    }
    assert!(!matches!(*agent.state.borrow(), AgentState::Stopped { .. }));
    group.cancel();
}
