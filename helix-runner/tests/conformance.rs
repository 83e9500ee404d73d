//! The contract of `Engine`, checked on each engine: the real llama.cpp, a
//! stand-in for Ollama, a server by URL, and vLLM where it is installed; and on
//! engines that break one bullet each, which must be found.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use helix_proto::{
    model::{EngineKind, ModelSettings, ModelSource},
    runner::{DeviceMemory, EngineInfo, InstanceState, StartInstance},
};
use helix_runner::{
    Supervisor,
    conformance::{self, Report, Subject},
    devices::{CpuDevices, Devices as _},
    engine::{
        Capability, Endpoint, Engine, Error, External, Job, LlamaCpp, Ollama, Plan, ProgressSink,
        Readiness, SearchPath, Vllm, Weights,
        external::ExternalOptions,
        llamacpp::{LlamaCppOptions, managed::Managed},
        ollama::OllamaOptions,
        vllm::VllmOptions,
    },
    sources::{Fetcher, HubOptions},
};
use support::{DAEMON, Local, client, managed_llamacpp, new_id, tiny_model};
use tempfile::TempDir;

fn file(path: &Path) -> ModelSource {
    ModelSource::File {
        path: path.display().to_string(),
    }
}

fn subject(engine: Arc<dyn Engine>, works: ModelSource, missing: ModelSource) -> Subject {
    let devices = CpuDevices::new().unwrap().list().unwrap();
    let set_aside = DeviceMemory {
        device: devices[0].id.clone(),
        bytes: 4 << 30,
    };
    let works = StartInstance {
        model_id: "mdl_00000000000000000000000001".parse().unwrap(),
        model_name: "tiny".to_owned(),
        engine: engine.capability().kind,
        source: works,
        settings: ModelSettings {
            context_tokens: Some(512),
            parallel: 2,
            ..ModelSettings::default()
        },
        devices: vec![set_aside],
    };
    Subject {
        engine,
        supervisor: Supervisor::program(DAEMON),
        devices,
        works,
        missing,
        broken: None,
        question: ("ping".to_owned(), "pong".to_owned()),
        busy: None,
        ready_within: Duration::from_secs(60),
        ends_within: Duration::from_secs(15),
    }
}

fn fetcher(data: &TempDir) -> Fetcher {
    Fetcher::new(HubOptions::default(), data.path().join("hub"), client())
}

async fn llamacpp(data: &TempDir) -> Subject {
    let options = LlamaCppOptions {
        program: "no-llama-server-in-tests".into(),
        managed: managed_llamacpp().await,
    };
    let managed = Managed::new(options.managed.clone(), data.path());
    let engine = LlamaCpp::new(options, SearchPath::default(), managed, fetcher(data));
    // A header that is well formed, and none of the tensors that it promises.
    let broken = data.path().join("broken.gguf");
    let bytes = std::fs::read(tiny_model()).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    Subject {
        broken: Some(file(&broken)),
        busy: Some((
            "/metrics".to_owned(),
            "llamacpp:requests_processing 1".to_owned(),
        )),
        ..subject(
            Arc::new(engine),
            file(&tiny_model()),
            file("/nonexistent.gguf".as_ref()),
        )
    }
}

fn assert_holds(report: &Report) {
    assert!(report.broken().is_empty(), "{report}");
}

#[tokio::test]
async fn llamacpp_keeps_the_contract() {
    let data = tempfile::tempdir().unwrap();
    assert_holds(&conformance::run(&llamacpp(&data).await).await);
}

#[tokio::test]
async fn ollama_keeps_the_contract_as_far_as_a_stand_in_can_tell() {
    let data = tempfile::tempdir().unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/fake_ollama.py");
    let options = OllamaOptions {
        program: program.into(),
        ..OllamaOptions::default()
    };
    let engine = Ollama::new(options, SearchPath::default(), data.path().join("models"));
    let named = |name: &str| ModelSource::Ollama {
        name: name.to_owned(),
    };
    let subject = Subject {
        broken: Some(named("broken")),
        busy: Some(("/working".to_owned(), "\"working\": 1".to_owned())),
        ..subject(Arc::new(engine), named("tiny"), named("unheard-of"))
    };
    assert_holds(&conformance::run(&subject).await);
}

#[tokio::test]
async fn a_server_by_url_keeps_the_contract() {
    // The server is llama.cpp, reached through another runner.
    let local = Local::start().await;
    let id = local.demo().await;
    let url = local.url(&format!("/instances/{id}/engine"));
    let engine = External::new(ExternalOptions::default());
    let by = |url: String| ModelSource::External { url, model: None };
    let subject = Subject {
        busy: Some((
            "/metrics".to_owned(),
            "llamacpp:requests_processing 1".to_owned(),
        )),
        ..subject(
            Arc::new(engine),
            by(url),
            by("http://127.0.0.1:1".to_owned()),
        )
    };
    assert_holds(&conformance::run(&subject).await);
    local.shut_down().await;
}

#[tokio::test]
async fn an_instance_of_a_server_by_url_answers_through_the_runner() {
    let (inner, outer) = (Local::start().await, Local::start().await);
    let demo = inner.demo().await;
    let url = inner.url(&format!("/instances/{demo}/engine"));
    let mut request = outer.request(
        EngineKind::External,
        ModelSource::External { url, model: None },
    );
    request.devices.clear();
    let id = new_id();
    outer.handle.start(id, request).unwrap();
    outer.until_state(id, InstanceState::Ready).await;
    assert_eq!(outer.ask(id, "ping").await, "pong");
    outer.handle.stop(id).unwrap();
    outer.until_state(id, InstanceState::Stopped).await;
    assert_eq!(inner.ask(demo, "ping").await, "pong");
    outer.shut_down().await;
    inner.shut_down().await;
}

#[tokio::test]
async fn vllm_keeps_the_contract_where_it_is_installed() {
    let variable = std::env::var("HELIX_TEST_VLLM").ok();
    let command = variable.map_or_else(VllmOptions::default, |command| VllmOptions {
        command: command.split_whitespace().map(ToOwned::to_owned).collect(),
    });
    let data = tempfile::tempdir().unwrap();
    let path = SearchPath::new(&std::env::var_os("PATH").unwrap_or_default());
    let engine = Vllm::new(command, path, fetcher(&data));
    let info = engine.detect().await;
    let model = std::env::var_os("HELIX_TEST_VLLM_MODEL");
    let (true, Some(model)) = (info.available, model) else {
        println!(
            "skipped: {}; and HELIX_TEST_VLLM_MODEL is to name a folder with a model",
            info.detail
        );
        return;
    };
    let mut subject = Subject {
        busy: Some((
            "/metrics".to_owned(),
            "vllm:num_requests_running{".to_owned(),
        )),
        ready_within: Duration::from_secs(400),
        ..subject(
            Arc::new(engine),
            file(model.as_ref()),
            file("/nonexistent".as_ref()),
        )
    };
    // Its figure stands behind labels that are not known here.
    subject.busy = None;
    subject.works.settings.engine_args = ["--enforce-eager", "--dtype", "float32"]
        .map(ToOwned::to_owned)
        .to_vec();
    assert_holds(&conformance::run(&subject).await);
}

/// llama.cpp with one thing done wrong.
#[derive(Debug)]
struct Mutant {
    engine: Arc<dyn Engine>,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    SaysNothing,
    TakesAnySource,
    PlansAnew,
    AlwaysReady,
    ForgetsTheKey,
    WillNotEnd,
}

#[async_trait]
impl Engine for Mutant {
    fn capability(&self) -> Capability {
        self.engine.capability()
    }

    async fn detect(&self) -> EngineInfo {
        let mut info = self.engine.detect().await;
        if self.fault == Fault::SaysNothing {
            info.detail.clear();
        }
        info
    }

    async fn fetch(&self, job: &Job, progress: &ProgressSink) -> Result<Weights, Error> {
        match self.engine.fetch(job, progress).await {
            Err(_) if self.fault == Fault::TakesAnySource => Ok(Weights::File(tiny_model())),
            fetched => fetched,
        }
    }

    async fn plan(&self, job: &Job, weights: &Weights, port: u16) -> Result<Plan, Error> {
        let mut plan = self.engine.plan(job, weights, port).await?;
        let process = plan.process.as_mut().unwrap();
        match self.fault {
            Fault::PlansAnew => {
                process.env.insert("ANEW".to_owned(), new_id().to_string());
            }
            Fault::ForgetsTheKey => {
                process.env.remove("LLAMA_API_KEY");
            }
            Fault::WillNotEnd => {
                let mut args = vec![
                    "-c".into(),
                    "trap '' TERM; \"$@\" & while :; do sleep 1; done".into(),
                    "sh".into(),
                ];
                args.push(process.program.clone().into());
                args.append(&mut process.args);
                (process.program, process.args) = ("/bin/sh".into(), args);
            }
            Fault::SaysNothing | Fault::TakesAnySource | Fault::AlwaysReady => {}
        }
        Ok(plan)
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<Readiness, Error> {
        if self.fault == Fault::AlwaysReady {
            return Ok(Readiness::Ready);
        }
        self.engine.probe(endpoint).await
    }
}

async fn check_mutant(fault: Fault, bullets: &[&str]) {
    let data = tempfile::tempdir().unwrap();
    let mut subject = llamacpp(&data).await;
    subject.ends_within = Duration::from_secs(3);
    if fault == Fault::WillNotEnd {
        // It outlives its engine, so that would only be waited for.
        subject.broken = None;
    }
    subject.engine = Arc::new(Mutant {
        engine: subject.engine,
        fault,
    });
    let report = conformance::run(&subject).await;
    for bullet in bullets {
        assert!(
            report.broken().contains(bullet),
            "{fault:?} is not found by `{bullet}`:\n{report}"
        );
    }
}

#[tokio::test]
async fn an_engine_that_breaks_the_contract_is_found() {
    check_mutant(
        Fault::SaysNothing,
        &["detect says what it found or what to do"],
    )
    .await;
    let any = [
        "a source of another kind is unsupported",
        "what is not there is a missing model",
    ];
    check_mutant(Fault::TakesAnySource, &any).await;
    check_mutant(
        Fault::PlansAnew,
        &["a plan has no effect and is the same each time"],
    )
    .await;
    let always = [
        "nothing there yet is loading",
        "what cannot be loaded is never ready",
    ];
    check_mutant(Fault::AlwaysReady, &always).await;
    check_mutant(
        Fault::ForgetsTheKey,
        &["once ready the model answers by its name"],
    )
    .await;
}

#[tokio::test]
async fn an_engine_that_will_not_end_is_found() {
    check_mutant(
        Fault::WillNotEnd,
        &["a process ends when asked and hinders nothing"],
    )
    .await;
}
