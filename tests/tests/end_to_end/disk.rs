//! A disk that is full loses nothing that was accepted.

use std::{process::Command, time::Duration};

use helix_proto::{
    ErrorCode,
    error::ErrorEnvelope,
    model::ModelSettings,
    session::{CreateSessionRequest, SendMessageRequest, Session, SessionMessages, TurnState},
};
use helix_tests::{
    Client, DatabaseKind, World, client::PARIS, disk, eventually, eventually::SOON,
    process::Process, programs::programs, world::TINY,
};
use reqwest::{Method, StatusCode};

crate::on_each_database!(a_full_disk_for_the_database_is_told_and_loses_nothing_that_was_accepted);

async fn a_full_disk_for_the_database_is_told_and_loses_nothing_that_was_accepted(
    database: DatabaseKind,
) {
    if !disk::may_mount() {
        return;
    }
    let (world, disk) = World::on_a_small_disk(database).await;
    world.register_tiny(ModelSettings::default()).await;
    let _runner = world.runner("one").await;
    let accepted = until_full(&world.admin).await;
    assert!(!accepted.is_empty(), "something fits");

    // What does not write is not touched by it.
    for (session, content) in &accepted {
        let path = format!("/api/v1/sessions/{}/messages", session.id);
        let messages: SessionMessages = world.admin.get(&path).await;
        assert!(
            messages.turns[0].user_content == *content,
            "nothing is lost"
        );
    }
    let ready = world.admin.request(Method::GET, "/readyz").send().await;
    assert_eq!(ready.unwrap().status(), StatusCode::OK);
    world.admin.ask_for_paris(TINY).await;

    disk.make_room();
    let session = session(&world.admin).await.unwrap();
    send(&world.admin, &session, PARIS.0).await.unwrap();
    eventually("the answer", SOON, async || {
        let path = format!("/api/v1/sessions/{}/messages", session.id);
        let turn = world.admin.get::<SessionMessages>(&path).await.turns.pop();
        match turn {
            Some(turn) if turn.state == TurnState::Completed => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Writes until that is refused for want of room; what was accepted before.
async fn until_full(client: &Client) -> Vec<(Session, String)> {
    let mut accepted = Vec::new();
    for seed in 1..100_u64 {
        // Letters that no compression makes much smaller.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let content: String = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + (state >> 59) as u8 % 26)
        })
        .take(200_000)
        .collect();
        let sent = match session(client).await {
            Ok(session) => send(client, &session, &content).await.map(|()| session),
            Err(refused) => Err(refused),
        };
        match sent {
            Ok(session) => accepted.push((session, content)),
            Err(refused) => {
                let error = refused.error;
                assert_eq!(error.code, ErrorCode::InsufficientStorage, "{error:?}");
                assert!(error.message.contains("disk is full"), "{error:?}");
                return accepted;
            }
        }
    }
    panic!("the disk is not full after {} messages", accepted.len());
}

async fn session(client: &Client) -> Result<Session, ErrorEnvelope> {
    let request = CreateSessionRequest {
        model: Some(TINY.to_owned()),
        ..CreateSessionRequest::default()
    };
    let answer = client.try_post("/api/v1/sessions", &request).await;
    if answer.status().is_success() {
        return Ok(answer.json().await.unwrap());
    }
    Err(answer.json().await.unwrap())
}

async fn send(client: &Client, session: &Session, content: &str) -> Result<(), ErrorEnvelope> {
    let request = SendMessageRequest {
        content: content.to_owned(),
        model: None,
        idempotency_key: None,
    };
    let path = format!("/api/v1/sessions/{}/messages", session.id);
    let answer = client.try_post(&path, &request).await;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_whose_disk_is_full_at_the_start_says_so_and_does_not_start() {
    if !disk::may_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut command = Command::new(&programs().server);
    command.arg("--data-dir").arg(&data);
    command.args(["--listen", "127.0.0.1:0"]);
    let mut command = disk::mounted(&data, 64 << 10, &command);
    let mut process = Process::start(&mut command, &folder.path().join("log"));
    let status = process.wait(Duration::from_secs(60)).await;
    assert!(!status.success(), "{}", process.log());
    assert!(process.log().contains("disk is full"), "{}", process.log());
}
