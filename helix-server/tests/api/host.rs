//! A sandbox host that does as it is told by a test, over a real tunnel.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{
        Path, Request, State, WebSocketUpgrade, ws, ws::rejection::WebSocketUpgradeRejection,
    },
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::{any, get, post, put},
};
use futures_util::StreamExt as _;
use helix_base::{BackoffPolicy, Outbound, OutboundOptions, TaskGroup};
use helix_proto::{
    ApiError, ErrorCode, SandboxId, SnapshotId,
    error::ErrorEnvelope,
    sandbox::{
        Egress, SandboxEnd, SandboxEndKind, SandboxLimits, SandboxLog, SandboxLogLine,
        SandboxState, SandboxStats,
        host::{
            CreatedSandboxHost, HostCapability, HostCapacity, HostEvent, HostImage, HostInfo,
            HostUse, LiveSet, LiveSetDecision, LiveSetReport, SandboxSpec, SandboxStatus,
            SandboxTimes, SandboxUse, SnapshotStatus,
        },
    },
};
use helix_tunnel::{Agent, AgentOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    person::Person,
    world::{World, eventually},
};

/// What comes of a new sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Makes {
    /// It runs.
    Running,
    /// It is creating for ever.
    Never,
    /// The host says no.
    Refused,
}

/// A host, and what it was asked.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) created: CreatedSandboxHost,
    url: String,
    state: Arc<Mutex<Inner>>,
    tasks: TaskGroup,
    connection: Arc<Mutex<TaskGroup>>,
}

pub(crate) struct Inner {
    pub(crate) makes: Makes,
    pub(crate) sandboxes: BTreeMap<SandboxId, (SandboxSpec, SandboxStatus)>,
    pub(crate) snapshots: BTreeSet<SnapshotId>,
    pub(crate) live_sets: Vec<LiveSet>,
    pub(crate) deletes: Vec<SandboxId>,
    events: Option<mpsc::Sender<HostEvent>>,
    info: HostInfo,
}

fn info() -> HostInfo {
    HostInfo {
        boot_id: "boot".into(),
        version: "0".into(),
        hostname: "scripted".into(),
        platform: "linux x86_64".into(),
        backend: "namespaces".into(),
        capabilities: vec![HostCapability {
            name: "docker".into(),
            available: false,
            detail: "there is no dockerd".into(),
        }],
        capacity: HostCapacity {
            cpu_millis: 8_000,
            memory_bytes: 64 << 30,
            memory_available_bytes: 64 << 30,
            disk_bytes: 1 << 40,
            disk_free_bytes: 1 << 40,
            ..HostCapacity::default()
        },
        images: vec![HostImage {
            name: "debian:12".into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            size_bytes: 5,
            created_at_ms: 1,
        }],
    }
}

impl Host {
    /// Registers a host and connects it.
    pub(crate) async fn connect(world: &World, admin: &Person) -> Self {
        let created: CreatedSandboxHost = admin
            .post("/api/v1/sandbox-hosts", json!({"name": "scripted"}))
            .await
            .expect(201);
        let host = Self::with(world, created);
        host.dial();
        host.is_seen_as(admin, "online").await;
        // This host has no grace: a set that was read before a sandbox was made and comes after
        // it would delete it.
        eventually("what it is to keep", async || {
            (!host.lock().live_sets.is_empty()).then_some(())
        })
        .await;
        host
    }

    /// A host that does not dial yet.
    pub(crate) fn with(world: &World, created: CreatedSandboxHost) -> Self {
        let tasks = world.app.foundation().tasks.child();
        Self {
            created,
            url: world.url(),
            state: Arc::new(Mutex::new(Inner {
                makes: Makes::Running,
                sandboxes: BTreeMap::new(),
                snapshots: BTreeSet::new(),
                live_sets: Vec::new(),
                deletes: Vec::new(),
                events: None,
                info: info(),
            })),
            connection: Arc::new(Mutex::new(tasks.child())),
            tasks,
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/sandbox-hosts/{}", self.created.id)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap()
    }

    /// Is gone at once, as if the power had failed.
    pub(crate) fn vanish(&self) {
        self.connection.lock().unwrap().cancel();
    }

    /// Dials, with a new agent.
    pub(crate) fn dial(&self) {
        let options = AgentOptions {
            backoff: BackoffPolicy {
                base: Duration::from_millis(5),
                cap: Duration::from_millis(50),
            },
            ..AgentOptions::default()
        };
        let agent = Agent::new(
            &self.url.parse().unwrap(),
            self.created.credential.clone().into(),
            Outbound::new(&OutboundOptions::default()).unwrap(),
            router(Arc::clone(&self.state)),
            options,
        )
        .unwrap();
        let group = self.tasks.child();
        *self.connection.lock().unwrap() = group.clone();
        let inner = group.clone();
        group.spawn("agent", async move { agent.run(&inner).await });
    }

    /// Waits until the control plane shows it so.
    pub(crate) async fn is_seen_as(&self, admin: &Person, state: &str) {
        eventually(state, async || {
            let host: Value = admin.get(&self.path()).await.expect(200);
            let told = host["info"].is_object() || state == "offline";
            (host["state"] == state && told).then_some(())
        })
        .await;
    }

    /// Says how a sandbox is from now on.
    pub(crate) fn becomes(&self, id: SandboxId, state: SandboxState, end: Option<SandboxEnd>) {
        let mut inner = self.lock();
        let (_, status) = inner.sandboxes.get_mut(&id).unwrap();
        status.state = state;
        status.end = end;
        let status = status.clone();
        inner.tell(HostEvent::Sandbox(status));
    }

    /// What it was told to make.
    pub(crate) fn spec(&self, id: SandboxId) -> SandboxSpec {
        self.lock().sandboxes[&id].0.clone()
    }

    pub(crate) fn has(&self, id: SandboxId) -> bool {
        self.lock().sandboxes.contains_key(&id)
    }
}

impl Inner {
    pub(crate) fn tell(&mut self, event: HostEvent) {
        // The control plane of before may be gone.
        self.events = self
            .events
            .take()
            .filter(|events| events.try_send(event).is_ok());
    }
}

type Shared = State<Arc<Mutex<Inner>>>;

fn router(state: Arc<Mutex<Inner>>) -> Router {
    Router::new()
        .route("/host/v1/events", get(events))
        .route("/host/v1/live-set", post(live_set))
        .route(
            "/host/v1/snapshots/{id}",
            axum::routing::delete(drop_snapshot),
        )
        .route("/host/v1/sandboxes/{id}", put(make).delete(remove))
        .route("/host/v1/sandboxes/{id}/{action}", post(act))
        .route("/host/v1/sandboxes/{id}/egress", put(egress))
        .route("/host/v1/sandboxes/{id}/limits", put(limits))
        .route("/host/v1/sandboxes/{id}/times", put(times))
        .route("/host/v1/stats", get(use_of_all))
        .route("/host/v1/sandboxes/{id}/stats", get(stats))
        .route("/host/v1/sandboxes/{id}/logs", get(logs))
        .route(
            "/host/v1/sandboxes/{id}/snapshots/{snapshot}",
            put(snapshot),
        )
        .route("/host/v1/sandboxes/{id}/guest/{*path}", any(guest))
        .with_state(state)
}

async fn events(State(state): Shared) -> Body {
    let (sender, receiver) = mpsc::channel(64);
    let mut inner = state.lock().unwrap();
    let snapshot = HostEvent::Snapshot {
        info: inner.info.clone(),
        sandboxes: inner.sandboxes.values().map(|it| it.1.clone()).collect(),
    };
    sender.try_send(snapshot).unwrap();
    inner.events = Some(sender);
    drop(inner);
    Body::from_stream(ReceiverStream::new(receiver).map(|event| {
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(line)
    }))
}

async fn live_set(State(state): Shared, Json(set): Json<LiveSet>) -> Json<LiveSetReport> {
    let mut inner = state.lock().unwrap();
    inner.live_sets.push(set.clone());
    let decide = |id: &SandboxId| LiveSetDecision {
        id: id.to_string(),
        remove: !set.sandboxes.contains(id),
        reason: "scripted".into(),
    };
    let decisions: Vec<_> = inner.sandboxes.keys().map(decide).collect();
    if !set.dry_run {
        inner.sandboxes.retain(|id, _| set.sandboxes.contains(id));
        inner.snapshots.retain(|id| set.snapshots.contains(id));
    }
    Json(LiveSetReport { decisions })
}

async fn make(
    State(state): Shared,
    Path(id): Path<SandboxId>,
    Json(spec): Json<SandboxSpec>,
) -> Response {
    let mut inner = state.lock().unwrap();
    let to = match inner.makes {
        Makes::Refused => return own(ErrorCode::InsufficientStorage, "the disk is nearly full"),
        Makes::Running => SandboxState::Running,
        Makes::Never => SandboxState::Creating,
    };
    let status = SandboxStatus {
        id,
        state: to,
        phase: None,
        end: None,
        egress: spec.egress.clone(),
        limits: spec.limits,
        times: spec.times(),
        used_at_ms: 1,
        phases: vec![],
    };
    inner.sandboxes.insert(id, (spec, status.clone()));
    inner.tell(HostEvent::Sandbox(status.clone()));
    (StatusCode::ACCEPTED, Json(status)).into_response()
}

async fn remove(State(state): Shared, Path(id): Path<SandboxId>) -> StatusCode {
    let mut inner = state.lock().unwrap();
    inner.deletes.push(id);
    if inner.sandboxes.remove(&id).is_some() {
        inner.tell(HostEvent::Gone(id));
    }
    StatusCode::NO_CONTENT
}

async fn act(State(state): Shared, Path((id, action)): Path<(SandboxId, String)>) -> Response {
    let mut inner = state.lock().unwrap();
    if inner.makes == Makes::Refused {
        return own(ErrorCode::Conflict, "not now");
    }
    let Some((_, status)) = inner.sandboxes.get_mut(&id) else {
        return own(ErrorCode::NotFound, "there is no such sandbox");
    };
    (status.state, status.end) = match &*action {
        "pause" => (SandboxState::Paused, None),
        "resume" | "start" => (SandboxState::Running, None),
        _ => {
            let end = SandboxEnd {
                kind: SandboxEndKind::Requested,
                message: "somebody stopped it".into(),
            };
            (SandboxState::Stopped, Some(end))
        }
    };
    let status = status.clone();
    inner.tell(HostEvent::Sandbox(status.clone()));
    Json(status).into_response()
}

async fn egress(
    State(state): Shared,
    Path(id): Path<SandboxId>,
    Json(egress): Json<Egress>,
) -> Json<SandboxStatus> {
    let mut inner = state.lock().unwrap();
    let (_, status) = inner.sandboxes.get_mut(&id).unwrap();
    status.egress = egress;
    Json(status.clone())
}

async fn limits(
    State(state): Shared,
    Path(id): Path<SandboxId>,
    Json(limits): Json<SandboxLimits>,
) -> Response {
    let mut inner = state.lock().unwrap();
    let (_, status) = inner.sandboxes.get_mut(&id).unwrap();
    if status.limits.open_files != limits.open_files {
        return own(ErrorCode::Conflict, "stop it first");
    }
    status.limits = limits;
    let status = status.clone();
    inner.tell(HostEvent::Sandbox(status.clone()));
    Json(status).into_response()
}

async fn times(
    State(state): Shared,
    Path(id): Path<SandboxId>,
    Json(times): Json<SandboxTimes>,
) -> Json<SandboxStatus> {
    let mut inner = state.lock().unwrap();
    let (_, status) = inner.sandboxes.get_mut(&id).unwrap();
    status.times = times;
    Json(status.clone())
}

async fn use_of_all(State(state): Shared) -> Json<HostUse> {
    let inner = state.lock().unwrap();
    let uses = inner.sandboxes.keys().map(|id| SandboxUse {
        id: *id,
        stats: SandboxStats {
            memory_bytes: 7,
            ..SandboxStats::default()
        },
    });
    Json(HostUse {
        at_ms: 1,
        capacity: inner.info.capacity,
        sandboxes: uses.collect(),
    })
}

async fn stats() -> Json<SandboxStats> {
    Json(SandboxStats {
        memory_bytes: 7,
        ..SandboxStats::default()
    })
}

async fn logs(uri: Uri) -> Json<SandboxLog> {
    let line = SandboxLogLine {
        at_ms: 1,
        source: "host".into(),
        text: uri.query().unwrap_or_default().to_owned(),
    };
    Json(SandboxLog { lines: vec![line] })
}

async fn snapshot(State(state): Shared, Path((_, id)): Path<(SandboxId, SnapshotId)>) -> Response {
    let mut inner = state.lock().unwrap();
    if inner.makes == Makes::Refused {
        return own(ErrorCode::InsufficientStorage, "the disk is nearly full");
    }
    inner.snapshots.insert(id);
    let size_bytes = 9;
    Json(SnapshotStatus { id, size_bytes }).into_response()
}

async fn drop_snapshot(State(state): Shared, Path(id): Path<SnapshotId>) -> StatusCode {
    state.lock().unwrap().snapshots.remove(&id);
    StatusCode::NO_CONTENT
}

/// What runs inside: it says what it was asked, as a hostile server would.
async fn guest(
    Path((_, path)): Path<(SandboxId, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    if let Ok(upgrade) = upgrade {
        return upgrade.protocols(["spoken"]).on_upgrade(shout);
    }
    if path == "files/content" && method == Method::PUT {
        // Streams: each part goes back as it comes.
        let body = Body::from_stream(request.into_body().into_data_stream());
        return ([("content-type", "text/html")], body).into_response();
    }
    let seen: BTreeMap<String, String> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let body = json!({"method": method.as_str(), "uri": uri.to_string(), "headers": seen});
    let hostile = [
        ("set-cookie", "helix_session=mine; Path=/"),
        ("clear-site-data", "\"*\""),
        ("location", "/login"),
        ("content-type", "text/html"),
    ];
    let status = match &*path {
        "exec" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::OK,
    };
    (status, hostile, body.to_string()).into_response()
}

async fn shout(mut socket: ws::WebSocket) {
    while let Some(Ok(message)) = socket.next().await {
        let answer = match message {
            ws::Message::Text(text) if text.as_str() == "bye" => {
                let frame = ws::CloseFrame {
                    code: 4_321,
                    reason: "as you said".into(),
                };
                let _ = socket.send(ws::Message::Close(Some(frame))).await;
                return;
            }
            ws::Message::Text(text) => match text.parse() {
                // So many bytes are asked for.
                Ok(bytes) => ws::Message::Binary(vec![0; bytes].into()),
                Err(_) => ws::Message::Text(text.to_uppercase().into()),
            },
            ws::Message::Binary(bytes) => ws::Message::Binary(bytes),
            _ => continue,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

fn own(code: ErrorCode, message: &str) -> Response {
    let status = StatusCode::from_u16(code.http_status()).unwrap();
    let error = ApiError::new(code, message);
    (status, Json(ErrorEnvelope { error })).into_response()
}
