//! Connections that break and are replaced while streams go on; and who may replace them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use futures_util::{StreamExt as _, stream};
use helix_base::Retry as _;
use helix_tunnel::{
    AcceptOptions, AgentState, CloseCode, CloseReason, HubEvent, Lane, LaneState, Limits,
    link::greeting::{Hello, Identity, Resume, Welcome},
};
use http_body_util::BodyExt as _;
use support::raw::{begun, closed_with, hear, raw, say};
use support::{
    Line, Over, RunningAgent, Site, agent_options, dial_to, get_request, hello, impatient, pattern,
    soon, text,
};

const PIECE: usize = 64 << 10;
const PIECES: usize = 512;

/// 32 MiB, piece by piece.
async fn download() -> Body {
    let pieces = stream::iter(0..PIECES)
        .map(|piece| Ok::<_, std::convert::Infallible>(pattern(piece * PIECE, PIECE)));
    Body::from_stream(pieces)
}

/// How much arrived, if it is what was sent.
async fn upload(body: Body) -> String {
    let mut body = body.into_data_stream();
    let mut offset = 0;
    let mut rest = Vec::new();
    while let Some(piece) = body.next().await {
        rest.extend_from_slice(&piece.unwrap());
        let whole = rest.len() / 8 * 8;
        assert_eq!(rest[..whole], pattern(offset, whole)[..], "at {offset}");
        rest.drain(..whole);
        offset += whole;
    }
    offset.to_string()
}

fn router() -> Router {
    Router::new()
        .route("/download", get(download))
        .route("/upload", post(upload))
        .route("/quick", get(|| async { "quick" }))
}

struct World {
    site: Site,
    line: Line,
    agent: RunningAgent,
}

impl World {
    async fn new(options: AcceptOptions) -> Self {
        let site = Site::start(Over::WebSocket, options).await;
        let line = Line::to(site.address.unwrap()).await;
        let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), agent_options());
        agent
            .wait_for(|state| *state == AgentState::Connected)
            .await;
        Self { site, line, agent }
    }

    async fn resumes(&self) -> u64 {
        self.site.tunnel("a").await.status()[0].resumes
    }
}

/// Cuts the line now and then, until it is dropped.
async fn cut_often(line: &Line) {
    loop {
        tokio::time::sleep(Duration::from_millis(30)).await;
        line.cut();
    }
}

#[tokio::test]
async fn bodies_both_ways_go_on_byte_exact_while_the_line_is_cut_again_and_again() {
    let world = World::new(AcceptOptions::default()).await;
    let tunnel = world.site.tunnel("a").await;
    let down = async {
        let mut body = tunnel
            .request(get_request("/download"))
            .await
            .unwrap()
            .into_body();
        let mut offset = 0;
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            rest.extend_from_slice(&frame.unwrap().into_data().unwrap());
            let whole = rest.len() / 8 * 8;
            assert_eq!(rest[..whole], pattern(offset, whole)[..], "at {offset}");
            rest.drain(..whole);
            offset += whole;
        }
        assert_eq!(offset, PIECE * PIECES);
    };
    let up = async {
        let pieces = stream::iter(0..PIECES)
            .map(|piece| Ok::<_, std::convert::Infallible>(pattern(piece * PIECE, PIECE)));
        let request = http::Request::post("/upload")
            .body(Body::from_stream(pieces))
            .unwrap();
        let response = tunnel.request(request).await.unwrap();
        assert_eq!(text(response).await, (PIECE * PIECES).to_string());
    };
    soon(async {
        tokio::select! {
            _ = async { tokio::join!(down, up) } => {}
            () = cut_often(&world.line) => {}
        }
    })
    .await;
    assert!(world.resumes().await > 0);
    assert!(!tunnel.is_closed());
}

#[tokio::test]
async fn a_request_made_while_the_line_is_down_waits_and_is_answered() {
    let world = World::new(AcceptOptions::default()).await;
    let tunnel = world.site.tunnel("a").await;
    world.line.close();
    soon(async {
        while tunnel.status()[0].state != LaneState::Resuming {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let status = &tunnel.status()[0];
    assert!(matches!(status.last_close, Some(CloseReason::Lost { .. })));
    let waiting = tunnel.clone();
    let answer = world.site.group.spawn("request", async move {
        text(waiting.request(get_request("/quick")).await.unwrap()).await
    });
    world.line.open();
    assert_eq!(soon(answer).await.unwrap().unwrap(), "quick");
    assert_eq!(tunnel.status()[0].resumes, 1);
}

#[tokio::test]
async fn a_line_that_goes_dead_without_a_word_is_replaced() {
    let options = AcceptOptions {
        heartbeat: impatient(),
        ..AcceptOptions::default()
    };
    let site = Site::start(Over::WebSocket, options).await;
    let line = Line::to(site.address.unwrap()).await;
    let options = helix_tunnel::AgentOptions {
        heartbeat: impatient(),
        ..agent_options()
    };
    let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), options);
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let tunnel = site.tunnel("a").await;
    line.freeze_what_there_is();
    let response = soon(tunnel.request(get_request("/quick"))).await.unwrap();
    assert_eq!(text(response).await, "quick");
    assert!(tunnel.status()[0].resumes >= 1);
}

#[tokio::test]
async fn what_does_not_come_back_within_the_grace_ends_with_an_error_that_can_be_retried() {
    let options = AcceptOptions {
        grace: Duration::from_millis(200),
        ..AcceptOptions::default()
    };
    let world = World::new(options).await;
    let tunnel = world.site.tunnel("a").await;
    let body = tunnel
        .request(get_request("/download"))
        .await
        .unwrap()
        .into_body();
    world.line.close();
    let error = soon(body.collect()).await.unwrap_err();
    assert!(error.retryability().is_retryable());
    assert!(
        error.to_string().contains("not replaced within 0.2 s"),
        "{error}"
    );
    soon(tunnel.closed()).await;
    let mut agent = world.agent;
    world.line.open();
    // The agent begins anew.
    soon(async {
        while world
            .site
            .hub
            .get(&"a".to_owned())
            .is_none_or(|it| it.is_closed())
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
}

#[tokio::test]
async fn a_control_plane_that_was_replaced_is_noticed_at_once_and_the_agent_begins_anew() {
    let first = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let line = Line::to(first.address.unwrap()).await;
    let mut agent = RunningAgent::start(dial_to(line.address, "a"), router(), agent_options());
    agent
        .wait_for(|state| *state == AgentState::Connected)
        .await;
    let second = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    line.lead_to(second.address.unwrap());
    line.cut();
    let tunnel = second.tunnel("a").await;
    let response = soon(tunnel.request(get_request("/quick"))).await.unwrap();
    assert_eq!(text(response).await, "quick");
    assert_eq!(tunnel.status()[0].resumes, 0);
}

// Who may resume.

fn resuming(hello: &Hello, identity: &Identity, attempt: u64, received: u64) -> Hello {
    Hello {
        attempt,
        resume: Some(Resume {
            identity: identity.clone(),
            received,
        }),
        ..hello.clone()
    }
}

#[tokio::test]
async fn another_links_secret_and_another_credential_are_refused_and_the_link_goes_on() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let address = site.address.unwrap();
    let (_socket, hello, identity) = begun(&site, "a").await;
    let (_other, _, other_identity) = begun(&site, "b").await;
    let mixed = Identity {
        link: identity.link,
        secret: other_identity.secret,
    };
    for (credential, identity) in [("a", &mixed), ("b", &identity)] {
        let mut thief = raw(address, credential).await;
        say(&mut thief, resuming(&hello, identity, 9, 0).write()).await;
        let (code, reason) = closed_with(&mut thief).await;
        assert_eq!(code, CloseCode::RESUME_REFUSED.0, "{reason}");
    }
    let mut again = raw(address, "a").await;
    say(&mut again, resuming(&hello, &identity, 10, 0).write()).await;
    let welcome = Welcome::read(hear(&mut again).await).unwrap();
    assert!(matches!(welcome, Welcome::Resumed { received: 0 }));
}

#[tokio::test]
async fn a_connection_that_was_held_up_is_refused_as_stale() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_socket, hello, identity) = begun(&site, "a").await;
    for late in [resuming(&hello, &identity, 1, 0), hello.clone()] {
        let mut socket = raw(site.address.unwrap(), "a").await;
        say(&mut socket, late.write()).await;
        assert_eq!(closed_with(&mut socket).await.0, CloseCode::STALE.0);
    }
    assert!(!site.tunnel("a").await.is_closed());
}

#[tokio::test]
async fn a_resumption_from_where_nobody_has_been_ends_the_link_with_a_reason() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_socket, hello, identity) = begun(&site, "a").await;
    let mut again = raw(site.address.unwrap(), "a").await;
    say(&mut again, resuming(&hello, &identity, 2, u64::MAX).write()).await;
    let (code, reason) = closed_with(&mut again).await;
    assert_eq!(code, CloseCode::PROTOCOL.0);
    assert!(reason.contains("were sent"), "{reason}");
}

#[tokio::test]
async fn a_lane_that_nobody_asked_for_is_refused() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_socket, hello, _) = begun(&site, "a").await;
    let mut socket = raw(site.address.unwrap(), "a").await;
    let lane = Hello {
        lane: Lane::Media,
        attempt: 2,
        ..hello
    };
    say(&mut socket, lane.write()).await;
    assert_eq!(
        closed_with(&mut socket).await.0,
        CloseCode::UNEXPECTED_LANE.0
    );
}

/// Frames of a link that no honest agent sends.
fn dishonest() -> [(&'static str, Bytes); 5] {
    let frame = |kind: u8, numbers: &[u64], payload: &[u8]| {
        let mut frame = vec![kind];
        frame.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        frame.extend_from_slice(payload);
        Bytes::from(frame)
    };
    [
        ("bytes from", frame(3, &[u64::MAX, 0], b"x")),
        ("acknowledgement of", frame(4, &[u64::MAX], b"")),
        ("wrong length", frame(3, &[0, 0], b"")),
        ("unknown kind", frame(77, &[0, 0], b"x")),
        ("unknown kind", hello(3).write()),
    ]
}

#[tokio::test]
async fn dishonest_frames_are_closed_with_a_reason_and_nobody_else_notices() {
    let site = Site::start(Over::WebSocket, AcceptOptions::default()).await;
    let (_agent, honest) = site.connected("honest", router()).await;
    let body = honest
        .request(get_request("/download"))
        .await
        .unwrap()
        .into_body();
    for (expected, frame) in dishonest() {
        let (mut socket, ..) = begun(&site, "raw").await;
        say(&mut socket, frame).await;
        let (code, reason) = closed_with(&mut socket).await;
        assert_eq!(code, CloseCode::PROTOCOL.0);
        assert!(reason.contains(expected), "{reason}");
    }
    let bytes = soon(body.collect()).await.unwrap().to_bytes();
    assert_eq!(bytes.len(), PIECE * PIECES);
    assert!(!honest.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_acknowledges_is_closed_with_a_reason() {
    let limits = Limits {
        replay: 256 << 10,
        ..Limits::default()
    };
    let options = AcceptOptions {
        limits,
        ..AcceptOptions::default()
    };
    let site = Site::start(Over::Memory, options).await;
    let mut events = site.hub.subscribe();
    let (mut near, far) = helix_tunnel::memory::pair();
    let hub = site.hub.clone();
    site.group.spawn("accept", async move {
        hub.accept(helix_tunnel::Holder::new("mute".to_owned(), "mute"), far)
            .await
    });
    use helix_tunnel::{Transport as _, transport::Message as Piece};
    near.start_send(Piece::Binary(hello(1).write())).unwrap();
    let listen = async {
        // Pings are answered, and nothing else is.
        while std::future::poll_fn(|cx| near.poll_receive(cx))
            .await
            .is_some()
        {}
    };
    let ended = async {
        loop {
            if let HubEvent::Disconnected { reason, .. } = events.recv().await.unwrap() {
                break reason;
            }
        }
    };
    let ((), reason) = tokio::join!(listen, ended);
    assert!(
        reason.to_string().contains("nothing was acknowledged"),
        "{reason}"
    );
}
