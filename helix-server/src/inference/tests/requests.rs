//! What reaches the engine, and what is refused before it does.

use axum::{body::Body, extract::Request, response::Response};
use helix_proto::openai::ErrorBody;
use http::StatusCode;
use tower::ServiceExt as _;

use super::{ASK, GIB, Scene, pong, refused, script, text};

#[tokio::test]
async fn a_request_reaches_the_engine_byte_for_byte_under_the_engines_own_name() {
    let scene = Scene::new().await;
    let (_, runner) = scene.runner(8 * GIB, pong()).await;
    scene.model("tiny", |_| ()).await;
    let tools = r#"{"tools" : [{"x":1.50}], "model":"tiny","response_format":{"a":"\u00e4"} }"#;
    let response = scene.chat(tools).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("x-helix-request-id"));
    assert_eq!(text(response).await, r#"{"answer":"pong"}"#);
    assert_eq!(runner.asked(), [tools.replace("tiny", "engine/weights")]);
    assert_eq!(scene.running(), 0);
    let response = scene.chat(r#"{"model":"default"}"#).await;
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "the only model is the default"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_in_openais_shape() {
    let scene = Scene::with(|options| options.limits.inference_body_bytes = 1_000).await;
    scene.model("tiny", |_| ()).await;
    let message = refused(
        scene.chat(r#"{"model":"nope"}"#).await,
        StatusCode::NOT_FOUND,
        "model_not_found",
    )
    .await;
    assert!(message.contains("available: tiny"), "{message}");
    for (body, status) in [
        ("{", StatusCode::BAD_REQUEST),
        ("[]", StatusCode::BAD_REQUEST),
        ("{}", StatusCode::UNPROCESSABLE_ENTITY),
        (r#"{"model":1}"#, StatusCode::UNPROCESSABLE_ENTITY),
        (&"x".repeat(1_001), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let response = scene.chat(body).await;
        assert_eq!(response.status(), status, "{body}");
        let error: ErrorBody = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(error.error.r#type, "invalid_request_error");
    }
    let response = scene
        .call(
            "POST",
            "/v1/embeddings",
            &[("x-helix-priority", "asap")],
            ASK,
        )
        .await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let nobody = Request::post("/v1/chat/completions")
        .body(Body::from(ASK))
        .unwrap();
    let response = scene.router.clone().oneshot(nobody).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let error: ErrorBody = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(error.error.r#type, "authentication_error");
}

#[tokio::test]
async fn an_engines_own_error_reaches_the_client_as_it_is() {
    let scene = Scene::new().await;
    let error = r#"{"error":{"message":"the context is 512 tokens","type":"exceed_context_size_error","code":400}}"#;
    let answer = script(move |_| async move {
        Response::builder()
            .status(400)
            .body(Body::from(error))
            .unwrap()
    });
    let (_, runner) = scene.runner(8 * GIB, answer).await;
    scene.model("tiny", |_| ()).await;
    let response = scene.chat(ASK).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(response).await, error);
    assert_eq!(
        runner.asked().len(),
        1,
        "an answer is an answer, and not tried again"
    );
    assert_eq!(scene.running(), 0);
}
