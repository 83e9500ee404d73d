//! A runner in this process, reached over loopback, and what tests ask of it.

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use helix_base::{Clock as _, Ids, Outbound, OutboundOptions, SystemClock, TaskGroup};
use helix_proto::{
    InstanceId, TypedId as _,
    model::{EngineKind, ModelSettings, ModelSource},
    runner::{DeviceMemory, InstanceState, InstanceStatus, StartInstance},
};
use helix_runner::{
    Handle, Runner, RunnerBuilder, RunnerOptions, Supervisor,
    engine::llamacpp::{ManagedOptions, managed::Managed},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing that a test waits for takes longer.
const WITHIN: Duration = Duration::from_secs(60);

/// The daemon, which is also the supervisor of engines started in tests.
pub(crate) const DAEMON: &str = env!("CARGO_BIN_EXE_helix-runner");

/// Waits for something that must come.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(WITHIN, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not come within {WITHIN:?}"),
    }
}

/// Asks again and again until it is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    soon(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

pub(crate) fn client() -> reqwest::Client {
    Outbound::new(&OutboundOptions::default())
        .unwrap()
        .http()
        .clone()
}

pub(crate) fn tiny_model() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny.gguf"))
        .canonicalize()
        .unwrap()
}

/// The managed llama.cpp server, installed once for all tests of this machine:
/// where `HELIX_TEST_ENGINES` says, else in the target directory.
pub(crate) async fn managed_llamacpp() -> ManagedOptions {
    let folder = std::env::var_os("HELIX_TEST_ENGINES").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("engines"),
        PathBuf::from,
    );
    let options = ManagedOptions {
        folder: Some(folder.join("llamacpp")),
        ..ManagedOptions::default()
    };
    let tell = |_: &str| ();
    let nowhere = PathBuf::from("/nonexistent");
    Managed::new(options.clone(), &nowhere)
        .install(&tell)
        .await
        .unwrap();
    options
}

/// Options for a runner that keeps everything in `data`.
pub(crate) async fn options_in(data: &TempDir) -> RunnerOptions {
    let mut options = RunnerOptions {
        data_dir: data.path().to_owned(),
        ..RunnerOptions::default()
    };
    options.engines.llamacpp.managed = managed_llamacpp().await;
    options.engines.llamacpp.program = "no-llama-server-in-tests".into();
    options.life.stop_grace = Duration::from_secs(2);
    options.life.restart_delay = Duration::from_millis(50);
    options.life.probe_interval = Duration::from_millis(200);
    options
}

/// A runner in this process, served on loopback.
pub(crate) struct Local {
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
    pub(crate) tasks: TaskGroup,
    serving: TaskGroup,
    pub(crate) client: reqwest::Client,
    pub(crate) data: TempDir,
}

impl Local {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| (), |builder| builder).await
    }

    pub(crate) async fn start_with(
        change: impl FnOnce(&mut RunnerOptions),
        parts: impl FnOnce(RunnerBuilder) -> RunnerBuilder,
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = options_in(&data).await;
        change(&mut options);
        let tasks = TaskGroup::new();
        let builder = parts(Runner::builder(options, Supervisor::program(DAEMON)));
        let runner = builder.build(&tasks).await.unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let router = runner.router();
        // Of its own: it serves until the end, however long shutting down takes.
        let serving = TaskGroup::new();
        serving.spawn("serve", async move { axum::serve(listener, router).await });
        Self {
            handle: runner.handle(),
            address,
            tasks,
            serving,
            client: client(),
            data,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/runner/v1{path}", self.address)
    }

    /// Starts the demo model with llama.cpp and waits until it is ready.
    pub(crate) async fn demo(&self) -> InstanceId {
        let id = new_id();
        self.handle.start(id, self.demo_request()).unwrap();
        let status = self
            .until(id, |status| {
                status.state != InstanceState::Downloading
                    && status.state != InstanceState::Starting
            })
            .await;
        assert_eq!(status.state, InstanceState::Ready, "{status:?}");
        id
    }

    pub(crate) fn demo_request(&self) -> StartInstance {
        let source = ModelSource::File {
            path: tiny_model().display().to_string(),
        };
        self.request(EngineKind::LlamaCpp, source)
    }

    pub(crate) fn request(&self, engine: EngineKind, source: ModelSource) -> StartInstance {
        let device = self.handle.devices().remove(0).id;
        StartInstance {
            model_id: Ids::new(Arc::new(SystemClock)).next(),
            model_name: "tiny".to_owned(),
            engine,
            source,
            settings: ModelSettings {
                context_tokens: Some(512),
                parallel: 2,
                ready_timeout_ms: 50_000,
                ..ModelSettings::default()
            },
            devices: vec![DeviceMemory {
                device,
                bytes: 1 << 28,
            }],
        }
    }

    /// Waits until an instance is as wanted.
    pub(crate) async fn until(
        &self,
        id: InstanceId,
        wanted: impl FnMut(&InstanceStatus) -> bool,
    ) -> InstanceStatus {
        let mut status = self.handle.follow(id).unwrap();
        let last = self.handle.clone();
        let waited = tokio::time::timeout(WITHIN, status.wait_for(wanted)).await;
        match waited {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!("{:?} {:#?}", last.instance(id), last.log(id, 40)),
        }
    }

    pub(crate) async fn until_state(&self, id: InstanceId, state: InstanceState) -> InstanceStatus {
        self.until(id, |status| status.state == state).await
    }

    pub(crate) fn chat(
        &self,
        id: InstanceId,
        question: &str,
        more: &Value,
    ) -> reqwest::RequestBuilder {
        let url = self.url(&format!("/instances/{id}/engine/v1/chat/completions"));
        self.client.post(url).json(&chat_body(question, more))
    }

    pub(crate) async fn ask(&self, id: InstanceId, question: &str) -> String {
        let answer = soon("an answer", self.chat(id, question, &json!({})).send())
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        answer_text(&answer.json().await.unwrap())
    }

    pub(crate) async fn shut_down(&self) {
        let report = self.tasks.shutdown(Duration::from_secs(30)).await;
        assert!(report.aborted.is_empty(), "{report:?}");
        self.serving.cancel();
    }
}

pub(crate) fn chat_body(question: &str, more: &Value) -> Value {
    let mut body = json!({
        "model": "tiny",
        "temperature": 0,
        "messages": [{ "role": "user", "content": question }],
    });
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

pub(crate) fn answer_text(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn new_id() -> InstanceId {
    InstanceId::from_parts(SystemClock.now_ms(), rand::random())
}

/// The processes whose command line has `text` in it, the caller left out.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let own = std::process::id();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pid != own && String::from_utf8_lossy(&command).contains(text)
    })
    .collect()
}

pub(crate) mod site;
