//! A runner that does as it is told by a test, on the other end of a real tunnel
//! in memory.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::{any, get, post, put},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use helix_base::{BackoffPolicy, TaskGroup};
use helix_proto::{
    ApiError, ErrorCode, InstanceId, RunnerId,
    error::ErrorEnvelope,
    model::EngineKind,
    runner::{
        Device, DeviceKind, EngineInfo, Failure, FailureKind, InspectResponse, InstanceState,
        InstanceStatus, RunnerEvent, RunnerInfo, StartInstance,
    },
};
use helix_tunnel::{
    Agent, AgentOptions, AgentState, Holder, Transport,
    agent::{Dial, DialError},
    memory,
    transport::{Message, TransportError},
};
use http::StatusCode;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::fleet::Fleet;

/// What an engine answers.
pub(super) type Script = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// What comes of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Ready,
    Fails,
    Never,
}

/// The runner's side.
#[derive(Clone)]
pub(super) struct Runner {
    state: Arc<Mutex<Inner>>,
    agent: watch::Receiver<AgentState>,
    group: TaskGroup,
    line: Line,
}

struct Inner {
    info: RunnerInfo,
    events: Option<mpsc::Sender<RunnerEvent>>,
    start: Start,
    script: Script,
    asked: Vec<Bytes>,
    by_instance: HashMap<InstanceId, usize>,
    estimate: Option<u64>,
}

/// Dials by making a pair of ends and handing one to the fleet.
struct MemoryDial {
    fleet: Fleet,
    id: RunnerId,
    group: TaskGroup,
    line: Line,
}

/// What lies between a runner and the control plane.
#[derive(Clone, Default)]
struct Line {
    is_down: Arc<AtomicBool>,
    /// Breaks what is connected now.
    current: Arc<Mutex<CancellationToken>>,
}

/// One end of a connection, until the line is cut.
#[derive(Debug)]
struct Cuttable {
    inner: Option<memory::Memory>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Cuttable {
    /// Polled before everything else, so that a cut wakes whoever waits.
    fn whole(&mut self, cx: &mut Context<'_>) -> Result<&mut memory::Memory, TransportError> {
        if self.cut.as_mut().poll(cx).is_ready() {
            self.inner = None;
        }
        self.inner.as_mut().ok_or_else(cut_off)
    }
}

fn cut_off() -> TransportError {
    TransportError::Io(std::io::ErrorKind::ConnectionReset.into())
}

impl Transport for Cuttable {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, TransportError>>> {
        match self.whole(cx) {
            Ok(inner) => inner.poll_receive(cx),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self.whole(cx) {
            Ok(inner) => inner.poll_ready(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), TransportError> {
        self.inner.as_mut().ok_or_else(cut_off)?.start_send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self.whole(cx) {
            Ok(inner) => inner.poll_flush(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.whole(cx) {
            Ok(inner) => inner.poll_discard(cx),
            Err(_) => Poll::Ready(()),
        }
    }
}

impl fmt::Debug for MemoryDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDial").finish_non_exhaustive()
    }
}

#[async_trait]
impl Dial for MemoryDial {
    async fn dial(&self) -> Result<Box<dyn Transport>, DialError> {
        if self.line.is_down.load(Ordering::Relaxed) {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
        }
        let (ours, theirs) = memory::pair();
        let cut = lock(&self.line.current).clone().cancelled_owned();
        let ours = Cuttable {
            inner: Some(ours),
            cut: Box::pin(cut),
        };
        let (fleet, id) = (self.fleet.clone(), self.id);
        self.group.spawn("accept", async move {
            let holder = Holder::new(id, "a credential");
            if let Ok(Some(tunnel)) = fleet.hub().accept(holder, theirs).await {
                fleet.attach(id, &tunnel);
            }
        });
        Ok(Box::new(ours))
    }
}

/// A device of this size.
pub(super) fn device(total_bytes: u64) -> Device {
    Device {
        id: "gpu".into(),
        index: 0,
        kind: DeviceKind::Cuda,
        name: "Scripted GPU".into(),
        total_bytes,
        free_bytes: total_bytes,
        utilization_percent: None,
        temperature_celsius: None,
    }
}

impl Runner {
    /// Connects a runner with one device to the fleet.
    pub(super) fn connect(
        fleet: &Fleet,
        id: RunnerId,
        group: &TaskGroup,
        device: Device,
        script: Script,
    ) -> Self {
        let engine = |kind| EngineInfo {
            kind,
            available: true,
            detail: "scripted".into(),
        };
        let info = RunnerInfo {
            boot_id: id.to_string(),
            version: "0".into(),
            hostname: "scripted".into(),
            platform: "test".into(),
            devices: vec![device],
            engines: vec![engine(EngineKind::LlamaCpp), engine(EngineKind::External)],
            instances: vec![],
        };
        let state = Arc::new(Mutex::new(Inner {
            info,
            events: None,
            start: Start::Ready,
            script,
            asked: vec![],
            by_instance: HashMap::new(),
            estimate: Some(1 << 30),
        }));
        let router = Router::new()
            .route("/runner/v1/events", get(events))
            .route("/runner/v1/inspect", post(inspect))
            .route("/runner/v1/instances/{id}", put(start).delete(stop))
            .route("/runner/v1/instances/{id}/engine/{*path}", any(engine_call))
            .with_state(Arc::clone(&state));
        let group = group.child();
        let line = Line::default();
        let dial = MemoryDial {
            fleet: fleet.clone(),
            id,
            group: group.clone(),
            line: line.clone(),
        };
        let options = AgentOptions {
            backoff: BackoffPolicy {
                base: Duration::from_millis(5),
                cap: Duration::from_millis(20),
            },
            ..AgentOptions::default()
        };
        let agent = Agent::with_dial(Arc::new(dial), router, options);
        let watched = agent.state();
        let inner = group.clone();
        group.spawn("agent", async move { agent.run(&inner).await });
        Self {
            state,
            agent: watched,
            group,
            line,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.state)
    }

    /// What comes of the next starts.
    pub(super) fn will(&self, start: Start) {
        self.lock().start = start;
    }

    /// What the estimate of every model is.
    pub(super) fn estimates(&self, bytes: Option<u64>) {
        self.lock().estimate = bytes;
    }

    /// What the engine answers from now on.
    pub(super) fn answers(&self, script: Script) {
        self.lock().script = script;
    }

    /// The bodies that its engines were asked with.
    pub(super) fn asked(&self) -> Vec<Bytes> {
        self.lock().asked.clone()
    }

    /// Its instances that have not ended.
    pub(super) fn instances(&self) -> Vec<InstanceStatus> {
        let inner = self.lock();
        let live = inner
            .info
            .instances
            .iter()
            .filter(|it| !it.state.is_terminal());
        live.cloned().collect()
    }

    /// Where its agent stands.
    pub(super) fn agent(&self) -> AgentState {
        self.agent.borrow().clone()
    }

    /// Breaks its connection, and every one that it dials.
    pub(super) fn cut(&self) {
        self.line.is_down.store(true, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.line.current)).cancel();
    }

    /// Lets it dial again.
    pub(super) fn mend(&self) {
        self.line.is_down.store(false, Ordering::Relaxed);
    }

    /// Is gone at once, as if the power had failed.
    pub(super) fn vanish(&self) {
        self.group.cancel();
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shared = State<Arc<Mutex<Inner>>>;

async fn events(State(state): Shared) -> Body {
    let (sender, receiver) = mpsc::channel(64);
    let mut inner = lock(&state);
    let snapshot = RunnerEvent::Snapshot {
        info: inner.info.clone(),
    };
    sender
        .try_send(snapshot)
        .expect("an empty channel has room");
    inner.events = Some(sender);
    drop(inner);
    Body::from_stream(ReceiverStream::new(receiver).map(|event| {
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(line)
    }))
}

async fn inspect(State(state): Shared) -> Json<InspectResponse> {
    let bytes_per_device = lock(&state).estimate;
    Json(InspectResponse {
        bytes_per_device,
        model_context_tokens: None,
    })
}

async fn start(
    State(state): Shared,
    Path(id): Path<InstanceId>,
    Json(start): Json<StartInstance>,
) -> Json<InstanceStatus> {
    let mut inner = lock(&state);
    let (instance, failure) = match inner.start {
        Start::Ready => (InstanceState::Ready, None),
        Start::Never => (InstanceState::Starting, None),
        Start::Fails => {
            let message = "the weights are damaged".to_owned();
            let kind = FailureKind::Crashed;
            (
                InstanceState::Failed,
                Some(Failure {
                    kind,
                    message,
                    log: vec!["bad magic".into()],
                }),
            )
        }
    };
    let status = InstanceStatus {
        id,
        model_id: start.model_id,
        model_name: start.model_name,
        engine: start.engine,
        state: instance,
        progress: None,
        failure,
        reserved: start.devices,
        peak: vec![],
        engine_model: "engine/weights".into(),
        restarts: 0,
        started_at_ms: 1,
        ready_at_ms: None,
    };
    inner.info.instances.push(status.clone());
    inner.tell(status.clone());
    Json(status)
}

async fn stop(State(state): Shared, Path(id): Path<InstanceId>) -> Response {
    let mut inner = lock(&state);
    let Some(known) = inner.info.instances.iter_mut().find(|it| it.id == id) else {
        return own(ErrorCode::NotFound);
    };
    known.state = InstanceState::Stopped;
    let status = known.clone();
    inner.tell(status.clone());
    Json(status).into_response()
}

async fn engine_call(
    State(state): Shared,
    Path((id, _)): Path<(InstanceId, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1 << 20).await else {
        return own(ErrorCode::BadRequest);
    };
    let script = {
        let mut inner = lock(&state);
        if !inner
            .info
            .instances
            .iter()
            .any(|it| it.id == id && !it.state.is_terminal())
        {
            return own(ErrorCode::NotFound);
        }
        inner.asked.push(body.clone());
        *inner.by_instance.entry(id).or_default() += 1;
        Arc::clone(&inner.script)
    };
    script(Request::from_parts(parts, Body::from(body))).await
}

/// An answer of the runner itself.
fn own(code: ErrorCode) -> Response {
    let status = StatusCode::from_u16(code.http_status()).expect("a valid status");
    (
        status,
        Json(ErrorEnvelope {
            error: ApiError::new(code, "scripted"),
        }),
    )
        .into_response()
}

impl Inner {
    fn tell(&self, instance: InstanceStatus) {
        if let Some(events) = &self.events {
            events
                .try_send(RunnerEvent::Instance { instance })
                .expect("room for an event");
        }
    }
}
