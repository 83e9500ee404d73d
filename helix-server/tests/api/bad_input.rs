use std::time::Duration;

use helix_proto::{
    ErrorCode,
    auth::Scope,
    openai::ErrorBody,
    session::{SessionEventBody, TurnState},
};
use http::{Method, header};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    full::Full,
    person::{Person, Proof},
    sessions::{answering, ended, messages, send, session},
    world::{World, eventually},
};

on_both_databases!(
    a_body_that_is_not_what_the_route_takes_is_refused_with_the_field,
    a_hundred_megabytes_are_refused_with_an_answer_that_their_sender_gets_to_read,
    a_hundred_megabytes_that_are_announced_and_do_not_come_are_refused_at_once,
    bad_credentials_are_401_in_the_shape_of_each_api,
    a_client_that_leaves_or_reads_nothing_ends_no_turn,
    a_full_disk_is_told_and_what_was_there_is_still_served,
    an_end_that_cannot_be_stored_for_a_while_is_stored_once_it_can,
);

async fn raw(
    admin: &Person,
    method: Method,
    path: &str,
    kind: &str,
    body: &'static str,
) -> crate::person::Answer {
    Person::send(
        admin
            .request(method, path)
            .header(header::CONTENT_TYPE, kind)
            .body(body),
    )
    .await
}

async fn a_body_that_is_not_what_the_route_takes_is_refused_with_the_field(world: World) {
    let admin = world.admin().await;
    let keys = "/api/v1/api-keys";
    let json = "application/json";
    raw(&admin, Method::POST, keys, json, "{\"name\": ")
        .await
        .error(ErrorCode::BadRequest);
    raw(&admin, Method::POST, keys, json, "{} {}")
        .await
        .error(ErrorCode::Invalid);
    raw(&admin, Method::POST, keys, "text/plain", "{}")
        .await
        .error(ErrorCode::BadRequest);
    raw(&admin, Method::POST, keys, json, "")
        .await
        .error(ErrorCode::BadRequest);
    let error = raw(
        &admin,
        Method::POST,
        keys,
        json,
        "{\"name\": \"x\", \"scopes\": [\"all\"]}",
    )
    .await
    .error(ErrorCode::Invalid);
    assert_eq!(error.field.as_deref(), Some("scopes[0]"));
    let missing = raw(&admin, Method::POST, keys, json, "{}")
        .await
        .error(ErrorCode::Invalid);
    assert!(missing.message.contains("name"), "{}", missing.message);
    let long = json!({"name": "x".repeat(101), "scopes": ["admin"]});
    let error = admin.post(keys, long).await.error(ErrorCode::Invalid);
    assert_eq!(error.field.as_deref(), Some("name"));

    let id = session(&admin).await;
    for content in ["", "   ", "nul \0 byte"] {
        send(&admin, id, content).await.error(ErrorCode::Invalid);
    }
    send(&admin, id, &"x".repeat(1_000_001))
        .await
        .error(ErrorCode::Invalid);
    for query in ["?limit=0", "?limit=201", "?limit=many", "?cursor=nonsense"] {
        admin
            .get(&format!("/api/v1/sessions{query}"))
            .await
            .error(ErrorCode::Invalid);
    }
    let title = json!({"title": "two\nlines"});
    admin
        .patch(&format!("/api/v1/sessions/{id}"), title)
        .await
        .error(ErrorCode::Invalid);
}

async fn a_hundred_megabytes_are_refused_with_an_answer_that_their_sender_gets_to_read(
    world: World,
) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let key = admin.key(&[Scope::Inference, Scope::Sessions]).await;
    let api = world.stranger().with(Proof::Bearer(key.secret));
    let megabyte = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let messages = format!("/api/v1/sessions/{id}/messages");
    for path in [&*messages, "/v1/chat/completions"] {
        for announced in [true, false] {
            let parts = (0..100).map(|_| Ok::<_, std::io::Error>(megabyte.clone()));
            let body =
                reqwest::Body::wrap_stream(futures_util::stream::iter(parts.collect::<Vec<_>>()));
            let request = api
                .request(Method::POST, path)
                .header(header::CONTENT_TYPE, "application/json");
            let request = if announced {
                request.header(header::CONTENT_LENGTH, 100 << 20)
            } else {
                request
            };
            let answer = Person::send(request.body(body)).await;
            if path.starts_with("/v1/") {
                let body: ErrorBody = answer.expect(413);
                assert!(!body.error.message.is_empty());
            } else {
                answer.error(ErrorCode::PayloadTooLarge);
            }
        }
    }
}

async fn a_hundred_megabytes_that_are_announced_and_do_not_come_are_refused_at_once(world: World) {
    let admin = world.admin().await;
    let key = admin.key(&[Scope::Inference, Scope::Sessions]).await;
    for path in ["/api/v1/sessions", "/v1/chat/completions"] {
        for more in ["", "expect: 100-continue\r\n"] {
            let mut socket = TcpStream::connect(world.app.foundation().listening)
                .await
                .unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n{more}\r\n",
                key.secret,
                100 << 20
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            let mut said = [0; 12];
            let answered = socket.read_exact(&mut said);
            // Long before anything that waits for the body gives up.
            let within = Duration::from_secs(3);
            tokio::time::timeout(within, answered)
                .await
                .expect("an answer at once")
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&said), "HTTP/1.1 413", "{path}");
        }
    }
}

async fn bad_credentials_are_401_in_the_shape_of_each_api(world: World) {
    world.admin().await;
    for secret in ["", "hx_made_up", "hxr_made_up", "nonsense", "hx_\u{e9}"] {
        let person = world.stranger().with(Proof::Bearer(secret.to_owned()));
        let answer = person.get("/api/v1/users/me").await;
        assert_eq!(answer.status, 401, "{secret}");
        assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
        let body: ErrorBody = person.get("/v1/models").await.expect(401);
        assert_eq!(body.error.r#type, "authentication_error");
    }
    let person = world
        .stranger()
        .with(Proof::Cookie("helix_session=made-up".to_owned()));
    person
        .get("/api/v1/users/me")
        .await
        .error(ErrorCode::Unauthenticated);
}

async fn a_client_that_leaves_or_reads_nothing_ends_no_turn(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let path = format!("/api/v1/sessions/{id}/events");
    let reads_nothing = admin.request(Method::GET, &path).send().await.unwrap();
    let leaves = admin.request(Method::GET, &path).send().await.unwrap();
    send(&admin, id, "hold").await;
    answering(&admin, id, "first ").await;
    drop(leaves);
    world.model.go_on();
    assert_eq!(ended(&admin, id).await.assistant_content, "first second");
    drop(reads_nothing);
}

async fn a_full_disk_is_told_and_what_was_there_is_still_served(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let full = Full::soon(&world).await;
    eventually("the disk to be full", async || {
        let answer = send(&admin, id, &"x".repeat(100_000)).await;
        if answer.status == 507 {
            let error = answer.error(ErrorCode::InsufficientStorage);
            assert!(error.message.contains("full"), "{}", error.message);
            return Some(());
        }
        ended(&admin, id).await;
        None
    })
    .await;
    assert_eq!(admin.get("/api/v1/sessions").await.status, 200);
    assert_eq!(world.stranger().get("/readyz").await.status, 200);
    full.no_more().await;
    let next = send(&admin, id, "and now?").await;
    assert_eq!(next.status, 202, "{:?}", next.body);
    assert_eq!(ended(&admin, id).await.state, TurnState::Completed);
}

async fn an_end_that_cannot_be_stored_for_a_while_is_stored_once_it_can(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    send(&admin, id, "hold").await;
    answering(&admin, id, "first ").await;
    let full = Full::at_once(&world).await;
    world.model.go_on();
    for _ in 0..30 {
        let turn = messages(&admin, id).await.turns.pop().unwrap();
        assert_eq!(
            (turn.state, &*turn.assistant_content),
            (TurnState::Running, "first ")
        );
    }
    full.no_more().await;
    let turn = ended(&admin, id).await;
    assert_eq!(
        (turn.state, &*turn.assistant_content),
        (TurnState::Completed, "first second")
    );
    let log = crate::sessions::log(&world, &admin, id).await;
    let ends = log
        .iter()
        .filter(|event| matches!(event.body, SessionEventBody::TurnEnded { .. }));
    assert_eq!(ends.count(), 1);
}
