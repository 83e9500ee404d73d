//! Who waits, for how long, and what ends a wait.

use std::{sync::Arc, time::Duration};

use http::{StatusCode, header};

use super::{ASK, GIB, STREAM, Scene, Stream, eventually, pong, refused, runner::Start, text};

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let scene = Scene::with(|options| options.queue.capacity = 1).await;
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    runner.will(Start::Never);
    scene.model("tiny", |_| ()).await;
    let waiting = scene.hurried(ASK, "20000");
    let second = async {
        eventually(|| scene.app.inference().queue().waiting.len() == 1).await;
        let response = scene.chat(ASK).await;
        let after = response.headers()[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(after.parse::<u64>().unwrap() >= 1);
        refused(response, StatusCode::TOO_MANY_REQUESTS, "queue_full").await
    };
    let message = tokio::select! {
        message = second => message,
        _ = waiting => panic!("the first request waits"),
    };
    assert!(message.contains("queue is full"), "{message}");
    eventually(|| scene.app.inference().queue().waiting.is_empty()).await;
}

#[tokio::test]
async fn a_deadline_in_the_queue_says_what_was_waited_for() {
    let scene = Scene::new().await;
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    runner.will(Start::Never);
    scene.model("tiny", |_| ()).await;
    let response = scene.hurried(ASK, "300").await;
    let message = refused(response, StatusCode::GATEWAY_TIMEOUT, "queue_timeout").await;
    assert!(message.contains("tiny is starting on"), "{message}");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_leaves_the_queue() {
    let scene = Scene::new().await;
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    runner.will(Start::Never);
    scene.model("tiny", |_| ()).await;
    {
        let waiting = scene.chat(ASK);
        tokio::select! {
            _ = waiting => panic!("nothing can answer"),
            () = eventually(|| scene.app.inference().queue().waiting.len() == 1) => {}
        }
    }
    assert!(scene.app.inference().queue().waiting.is_empty());
}

#[tokio::test]
async fn an_administrator_can_end_a_request_that_waits_or_is_answered() {
    let scene = Scene::new().await;
    let stream = Stream::new();
    let (_, _runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |_| ()).await;
    let response = scene.chat(STREAM).await;
    let id = scene.app.inference().queue().running[0].id;
    let path = format!("/api/v1/queue/{id}");
    assert_eq!(
        scene.call("DELETE", &path, &[], "").await.status(),
        StatusCode::NO_CONTENT
    );
    assert!(text(response).await.contains("an administrator ended it"));
    assert_eq!(scene.running(), 0);
    assert_eq!(
        scene.call("DELETE", &path, &[], "").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_shutdown_turns_away_who_waits_finishes_what_is_answered_and_is_quick() {
    let scene = Scene::new().await;
    let stream = Stream::new();
    let (_, runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |settings| settings.parallel = 1).await;
    scene.model("other", |_| ()).await;
    let answered = scene.chat(STREAM).await;
    runner.will(Start::Never);
    let waiting = scene.chat(r#"{"model":"other"}"#);
    let tasks = scene.app.foundation().tasks.clone();
    let stopping = async {
        eventually(|| scene.app.inference().queue().waiting.len() == 1).await;
        let budget = Duration::from_secs(60);
        let (report, ()) = tokio::join!(tasks.shutdown(budget), async {
            stream.say("data: [DONE]\n\n").await;
            let Stream { chunks, .. } = stream;
            drop(chunks);
        });
        report
    };
    let reading = async {
        let refused_now = waiting.await;
        (refused_now, text(answered).await)
    };
    let both = async { tokio::join!(stopping, reading) };
    let within = Duration::from_secs(20);
    let (report, (turned_away, answer)) = tokio::time::timeout(within, both).await.unwrap();
    assert_eq!(report, helix_base::ShutdownReport::default());
    assert_eq!(answer, "data: [DONE]\n\n");
    let message = refused(
        turned_away,
        StatusCode::SERVICE_UNAVAILABLE,
        "model_unavailable",
    )
    .await;
    assert!(message.contains("shutting down"), "{message}");
}
