//! An instance of Ollama, through a stand-in for it written from its public
//! API documentation.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use helix_proto::{
    model::{EngineKind, ModelSource},
    runner::{FailureKind, InstanceState, RunnerEvent},
};
use support::{Local, new_id, soon};

async fn with_ollama() -> Local {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/fake_ollama.py");
    Local::start_with(
        |options| options.engines.ollama.program = program.into(),
        |builder| builder,
    )
    .await
}

fn named(name: &str) -> ModelSource {
    ModelSource::Ollama {
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn a_model_is_pulled_and_answers_by_its_own_name() {
    let local = with_ollama().await;
    let mut events = local.handle.subscribe();
    let id = new_id();
    local
        .handle
        .start(id, local.request(EngineKind::Ollama, named("tiny")))
        .unwrap();
    let ready = loop {
        if let RunnerEvent::Instance { instance } = soon("an event", events.recv()).await.unwrap() {
            if instance.state == InstanceState::Ready {
                break instance;
            }
            assert!(!instance.state.is_terminal(), "{instance:?}");
        }
    };
    assert_eq!(ready.engine_model, "tiny");
    assert!(ready.progress.is_none());
    let answer = local
        .chat(id, "ping", &serde_json::json!({}))
        .send()
        .await
        .unwrap();
    assert!(answer.text().await.unwrap().contains("pong"));
    assert!(local.data.path().join("models/ollama/tiny:latest").exists());
    local.shut_down().await;
}

#[tokio::test]
async fn what_the_registry_does_not_know_or_memory_does_not_hold_is_said() {
    let local = with_ollama().await;
    for (name, kind, says) in [
        (
            "unheard-of",
            FailureKind::ModelMissing,
            "file does not exist",
        ),
        ("broken", FailureKind::OutOfMemory, "more system memory"),
    ] {
        let id = new_id();
        local
            .handle
            .start(id, local.request(EngineKind::Ollama, named(name)))
            .unwrap();
        let failure = local
            .until_state(id, InstanceState::Failed)
            .await
            .failure
            .unwrap();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.message.contains(says), "{failure:?}");
    }
    local.shut_down().await;
}
