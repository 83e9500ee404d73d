//! Runners that come, go, drain and are deleted.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use helix_tunnel::{AgentState, CloseCode, CloseReason, agent::Stopped};
use http::StatusCode;

use super::{
    ASK, GIB, STREAM, Scene, Stream, eventually, pong,
    runner::{Runner, device},
    script, text,
};

#[tokio::test]
async fn a_deleted_runner_loses_its_tunnel_at_once_and_stays_away() {
    let scene = Scene::new().await;
    let (id, runner) = scene.runner(8 * GIB, pong()).await;
    let response = scene
        .call("DELETE", &format!("/api/v1/runners/{id}"), &[], "")
        .await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let dismissed = || {
        matches!(
            runner.agent(),
            AgentState::Stopped {
                reason: Stopped::Dismissed(CloseReason::Peer {
                    code: CloseCode::REVOKED,
                    ..
                })
            }
        )
    };
    eventually(dismissed).await;
    assert!(scene.app.fleet().runner(id).is_none());
}

#[tokio::test]
async fn a_new_credential_ends_the_tunnel_of_the_old_one() {
    let scene = Scene::new().await;
    let (id, runner) = scene.runner(8 * GIB, pong()).await;
    let response = scene
        .call("POST", &format!("/api/v1/runners/{id}/credential"), &[], "")
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    eventually(|| matches!(runner.agent(), AgentState::Stopped { .. })).await;
    assert!(!scene.app.fleet().runner(id).unwrap().is_connected());
}

#[tokio::test]
async fn a_second_connection_of_a_runner_takes_the_place_of_the_first() {
    let scene = Scene::new().await;
    let (id, first) = scene.runner(8 * GIB, pong()).await;
    scene.model("tiny", |_| ()).await;
    let group = &scene.app.foundation().tasks;
    let second = Runner::connect(scene.app.fleet(), id, group, device(8 * GIB), pong());
    eventually(|| matches!(first.agent(), AgentState::Stopped { .. })).await;
    let response = scene.chat(ASK).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!((first.asked().len(), second.asked().len()), (0, 1));
}

/// The last word of a connection comes before the first of the next: else a runner that is
/// there counts as gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_is_replaced_again_and_again_stays_known() {
    let scene = Scene::new().await;
    let (id, _first) = scene.runner(8 * GIB, pong()).await;
    scene.model("tiny", |_| ()).await;
    for _ in 0..50 {
        let group = &scene.app.foundation().tasks;
        let next = Runner::connect(scene.app.fleet(), id, group, device(8 * GIB), pong());
        eventually(|| matches!(next.agent(), AgentState::Connected)).await;
        let response = scene.chat(ASK).await;
        let status = response.status();
        assert_eq!(status, StatusCode::OK, "{}", text(response).await);
        assert_eq!(next.asked().len(), 1);
    }
}

#[tokio::test]
async fn two_runners_share_work() {
    let scene = Scene::new().await;
    let slow = script(async |_| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Response::new(Body::from("{}"))
    });
    let (_, first) = scene.runner(2 * GIB, Arc::clone(&slow)).await;
    let (_, second) = scene.runner(2 * GIB, slow).await;
    scene.model("tiny", |settings| settings.parallel = 1).await;
    let ask = async || text(scene.chat(ASK).await).await;
    let answers = futures_util::future::join_all((0..12).map(|_| ask())).await;
    assert_eq!(answers, vec!["{}"; 12]);
    let (first, second) = (first.asked().len(), second.asked().len());
    assert_eq!(first + second, 12);
    assert!(first > 0 && second > 0, "{first} and {second}");
}

#[tokio::test]
async fn a_draining_runner_finishes_what_it_has_and_takes_nothing_new() {
    let scene = Scene::new().await;
    let stream = Stream::new();
    let (id, runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |_| ()).await;
    let response = scene.chat(STREAM).await;
    scene
        .call("POST", &format!("/api/v1/runners/{id}/drain"), &[], "")
        .await;
    let refused_now = scene.hurried(ASK, "300").await;
    assert!(!refused_now.status().is_success());
    stream.say("data: [DONE]\n\n").await;
    let Stream { chunks, .. } = stream;
    drop(chunks);
    assert_eq!(text(response).await, "data: [DONE]\n\n");
    eventually(|| runner.instances().is_empty()).await;
    runner.answers(pong());
    scene
        .call("POST", &format!("/api/v1/runners/{id}/resume"), &[], "")
        .await;
    assert_eq!(scene.chat(ASK).await.status(), StatusCode::OK);
}
