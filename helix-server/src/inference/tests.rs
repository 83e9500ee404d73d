//! The whole way from a request to `/v1` to a scripted engine on a scripted
//! runner, over a real tunnel in memory.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use helix_base::SystemClock;
use helix_proto::{
    RunnerId, TypedId as _,
    auth::{CreateApiKeyRequest, Scope},
    model::{CreateModelRequest, EngineKind, Model, ModelSettings, ModelSource},
    openai::ErrorBody,
};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt as _;

mod answers;
mod models;
mod queue;
mod requests;
mod runner;
mod runners;
mod tunnels;

use crate::{App, Options, Server, api, store::runners::StoredRunner};
use runner::{Runner, Script, device};

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
