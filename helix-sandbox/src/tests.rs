//! A host over an isolation in memory.

mod lifecycle;
mod relay;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Query, WebSocketUpgrade, ws::WebSocket},
    http::{HeaderMap, Request, StatusCode},
    response::Response,
    routing::{any, get, post},
};
use helix_base::{Clock, TaskGroup};
use helix_proto::{
    SandboxId,
    sandbox::{
        SandboxLog, SandboxLogLine, SandboxState,
        host::{SandboxSpec, SandboxStatus},
    },
};
use http_body_util::BodyExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tower::ServiceExt as _;

use crate::{Handle, Host, HostOptions, mock::Mock};

/// What runs inside every sandbox of the mock.
pub(crate) fn guest(files: Arc<Mutex<HashMap<String, Bytes>>>) -> Router {
    let write = async move |Query(mut asked): Query<HashMap<String, String>>, body: Bytes| {
        let path = asked.remove("path").unwrap();
        files.lock().unwrap().insert(path, body);
    };
    Router::new()
        .route("/exec", post(async |body: Bytes| body))
        .route("/files/content", get(async || "content").put(write))
        .route("/headers", any(async |headers: HeaderMap| headers))
        .route("/forever", get(async || std::future::pending::<()>().await))
        .route("/attach", any(attach))
        .route("/docker/log", get(docker_log))
}

/// Says more than it may: a time to come, another's name, long lines, too many of them.
async fn docker_log() -> Json<SandboxLog> {
    let line = |at_ms, text| SandboxLogLine {
        at_ms,
        source: "host".to_owned(),
        text,
    };
    let mut lines = vec![line(1, "too old".to_owned()); 2_000];
    lines.push(line(2, "first".to_owned()));
    lines.push(line(u64::MAX, "x".repeat(1 << 20)));
    Json(SandboxLog { lines })
}

async fn attach(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    })
}

/// The runtime's clock, which tests pause.
#[derive(Debug)]
struct Paused;

impl Clock for Paused {
    fn now_ms(&self) -> u64 {
        use std::{sync::LazyLock, time::Instant};
        static BEGIN: LazyLock<Instant> = LazyLock::new(|| Paused.now());
        let elapsed = self.now().saturating_duration_since(*BEGIN);
        1_000_000 + u64::try_from(elapsed.as_millis()).unwrap()
    }

    fn now(&self) -> std::time::Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// A host in this process.
pub(super) struct Site {
    pub(super) mock: Mock,
    pub(super) host: Host,
    pub(super) handle: Handle,
    pub(super) tasks: TaskGroup,
    pub(super) folder: tempfile::TempDir,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut HostOptions)) -> Self {
        Self::over(Mock::default(), tempfile::tempdir().unwrap(), change).await
    }

    async fn over(
        mock: Mock,
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut HostOptions),
    ) -> Self {
        let mut options = HostOptions {
            data_dir: folder.path().to_owned(),
            ..HostOptions::default()
        };
        change(&mut options);
        let tasks = TaskGroup::new();
        let builder = Host::builder(options, Arc::new(mock.clone()));
        let env = [("http_proxy".to_owned(), "http://proxy:3128".to_owned())];
        let builder = builder.env(env.into()).clock(Arc::new(Paused));
        let host = builder.build(&tasks).await.unwrap();
        Self {
            mock,
            handle: host.handle(),
            host,
            tasks,
            folder,
        }
    }

    /// The host ends, and another goes on.
    pub(super) async fn restarted(self) -> Self {
        let report = self.host.run(std::future::ready(())).await.unwrap();
        assert!(report.aborted.is_empty(), "{report:?}");
        self.tasks.shutdown(Duration::from_secs(1)).await;
        Self::over(self.mock, self.folder, |_| {}).await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        self.host.router().oneshot(request).await.unwrap()
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: &impl Serialize) -> Response {
        let body = Body::from(serde_json::to_vec(body).unwrap());
        let request = Request::builder().method(method);
        let uri = format!("/host/v1/{path}");
        self.send(request.uri(uri).body(body).unwrap()).await
    }

    pub(super) async fn ok<T: DeserializeOwned>(&self, method: &str, path: &str) -> T {
        let answer = self.call(method, path, &()).await;
        let status = answer.status();
        let body = bytes(answer).await;
        assert!(status.is_success(), "{status} {body:?}");
        serde_json::from_slice(&body).unwrap()
    }

    pub(super) async fn fails(&self, method: &str, path: &str) -> (StatusCode, String) {
        let answer = self.call(method, path, &()).await;
        let status = answer.status();
        let body: serde_json::Value = serde_json::from_slice(&bytes(answer).await).unwrap();
        (
            status,
            body["error"]["message"].as_str().unwrap().to_owned(),
        )
    }

    /// Asks for a sandbox.
    pub(super) async fn put(&self, spec: &SandboxSpec) -> SandboxStatus {
        let path = format!("sandboxes/{}", spec.id);
        let answer = self.call("PUT", &path, spec).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        serde_json::from_slice(&bytes(answer).await).unwrap()
    }

    /// Asks for a sandbox, and waits until it runs.
    pub(super) async fn running(&self, spec: &SandboxSpec) -> SandboxId {
        self.put(spec).await;
        self.until(spec.id, SandboxState::Running).await;
        spec.id
    }

    pub(super) async fn until(&self, id: SandboxId, state: SandboxState) -> SandboxStatus {
        let mut events = self.handle.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(3600), async {
            loop {
                match self.handle.status(id) {
                    Some(status) if status.state == state => return status,
                    _ => drop(events.recv().await),
                }
            }
        });
        waited.await.unwrap_or_else(|_| {
            panic!("it is not {state:?} but {:?}", self.handle.status(id));
        })
    }
}

pub(super) async fn bytes(answer: Response) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}
