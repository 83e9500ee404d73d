use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Outbound, OutboundOptions, outbound::BoxedIo};
use helix_proto::{
    ErrorCode, SessionId,
    live::{ClientMessage, ServerMessage},
    session::{SessionEvent, SessionEventBody, TurnState},
};
use http::{HeaderMap, Method, header};
use serde_json::json;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{
    person::{Person, Proof},
    sessions::{answering, ended, send, session},
    world::{Kind, World},
};

on_both_databases!(
    events_go_on_from_stored_to_live_without_a_gap,
    many_readers_and_a_late_one_see_the_same_log,
    the_web_socket_tells_lists_and_followed_logs,
);

/// Reads events after one until there are `count`, within 20 s.
pub(crate) async fn read_events(
    world: &World,
    person: &Person,
    session: SessionId,
    after: u64,
    count: usize,
) -> Vec<SessionEvent> {
    let path = format!("/api/v1/sessions/{session}/events?after={after}");
    let person = Person {
        url: world.url(),
        ..person.clone()
    };
    let response = person.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let mut body = response.bytes_stream();
    let mut text = String::new();
    let reading = async {
        let mut events = Vec::new();
        while events.len() < count {
            text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let Some(data) = field("data: ") {
                    let event: SessionEvent = serde_json::from_str(data).unwrap();
                    assert_eq!(field("id: "), Some(&*event.seq.to_string()));
                    events.push(event);
                }
                text = rest.to_owned();
            }
        }
        events
    };
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("events in time")
}

async fn events_go_on_from_stored_to_live_without_a_gap(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    send(&admin, id, "hold").await;
    answering(&admin, id, "first ").await;
    // Title, start, running, first delta; then live: second delta, end.
    let (events, ()) = tokio::join!(read_events(&world, &admin, id, 1, 5), async {
        world.model.go_on();
    });
    assert!(events.iter().map(|event| event.seq).eq(2..=6), "{events:?}");
    assert!(matches!(
        events[4].body,
        SessionEventBody::TurnEnded {
            state: TurnState::Completed,
            ..
        }
    ));

    let path = format!("/api/v1/sessions/{id}/events?after=0");
    let request = admin
        .request(Method::GET, &path)
        .header("last-event-id", "5");
    let mut body = request.send().await.unwrap().bytes_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&first).contains("\"seq\":6"),
        "{first:?}"
    );
    admin
        .get("/api/v1/sessions/ses_nonsense/events")
        .await
        .error(ErrorCode::NotFound);
}

async fn many_readers_and_a_late_one_see_the_same_log(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let readers = (0..10).map(|_| read_events(&world, &admin, id, 0, 6));
    let (logs, ()) = tokio::join!(futures_util::future::join_all(readers), async {
        send(&admin, id, "hold").await;
        answering(&admin, id, "first ").await;
        world.model.go_on();
        ended(&admin, id).await;
    });
    let late = read_events(&world, &admin, id, 0, 6).await;
    assert!(logs.iter().all(|log| *log == late));
}

pub(crate) async fn connect(world: &World, person: &Person) -> WebSocketStream<BoxedIo> {
    connect_to(world, person, "/api/v1/ws/user").await
}

/// A WebSocket, as a browser on the own page opens it.
pub(crate) async fn connect_to(
    world: &World,
    person: &Person,
    path: &str,
) -> WebSocketStream<BoxedIo> {
    connect_with(world, person, path, WebSocketConfig::default()).await
}

/// Likewise, with bounds.
pub(crate) async fn connect_with(
    world: &World,
    person: &Person,
    path: &str,
    config: WebSocketConfig,
) -> WebSocketStream<BoxedIo> {
    let Proof::Cookie(cookie) = &person.proof else {
        panic!("a browser")
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, cookie.parse().unwrap());
    headers.insert(header::ORIGIN, world.url().parse().unwrap());
    let url = format!("{}{path}", world.url().replace("http", "ws"));
    let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
    outbound
        .websocket_with(&url.parse().unwrap(), headers, config)
        .await
        .unwrap()
}

/// The next message that `wanted` takes, within 20 s.
pub(crate) async fn next<T>(
    socket: &mut WebSocketStream<BoxedIo>,
    mut wanted: impl FnMut(ServerMessage) -> Option<T>,
) -> T {
    let waiting = async {
        loop {
            match socket.next().await.expect("an open socket").unwrap() {
                Message::Text(text) => {
                    let message = serde_json::from_str(&text).unwrap();
                    if let Some(found) = wanted(message) {
                        return found;
                    }
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("a message in time")
}

pub(crate) async fn say(socket: &mut WebSocketStream<BoxedIo>, message: &ClientMessage) {
    let text = serde_json::to_string(message).unwrap();
    socket.send(Message::Text(text.into())).await.unwrap();
}

async fn the_web_socket_tells_lists_and_followed_logs(world: World) {
    let admin = world.admin().await;
    let other = world.member("other").await;
    let mut socket = connect(&world, &admin).await;
    let mut others = connect(&world, &other).await;
    let id = session(&admin).await;
    let made = next(&mut socket, |message| match message {
        ServerMessage::SessionChanged { session } => Some(session.id),
        _ => None,
    })
    .await;
    assert_eq!(made, id);

    say(
        &mut socket,
        &ClientMessage::Follow {
            session_id: id,
            after: 0,
        },
    )
    .await;
    send(&admin, id, "What is it?").await;
    let mut seqs = Vec::new();
    let answer = next(&mut socket, |message| {
        let ServerMessage::SessionEvent { session_id, event } = message else {
            return None;
        };
        assert_eq!(session_id, id);
        seqs.push(event.seq);
        matches!(event.body, SessionEventBody::TurnEnded { .. }).then_some(event)
    })
    .await;
    assert!(seqs.iter().copied().eq(1..=answer.seq));

    say(
        &mut others,
        &ClientMessage::Follow {
            session_id: id,
            after: 0,
        },
    )
    .await;
    let refused = next(&mut others, |message| match message {
        ServerMessage::Error {
            session_id,
            message,
        } => Some((session_id, message)),
        other => panic!("told another's: {other:?}"),
    })
    .await;
    assert_eq!(refused, (Some(id), "there is no such session".to_owned()));
    others
        .send(Message::Text("{\"type\":\"dance\"}".into()))
        .await
        .unwrap();
    next(&mut others, |message| {
        matches!(
            message,
            ServerMessage::Error {
                session_id: None,
                ..
            }
        )
        .then_some(())
    })
    .await;

    admin.delete(&format!("/api/v1/sessions/{id}")).await;
    next(&mut socket, |message| match message {
        ServerMessage::SessionDeleted { session_id } => (session_id == id).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_gets_no_web_socket() {
    let world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let upgrade = |origin: Option<&str>| {
        let mut request = admin
            .http
            .get(format!("{}/api/v1/ws/user", world.url()))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Proof::Cookie(cookie) = &admin.proof {
            request = request.header(header::COOKIE, cookie);
        }
        match origin {
            Some(origin) => request.header(header::ORIGIN, origin),
            None => request,
        }
    };
    Person::send(upgrade(Some("https://evil.example")))
        .await
        .error(ErrorCode::Forbidden);
    Person::send(upgrade(None))
        .await
        .error(ErrorCode::Forbidden);
    assert_eq!(
        upgrade(Some(&world.url())).send().await.unwrap().status(),
        101
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_streams_with_a_word_and_finishes_answers() {
    let mut world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let id = session(&admin).await;
    send(&admin, id, "hold").await;
    answering(&admin, id, "first ").await;
    let mut socket = connect(&world, &admin).await;
    let path = format!("/api/v1/sessions/{id}/events?after=0");
    let mut events = admin
        .request(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .bytes_stream();
    let first = events.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("\"seq\":1"));
    let model = world.model.clone();
    let rest = async { while events.next().await.is_some_and(|part| part.is_ok()) {} };
    let (report, (), ()) = tokio::join!(world.stop(), rest, async {
        loop {
            match socket.next().await.expect("a close frame").unwrap() {
                Message::Close(Some(frame)) => {
                    assert_eq!(frame.code, CloseCode::Restart);
                    break;
                }
                _ => continue,
            }
        }
        model.go_on();
    });
    assert_eq!(report.aborted, Vec::<&str>::new());
    let world = world.restart().await;
    let admin = Person {
        url: world.url(),
        ..admin
    };
    let turn = ended(&admin, id).await;
    assert_eq!(
        (turn.state, &*turn.assistant_content),
        (TurnState::Completed, "first second")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_has_a_bounded_number_of_live_streams() {
    let world =
        World::start_with(Kind::Sqlite, |options| options.limits.streams_per_user = 2).await;
    let admin = world.admin().await;
    let id = session(&admin).await;
    let path = format!("/api/v1/sessions/{id}/events");
    let first = admin.request(Method::GET, &path).send().await.unwrap();
    let second = admin.request(Method::GET, &path).send().await.unwrap();
    admin.get(&path).await.error(ErrorCode::TooManyRequests);
    drop((first, second));
    crate::world::eventually("a place for another stream", async || {
        let answer = admin.request(Method::GET, &path).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
    assert_eq!(admin.post("/api/v1/sessions", json!({})).await.status, 201);
}
