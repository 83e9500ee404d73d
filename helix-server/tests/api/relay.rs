//! The way into a sandbox, and what crosses it.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::outbound::BoxedIo;
use helix_proto::{
    ErrorCode,
    desktop::{MAX_CLIPBOARD, MAX_DOWN},
    live::ServerMessage,
    sandbox::{Sandbox, SandboxState},
};
use http::{Method, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{
    host::Host,
    live::{connect, connect_to, connect_with, next},
    person::{Answer, Person, Proof},
    sandboxes::{is, made},
    world::{Kind, World, eventually},
};

struct Scene {
    world: World,
    admin: Person,
    member: Person,
    host: Host,
    sandbox: Sandbox,
}

impl Scene {
    async fn new() -> Self {
        let world = World::start_with(Kind::Sqlite, |options| {
            options.sandboxes.max_requests_per_user = 3
        })
        .await;
        let admin = world.admin().await;
        let member = world.member("member").await;
        let host = Host::connect(&world, &admin).await;
        let sandbox = made(&member, json!({})).await;
        Self {
            world,
            admin,
            member,
            host,
            sandbox,
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/sandboxes/{}/{rest}", self.sandbox.id)
    }
}

fn policy(answer: &Answer) -> String {
    let all = answer.headers.get_all(header::CONTENT_SECURITY_POLICY);
    let all = all.iter().map(|value| value.to_str().unwrap());
    all.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_a_sandbox_sees_no_credential_and_its_page_is_an_origin_of_its_own() {
    let scene = Scene::new().await;
    let path = scene.path("ports/8080/a%2Fb?q=%20");
    let request = scene
        .member
        .request(Method::POST, &path)
        .header("x-own", "1")
        .header("x-forwarded-for", "10.0.0.1")
        .body("x");
    let answer = Person::send(request).await;
    let seen: Value = answer.expect(200);
    let headers = &seen["headers"];
    assert_eq!(seen["method"], "POST");
    let uri = seen["uri"].as_str().unwrap();
    assert!(uri.ends_with("/guest/ports/8080/a%2Fb?q=%20"), "{uri}");
    assert_eq!(headers["x-own"], "1");
    let prefix = scene.path("ports/8080");
    assert_eq!(headers["x-forwarded-prefix"], *prefix);
    for secret in ["cookie", "authorization", "x-forwarded-for", "origin"] {
        assert_eq!(headers[secret], Value::Null, "{secret}");
    }
    assert!(answer.headers.get(header::SET_COOKIE).is_none());
    assert!(answer.headers.get("clear-site-data").is_none());
    assert_eq!(answer.headers[header::LOCATION], format!("{prefix}/login"));
    assert!(
        policy(&answer).contains("sandbox allow-scripts"),
        "{}",
        policy(&answer)
    );
    assert!(!policy(&answer).contains("allow-same-origin"));

    // With a key too.
    let key = scene
        .member
        .key(&[helix_proto::auth::Scope::Sandboxes])
        .await;
    let key = scene.world.stranger().with(Proof::Bearer(key.secret));
    let seen: Value = key.get(&scene.path("ports/8080/")).await.expect(200);
    assert_eq!(seen["headers"]["authorization"], Value::Null);
    let worker = scene
        .member
        .request(Method::GET, &scene.path("ports/8080/sw.js"))
        .header("service-worker", "script");
    Person::send(worker).await.error(ErrorCode::Forbidden);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guest_says_is_data_and_never_signs_anybody_out() {
    let scene = Scene::new().await;
    let answer = scene.member.get(&scene.path("files/list?path=/")).await;
    let seen: Value = answer.expect(200);
    assert_eq!(seen["headers"]["cookie"], Value::Null);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "application/octet-stream"
    );
    assert_eq!(policy(&answer), "sandbox; default-src 'none'");
    assert!(answer.headers.get(header::SET_COOKIE).is_none());
    assert!(answer.headers.get(header::LOCATION).is_none());
    // The guest answers this with 401.
    let answer = scene
        .member
        .post(&scene.path("exec"), json!({"command": ["x"]}))
        .await;
    assert_eq!(answer.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways_at_once() {
    let scene = Scene::new().await;
    let (parts, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(ReceiverStream::new(receiver));
    let request = scene
        .member
        .request(Method::PUT, &scene.path("files/content?path=x"))
        .body(body);
    let talk = async {
        parts.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
        let response = request.send().await.unwrap();
        let mut answer = response.bytes_stream();
        assert_eq!(answer.next().await.unwrap().unwrap(), "first");
        parts.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
        assert_eq!(answer.next().await.unwrap().unwrap(), "second");
        drop(parts);
        assert!(answer.next().await.is_none());
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), talk)
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_carries_messages_and_goodbyes_both_ways() {
    let scene = Scene::new().await;
    let terminal = scene.path("terminals/trm_01ARZ3NDEKTSV4RRFFQ69G5FAV/attach?after=3");
    for path in [&terminal, &scene.path("ports/8080/socket")] {
        let mut socket = connect_to(&scene.world, &scene.member, path).await;
        let bytes = Bytes::from(vec![7; 1 << 20]);
        socket.send(Message::Text("hello".into())).await.unwrap();
        socket.send(Message::Binary(bytes.clone())).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::Text("HELLO".into())
        );
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::Binary(bytes)
        );
        socket.send(Message::Text("bye".into())).await.unwrap();
        let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else {
            panic!("a goodbye");
        };
        assert_eq!(
            (u16::from(frame.code), &*frame.reason),
            (4_321, "as you said")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_have_bounds_and_who_is_beyond_one_is_told() {
    let scene = Scene::new().await;
    let path = scene.path("desktop");
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    let connect = || connect_with(&scene.world, &scene.member, &path, config);
    let said = async |socket: WebSocketStream<BoxedIo>, message: Message| {
        let (mut to, mut from) = socket.split();
        let sending = async {
            // It may be cut off in the middle.
            let _ = to.send(message).await;
            std::future::pending().await
        };
        let said = async {
            loop {
                match from.next().await.unwrap().unwrap() {
                    Message::Ping(_) => {}
                    said => return said,
                }
            }
        };
        let said = tokio::time::timeout(std::time::Duration::from_secs(30), said);
        tokio::select! {
            said = said => said.expect("in time"),
            () = sending => unreachable!(),
        }
    };
    let up = |bytes: usize| Message::Binary(vec![7; bytes].into());
    let down = |bytes: usize| Message::Text(bytes.to_string().into());

    for (message, bytes) in [
        (up(MAX_CLIPBOARD), MAX_CLIPBOARD),
        (down(MAX_DOWN), MAX_DOWN),
    ] {
        let said = said(connect().await, message).await;
        assert_eq!(said.len(), bytes);
    }
    for (message, why) in [
        (up(MAX_CLIPBOARD + 1), "a message beyond 16 MiB"),
        (down(MAX_DOWN + 1), "a message beyond 32 MiB"),
    ] {
        let Message::Close(Some(frame)) = said(connect().await, message).await else {
            panic!("a goodbye");
        };
        assert_eq!((u16::from(frame.code), &*frame.reason), (1009, why));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_opens_no_web_socket_into_a_sandbox() {
    let scene = Scene::new().await;
    let Proof::Cookie(cookie) = &scene.member.proof else {
        panic!("a browser");
    };
    let upgrade = |origin: Option<String>| {
        let path = scene.path("ports/8080/socket");
        let request = scene
            .member
            .http
            .get(format!("{}{path}", scene.world.url()))
            .header(header::COOKIE, cookie)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header("sec-websocket-protocol", "spoken")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        match origin {
            Some(origin) => request.header(header::ORIGIN, origin),
            None => request,
        }
    };
    // A page out of a sandbox has the origin `null`.
    for foreign in [
        Some("https://evil.example".to_owned()),
        Some("null".to_owned()),
        None,
    ] {
        Person::send(upgrade(foreign))
            .await
            .error(ErrorCode::Forbidden);
    }
    let opened = upgrade(Some(scene.world.url())).send().await.unwrap();
    assert_eq!(opened.status(), 101);
    assert_eq!(opened.headers()["sec-websocket-protocol"], "spoken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_has_a_bounded_number_of_requests_into_sandboxes() {
    let scene = Scene::new().await;
    let path = scene.path("ports/8080/socket");
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(connect_to(&scene.world, &scene.member, &path).await);
    }
    let list = scene.path("files/list?path=/");
    scene
        .member
        .get(&list)
        .await
        .error(ErrorCode::TooManyRequests);
    assert_eq!(scene.admin.get(&list).await.status, 200);
    sockets.clear();
    eventually("a place", async || {
        (scene.member.get(&list).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_out_or_whose_host_is_gone_gets_no_further() {
    let scene = Scene::new().await;
    let list = scene.path("files/list?path=/");
    let stranger = scene.world.stranger();
    stranger.get(&list).await.error(ErrorCode::Unauthenticated);
    let other = scene.world.member("other").await;
    other.get(&list).await.error(ErrorCode::NotFound);
    let path = scene.path("ports/8080/socket");
    let mut socket = connect_to(&scene.world, &scene.member, &path).await;
    let gone = format!("{}?force=true", scene.host.path());
    assert_eq!(scene.admin.delete(&gone).await.status, 204);
    let ended = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                return u16::from(frame.code);
            }
        }
        panic!("a goodbye");
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended);
    assert_eq!(ended.await.expect("in time"), 1011);
    scene.member.get(&list).await.error(ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_socket_tells_of_ones_own_sandboxes_and_an_administrator_of_hosts() {
    let scene = Scene::new().await;
    let mut own = connect(&scene.world, &scene.member).await;
    let mut admins = connect(&scene.world, &scene.admin).await;
    let id = scene.sandbox.id;
    scene.host.becomes(id, SandboxState::Stopped, None);
    let sandbox = next(&mut own, |message| match message {
        ServerMessage::SandboxChanged { sandbox } => Some(sandbox),
        _ => None,
    })
    .await;
    assert_eq!((sandbox.id, sandbox.state), (id, SandboxState::Stopped));
    next(&mut admins, |message| match message {
        ServerMessage::SandboxHostsChanged => Some(()),
        ServerMessage::SandboxChanged { .. } => panic!("another's"),
        _ => None,
    })
    .await;
    is(&scene.member, id, SandboxState::Stopped).await;
    scene
        .member
        .delete(&format!("/api/v1/sandboxes/{id}"))
        .await;
    next(&mut own, |message| match message {
        ServerMessage::SandboxDeleted { sandbox_id } => (sandbox_id == id).then_some(()),
        _ => None,
    })
    .await;
}
