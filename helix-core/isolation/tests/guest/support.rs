//! A guest on a Unix socket, and a client for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::guest::{Guest, GuestConfig, Role, router};
use helix_proto::error::{ApiError, ErrorEnvelope};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};

/// How long anything in these tests may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// A guest that serves until this is dropped.
pub(crate) struct Running {
    pub(crate) dir: tempfile::TempDir,
    /// Where programs call.
    pub(crate) calls: tempfile::TempDir,
    socket: PathBuf,
    pub(crate) tasks: TaskGroup,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// Whether the tests can change users; says so where they cannot.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: changing users needs root");
    }
    root
}

/// Who the tests are: what to give as `user` where it does not matter.
pub(crate) fn me() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

impl Running {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let calls = tempfile::tempdir().unwrap();
        let tasks = TaskGroup::new();
        let config = GuestConfig {
            hostname: "box".to_owned(),
            env: [("FROM_SANDBOX".to_owned(), "yes".to_owned())].into(),
            docker: false,
            desktop: None,
            docker_images: Vec::new(),
            calls: Some(calls.path().join("calls")),
        };
        let clock = Arc::new(SystemClock);
        let guest = Guest::new(config, Role::Ordinary, clock, tasks.clone()).unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        tasks.spawn("server", async move {
            axum::serve(listener, router(guest)).await
        });
        let socket = dir.path().join("socket");
        Self {
            dir,
            calls,
            socket,
            tasks,
        }
    }

    /// A client of a guest that runs elsewhere.
    pub(crate) fn client(socket: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            calls: tempfile::tempdir().unwrap(),
            socket: socket.to_owned(),
            tasks: TaskGroup::new(),
        }
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    async fn try_send(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let io = TokioIo::new(self.connect().await);
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        self.tasks.spawn("client", connection.with_upgrades());
        client.send_request(request).await
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        self.try_open(method, path, body).await.unwrap()
    }

    pub(crate) async fn try_open(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "guest");
        self.try_send(request.body(Full::new(body.into())).unwrap())
            .await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (StatusCode, Bytes) {
        let answer = async {
            let answer = self.open(method, path, body).await;
            let status = answer.status();
            (
                status,
                answer.into_body().collect().await.unwrap().to_bytes(),
            )
        };
        tokio::time::timeout(WITHIN, answer)
            .await
            .expect("an answer in time")
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.call(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> T {
        let (status, body) = self.call(Method::POST, path, body.to_string()).await;
        assert!(
            status.is_success(),
            "{status} {}",
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice(&body).unwrap()
    }

    /// The error of a request that must be refused.
    pub(crate) async fn refused(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> ApiError {
        let (status, body) = self.call(method, path, body).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(!status.is_success(), "{status} {text}");
        let error = serde_json::from_slice::<ErrorEnvelope>(&body)
            .expect(&text)
            .error;
        assert_eq!(status.as_u16(), error.code.http_status());
        error
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WITHIN, waiting).await.expect(what);
}

/// Whether a process runs (one that ended and waits to be collected does not).
pub(crate) fn runs(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim()
            .starts_with('Z')
    })
}
