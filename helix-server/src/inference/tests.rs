//! The whole way from a request to `/v1` to a scripted engine on a scripted
//! runner, over a real tunnel in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use helix_base::SystemClock;
use helix_proto::{
    RunnerId, TypedId as _,
    auth::{CreateApiKeyRequest, Scope},
    model::{CreateModelRequest, EngineKind, Model, ModelSettings, ModelSource},
    openai::ErrorBody,
};
use helix_tunnel::{AgentState, CloseCode, CloseReason, agent::Stopped};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt as _;

mod runner;

use crate::{App, Options, Server, api, store::runners::StoredRunner};
use runner::{Runner, Script, Start, device};

const GIB: u64 = 1 << 30;

/// A control plane with one user and one key, called within the process.
struct Scene {
    app: App,
    router: Router,
    key: String,
    _data: tempfile::TempDir,
    _server: Server,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = Options {
            data_dir: data.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            ..Options::default()
        };
        change(&mut options);
        let server = Server::build_with(options, Arc::new(SystemClock))
            .await
            .unwrap();
        let app = server.app();
        let user = helix_proto::UserId::from_parts(1, 1);
        sqlx::query(
            "INSERT INTO users (id, name, email, role, password_hash, created_at_ms) \
             VALUES ($1, 'Ada', 'ada@example.org', 'admin', '', 0)",
        )
        .bind(user.to_string())
        .execute(app.store().pool())
        .await
        .unwrap();
        let request = CreateApiKeyRequest {
            name: "test".into(),
            scopes: vec![Scope::Inference, Scope::Admin],
            expires_at_ms: None,
        };
        let key = app.auth().make_api_key(user, request).await.unwrap().secret;
        Self {
            router: api::router(&app),
            app,
            key,
            _data: data,
            _server: server,
        }
    }

    /// Connects a runner with a device of this size.
    async fn runner(&self, bytes: u64, script: Script) -> (RunnerId, Runner) {
        let id = self.app.foundation().ids.next();
        let stored = StoredRunner::new(id, "scripted".into(), 1);
        self.app
            .fleet()
            .register(stored, &id.to_string())
            .await
            .unwrap();
        let group = &self.app.foundation().tasks;
        let runner = Runner::connect(self.app.fleet(), id, group, device(bytes), script);
        let connected = || {
            let view = self.app.fleet().runner(id).unwrap();
            view.known.info.is_some()
        };
        eventually(connected).await;
        (id, runner)
    }

    async fn model(&self, name: &str, change: impl FnOnce(&mut ModelSettings)) -> Model {
        let mut settings = ModelSettings {
            memory_bytes: Some(GIB),
            ..ModelSettings::default()
        };
        change(&mut settings);
        let request = CreateModelRequest {
            name: name.into(),
            description: String::new(),
            engine: EngineKind::LlamaCpp,
            source: ModelSource::File {
                path: "/models/x.gguf".into(),
            },
            settings,
            default: false,
        };
        self.app.inference().register(request).await.unwrap()
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn chat(&self, body: &str) -> Response {
        self.call("POST", "/v1/chat/completions", &[], body).await
    }

    async fn hurried(&self, body: &str, timeout_ms: &str) -> Response {
        self.call(
            "POST",
            "/v1/chat/completions",
            &[("x-helix-timeout-ms", timeout_ms)],
            body,
        )
        .await
    }

    fn running(&self) -> usize {
        self.app.inference().queue().running.len()
    }
}

async fn eventually(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("did not come about");
}

fn script<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Script
where
    F: Future<Output = Response> + Send + 'static,
{
    Arc::new(move |request| Box::pin(answer(request)))
}

/// Answers with one JSON object.
fn pong() -> Script {
    script(async |_| {
        Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"answer":"pong"}"#))
            .unwrap()
    })
}

/// Sends what the test sends, as server-sent events.
struct Stream {
    script: Script,
    chunks: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

impl Stream {
    fn new() -> Self {
        let (chunks, receiver) = mpsc::channel(1);
        let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
        let script = script(move |_| {
            let receiver = receiver.lock().unwrap().take();
            async move {
                Response::builder()
                    .header(header::CONTENT_TYPE, "text/event-stream")
                    .body(Body::from_stream(ReceiverStream::new(receiver.unwrap())))
                    .unwrap()
            }
        });
        Self { script, chunks }
    }

    async fn say(&self, text: &'static str) {
        self.chunks.send(Ok(Bytes::from(text))).await.unwrap();
    }
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.into()).unwrap()
}

async fn refused(response: Response, status: StatusCode, code: &str) -> String {
    let got = response.status();
    let body = text(response).await;
    assert_eq!(got, status, "{body}");
    let error: ErrorBody = serde_json::from_str(&body).unwrap();
    assert_eq!(error.error.code.as_deref(), Some(code), "{body}");
    error.error.message
}

const ASK: &str = r#"{"model":"tiny"}"#;
const STREAM: &str = r#"{"model":"tiny","stream":true}"#;

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
    assert!(!scene.app.fleet().runner(id).unwrap().connected);
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
