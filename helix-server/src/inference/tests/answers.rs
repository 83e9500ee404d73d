//! What becomes of an answer whose client, runner or engine goes away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures_util::StreamExt as _;
use helix_proto::openai::ErrorBody;
use http::StatusCode;

use super::{ASK, GIB, STREAM, Scene, Stream, eventually, pong, refused, script, text};

#[tokio::test]
async fn a_client_that_leaves_cancels_the_engines_work_and_frees_its_place() {
    let scene = Scene::new().await;
    let stream = Stream::new();
    let (_, _runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |settings| settings.parallel = 1).await;
    let response = scene.chat(STREAM).await;
    stream.say("data: 1\n\n").await;
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
    assert_eq!(scene.running(), 1);
    drop(body);
    assert_eq!(scene.running(), 0);
    tokio::time::timeout(Duration::from_secs(10), stream.chunks.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_place() {
    let scene = Scene::with(|it| it.queue.client_stall = Duration::from_millis(200)).await;
    let stream = Stream::new();
    let (_, _runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |_| ()).await;
    let response = scene.chat(STREAM).await;
    assert_eq!(scene.running(), 1);
    eventually(|| scene.running() == 0).await;
    tokio::time::timeout(Duration::from_secs(10), stream.chunks.closed())
        .await
        .unwrap();
    assert!(text(response).await.contains("client_stalled"));
}

#[tokio::test]
async fn a_runner_that_dies_in_the_middle_of_an_answer_leaves_an_error_event() {
    let scene = Scene::new().await;
    let stream = Stream::new();
    let (_, runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |_| ()).await;
    let response = scene.chat(STREAM).await;
    stream.say("data: 1\n\n").await;
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
    runner.vanish();
    let event = body.next().await.unwrap().unwrap();
    let error: ErrorBody = serde_json::from_slice(event.strip_prefix(b"data: ").unwrap()).unwrap();
    assert_eq!(error.error.code.as_deref(), Some("upstream_cut"));
    assert!(body.next().await.is_none(), "a proper end");
    assert_eq!(scene.running(), 0);
}

#[tokio::test]
async fn a_request_that_is_lost_before_any_answer_is_asked_again_elsewhere() {
    let scene = Scene::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let never = script(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    let (_, first) = scene.runner(8 * GIB, never).await;
    scene.model("tiny", |_| ()).await;
    let asking = scene.chat(ASK);
    let replacing = async {
        eventually(|| asked.load(Ordering::SeqCst) == 1).await;
        let (_, second) = scene.runner(8 * GIB, pong()).await;
        first.vanish();
        second
    };
    let (response, second) = tokio::join!(asking, replacing);
    assert_eq!(text(response).await, r#"{"answer":"pong"}"#);
    assert_eq!(second.asked().len(), 1);
}

#[tokio::test]
async fn a_request_is_not_tried_for_ever() {
    let scene = Scene::new().await;
    let lost = script(async |_| {
        let error = helix_proto::ApiError::new(helix_proto::ErrorCode::Upstream, "it broke off");
        let body = serde_json::to_vec(&helix_proto::error::ErrorEnvelope { error }).unwrap();
        Response::builder()
            .status(502)
            .body(Body::from(body))
            .unwrap()
    });
    let (_, runner) = scene.runner(8 * GIB, lost).await;
    scene.model("tiny", |_| ()).await;
    refused(
        scene.chat(ASK).await,
        StatusCode::SERVICE_UNAVAILABLE,
        "model_unavailable",
    )
    .await;
    assert_eq!(runner.asked().len(), 2);
}
