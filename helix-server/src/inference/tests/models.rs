//! Models that fit nowhere, cannot start, are measured and deleted.

use http::StatusCode;

use super::{ASK, GIB, Scene, eventually, pong, refused, runner::Start};

#[tokio::test]
async fn a_model_larger_than_every_device_is_refused_with_the_sizes() {
    let scene = Scene::new().await;
    scene.runner(8 * GIB, pong()).await;
    scene.model("small", |_| ()).await;
    scene
        .model("tiny", |settings| settings.memory_bytes = Some(80 * GIB))
        .await;
    let message = refused(
        scene.chat(ASK).await,
        StatusCode::SERVICE_UNAVAILABLE,
        "model_unavailable",
    )
    .await;
    assert!(message.contains("80.0 GiB"), "{message}");
    assert!(message.ends_with("available: small"), "{message}");
}

#[tokio::test]
async fn an_engine_that_cannot_start_is_given_up_with_its_reason() {
    let scene = Scene::new().await;
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    runner.will(Start::Fails);
    scene.model("tiny", |_| ()).await;
    let message = refused(
        scene.chat(ASK).await,
        StatusCode::SERVICE_UNAVAILABLE,
        "model_unavailable",
    )
    .await;
    assert!(message.contains("the weights are damaged"), "{message}");
}

#[tokio::test]
async fn deleting_a_model_stops_its_instances_and_tells_who_waits() {
    let scene = Scene::new().await;
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    let model = scene.model("tiny", |_| ()).await;
    assert_eq!(scene.chat(ASK).await.status(), StatusCode::OK);
    assert_eq!(runner.instances().len(), 1);
    let path = format!("/api/v1/models/{}", model.id);
    assert_eq!(
        scene.call("DELETE", &path, &[], "").await.status(),
        StatusCode::NO_CONTENT
    );
    eventually(|| runner.instances().is_empty()).await;
    refused(
        scene.chat(ASK).await,
        StatusCode::NOT_FOUND,
        "model_not_found",
    )
    .await;
    assert_eq!(
        scene.call("DELETE", &path, &[], "").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_a_model_needs_is_asked_of_a_runner_at_the_first_chance() {
    let scene = Scene::new().await;
    let before = scene
        .model("tiny", |settings| settings.memory_bytes = None)
        .await;
    assert_eq!(before.memory, None);
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    runner.estimates(Some(3 * GIB));
    let known = || {
        let model = &scene.app.inference().models()[0];
        model.memory.map(|memory| memory.bytes_per_device)
    };
    eventually(|| known().is_some()).await;
    assert!(
        scene.app.store().estimates().await.unwrap()[0]
            .bytes_per_device
            .is_some()
    );
    let after = scene
        .model("other", |settings| settings.memory_bytes = None)
        .await;
    assert_eq!(after.memory.unwrap().bytes_per_device, 3 * GIB);
}
