//! Many agents on one hub, and what some of them may not do to the others.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::time::Duration;

use axum::{Router, extract::Path, routing::get};
use bytes::Bytes;
use futures_util::{SinkExt as _, future::join_all};
use helix_tunnel::{AcceptOptions, AgentState, CloseCode, HeartbeatPolicy, HubEvent};
use support::{
    Over, Site, get_request, impatient,
    raw::{Raw, begun},
    soon, text,
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

const CROWD: usize = 2_000;

fn router(name: &str) -> Router {
    let name = name.to_owned();
    let says = move |Path(word): Path<String>| async move { format!("{name} says {word}") };
    Router::new().route("/say/{word}", get(says))
}

#[tokio::test]
async fn two_thousand_agents_are_connected_at_once_and_each_answers_for_itself() {
    helix_base::limits::raise_open_files();
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let mut agents = Vec::new();
    // A few at a time, as a listener's backlog takes them.
    for chunk in (0..CROWD).collect::<Vec<_>>().chunks(100) {
        let start = chunk.iter().map(async |number| {
            let name = format!("agent-{number}");
            let mut agent = site.agent(&name, router(&name));
            agent
                .wait_for(|state| *state == AgentState::Connected)
                .await;
            agent
        });
        agents.extend(join_all(start).await);
    }
    for chunk in (0..CROWD).collect::<Vec<_>>().chunks(100) {
        join_all(chunk.iter().map(async |number| {
            let name = format!("agent-{number}");
            let request = get_request("/say/hello");
            let response = soon(site.hub.request(&name, request)).await.unwrap();
            assert_eq!(text(response).await, format!("{name} says hello"));
        }))
        .await;
    }
    assert_eq!(site.hub.keys().len(), CROWD);
    drop(agents);
    soon(async {
        while !site.hub.keys().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_agent_is_gone_within_five_seconds_even_if_it_does_not_listen() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_deaf, ..) = begun(&site, "deaf").await;
    let tunnel = site.tunnel("deaf").await;
    let revoked = Instant::now();
    site.hub
        .close(&"deaf".to_owned(), CloseCode::REVOKED, "revoked");
    soon(tunnel.closed()).await;
    assert!(revoked.elapsed() < Duration::from_secs(5));
    soon(async {
        while site.hub.get(&"deaf".to_owned()).is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn http2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Sends these bytes as a link's, in messages of a bearable size.
async fn pour(socket: &mut Raw, bytes: &[u8]) {
    let mut offset = 0_u64;
    for piece in bytes.chunks(100_000) {
        let mut message = vec![3];
        message.extend(offset.to_be_bytes());
        message.extend(0_u64.to_be_bytes());
        message.extend_from_slice(piece);
        offset += piece.len() as u64;
        // It may be closed by now, as it should.
        if socket
            .send(Message::Binary(Bytes::from(message)))
            .await
            .is_err()
        {
            break;
        }
    }
}

async fn disconnected(
    events: &mut tokio::sync::broadcast::Receiver<HubEvent<String>>,
    who: &str,
) -> String {
    soon(async {
        loop {
            if let HubEvent::Disconnected { key, reason, .. } = events.recv().await.unwrap()
                && key == who
            {
                break reason.to_string();
            }
        }
    })
    .await
}

#[tokio::test]
async fn agents_that_flood_are_closed_and_an_honest_one_does_not_notice() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_agent, honest) = site.connected("honest", router("honest")).await;
    let mut events = site.hub.subscribe();
    let settings = http2(4, 0, 0, &[]);
    let crowd = |kind: u8, flags: u8, payload: &'static [u8]| -> Vec<u8> {
        (0..20_000_u32)
            .flat_map(|number| http2(kind, flags, number * 2 + 1, payload))
            .collect()
    };
    for (name, flood) in [
        // HEADERS that open streams, which only a client may do.
        ("headers", crowd(1, 4, &[0x82])),
        // DATA for streams that there are not.
        ("data", crowd(0, 0, &[0; 16])),
        // A frame that claims 16 MB.
        ("length", vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
        // Settings without end.
        (
            "settings",
            http2(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).repeat(200_000),
        ),
    ] {
        let (mut socket, ..) = begun(&site, name).await;
        let bytes = [settings.clone(), flood].concat();
        pour(&mut socket, &bytes).await;
        if name == "settings" {
            // Lawful, if rude: answered, and bounded by what it reads.
            drop(socket);
        }
        let answer = soon(honest.request(get_request("/say/hello")))
            .await
            .unwrap();
        assert_eq!(text(answer).await, "honest says hello");
        if name != "settings" {
            let reason = disconnected(&mut events, name).await;
            assert!(reason.contains("1002"), "{name}: {reason}");
        }
    }
    assert!(!honest.is_closed());
}

#[tokio::test]
async fn a_peer_that_never_reads_is_given_up_and_an_honest_one_does_not_notice() {
    let options = AcceptOptions {
        heartbeat: HeartbeatPolicy {
            interval: Duration::from_millis(300),
            ..impatient()
        },
        grace: Duration::from_millis(300),
        ..AcceptOptions::default()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let mut events = site.hub.subscribe();
    let (_agent, honest) = site.connected("honest", router("honest")).await;
    let (_deaf, ..) = begun(&site, "deaf").await;
    let deaf = site.tunnel("deaf").await;
    // Far more than any socket holds.
    for _ in 0..200 {
        let deaf = deaf.clone();
        site.group.spawn("request", async move {
            let body = vec![7_u8; 1 << 20];
            let request = http::Request::post("/").body(axum::body::Body::from(body));
            deaf.request(request.unwrap()).await.map(drop)
        });
    }
    let answer = soon(honest.request(get_request("/say/hello")))
        .await
        .unwrap();
    assert_eq!(text(answer).await, "honest says hello");
    assert!(deaf.status()[0].replay_depth <= 8 << 20);
    let reason = disconnected(&mut events, "deaf").await;
    assert!(reason.contains("not replaced"), "{reason}");
    assert!(!honest.is_closed());
}
