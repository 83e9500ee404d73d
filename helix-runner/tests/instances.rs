//! Instances of the real llama.cpp server: started, asked, killed, stopped.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::time::Duration;

use helix_proto::{
    model::{EngineKind, ModelSource},
    runner::{FailureKind, InstanceState, RunnerEvent},
};
use helix_runner::devices::ScriptedDevices;
use serde_json::{Value, json};
use support::{Local, eventually, new_id, processes_with, soon};

/// The engine's own processes: those that mention the instance's port.
fn engine_of(local: &Local, id: helix_proto::InstanceId) -> Vec<u32> {
    let log = local.handle.log(id, 500).unwrap();
    let listening = log
        .iter()
        .rev()
        .find_map(|line| line.split("http://127.0.0.1:").nth(1));
    let port: String = listening
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    processes_with(&format!("--port\0{port}\0"))
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn the_demo_model_answers_and_is_measured_and_stops() {
    let local = Local::start().await;
    let id = local.demo().await;
    let capital = local.ask(id, "What is the capital of France?").await;
    assert_eq!(capital, "The capital of France is Paris.");
    let status = local.until(id, |status| !status.peak.is_empty()).await;
    assert!(
        status.peak[0].bytes > 10_000_000 && status.peak[0].device == "cpu",
        "{status:?}"
    );
    let embedding: Value = local
        .client
        .post(local.url(&format!("/instances/{id}/engine/v1/embeddings")))
        .json(&json!({ "model": "tiny", "input": "ping" }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        !embedding["data"][0]["embedding"]
            .as_array()
            .unwrap()
            .is_empty(),
        "{embedding}"
    );
    assert!(!engine_of(&local, id).is_empty());
    local
        .client
        .delete(local.url(&format!("/instances/{id}")))
        .send()
        .await
        .unwrap();
    local.until_state(id, InstanceState::Stopped).await;
    assert!(engine_of(&local, id).is_empty());
    let late = local.chat(id, "ping", &json!({})).send().await.unwrap();
    assert_eq!(late.status(), 503);
    local.shut_down().await;
}

#[tokio::test]
async fn a_killed_engine_breaks_the_answer_off_and_the_next_question_works() {
    let local = Local::start().await;
    let id = local.demo().await;
    let long = json!({ "stream": true, "max_tokens": 100_000, "ignore_eos": true });
    let mut answer = local.chat(id, "Hello!", &long).send().await.unwrap();
    soon("the first piece", answer.chunk())
        .await
        .unwrap()
        .unwrap();
    engine_of(&local, id).into_iter().for_each(kill);
    soon("the end of the answer", async {
        while let Ok(Some(_)) = answer.chunk().await {}
    })
    .await;
    let status = local
        .until(id, |status| {
            status.restarts == 1 && status.state == InstanceState::Ready
        })
        .await;
    assert!(status.failure.is_none());
    assert_eq!(local.ask(id, "ping").await, "pong");
    local.shut_down().await;
}

#[tokio::test]
async fn a_request_that_is_dropped_stops_costing_the_engine_work() {
    let local = Local::start().await;
    let id = local.demo().await;
    let long = json!({ "stream": true, "max_tokens": 100_000_000, "ignore_eos": true });
    let mut answer = local.chat(id, "Hello!", &long).send().await.unwrap();
    soon("the first piece", answer.chunk())
        .await
        .unwrap()
        .unwrap();
    let processing = || async {
        let url = local.url(&format!("/instances/{id}/engine/metrics"));
        let text = local
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        text.contains("llamacpp:requests_processing 1")
    };
    eventually("the engine at work", processing).await;
    drop(answer);
    eventually("the engine at rest", || async { !processing().await }).await;
    local.shut_down().await;
}

#[tokio::test]
async fn what_cannot_start_fails_with_its_reason() {
    let local = Local::start().await;
    let broken = local.data.path().join("broken.gguf");
    std::fs::write(&broken, b"GGUF\x03\0\0\0 and nothing that makes sense").unwrap();
    let text = local.data.path().join("text.gguf");
    std::fs::write(&text, b"not a model").unwrap();
    let file = |path: &std::path::Path| ModelSource::File {
        path: path.display().to_string(),
    };
    let ollama = || ModelSource::Ollama {
        name: "x".to_owned(),
    };
    for (engine, source, kind, says) in [
        (
            EngineKind::LlamaCpp,
            file("/nope.gguf".as_ref()),
            FailureKind::ModelMissing,
            "does not exist",
        ),
        (
            EngineKind::LlamaCpp,
            file(&text),
            FailureKind::ModelMissing,
            "begin with `GGUF`",
        ),
        (
            EngineKind::LlamaCpp,
            file(&broken),
            FailureKind::ModelMissing,
            "not a model",
        ),
        (
            EngineKind::LlamaCpp,
            ollama(),
            FailureKind::Unsupported,
            "GGUF files",
        ),
        (
            EngineKind::Ollama,
            ollama(),
            FailureKind::EngineMissing,
            "install Ollama",
        ),
    ] {
        let id = new_id();
        let request = local.request(engine, source);
        local.handle.start(id, request.clone()).unwrap();
        let status = local.until(id, |status| status.state.is_terminal()).await;
        let failure = status.failure.unwrap();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.message.contains(says), "{failure:?}");
        // Asked again, it says the same and begins nothing.
        assert_eq!(
            local.handle.start(id, request).unwrap().state,
            InstanceState::Failed
        );
    }
    local.shut_down().await;
}

#[tokio::test]
async fn an_engine_that_ends_while_loading_fails_with_its_last_words() {
    let local = Local::start().await;
    let mut request = local.demo_request();
    request.settings.engine_args = vec!["--no-such-flag".to_owned()];
    let id = new_id();
    local.handle.start(id, request).unwrap();
    let failure = local
        .until_state(id, InstanceState::Failed)
        .await
        .failure
        .unwrap();
    assert_eq!(failure.kind, FailureKind::Crashed);
    assert!(failure.message.contains("--no-such-flag"), "{failure:?}");
    assert!(!failure.log.is_empty());
    local.shut_down().await;
}

/// A program in place of `llama-server` that never answers, will not end when
/// asked, and has started one more that hides in a session of its own.
fn stubborn(folder: &std::path::Path, marker: &str) -> std::path::PathBuf {
    let path = folder.join("stubborn");
    let script = format!(
        "#!/bin/sh\ntrap '' TERM\nsetsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' {marker}-child &\n\
         echo up\nwhile :; do sleep 1; done # {marker}\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn an_engine_that_never_gets_ready_and_will_not_end_is_killed_with_all_it_started() {
    let scripts = tempfile::tempdir().unwrap();
    let marker = format!("stubborn-{}", new_id());
    let program = stubborn(scripts.path(), &marker);
    let local = Local::start_with(
        |options| {
            options.engines.llamacpp.program = program;
            options.life.stop_grace = Duration::from_millis(300);
        },
        |builder| builder,
    )
    .await;
    let mut request = local.demo_request();
    request.settings.ready_timeout_ms = 700;
    let id = new_id();
    local.handle.start(id, request).unwrap();
    eventually("the hidden process", || async {
        !processes_with(&marker).is_empty()
    })
    .await;
    let failure = local
        .until_state(id, InstanceState::Failed)
        .await
        .failure
        .unwrap();
    assert_eq!(failure.kind, FailureKind::ReadyTimeout);
    assert!(failure.message.contains("last step: up"), "{failure:?}");
    assert!(processes_with(&marker).is_empty());
    local.shut_down().await;
}

#[tokio::test]
async fn shutting_the_runner_down_stops_its_engines() {
    let local = Local::start().await;
    let id = local.demo().await;
    let pids = engine_of(&local, id);
    assert!(!pids.is_empty());
    local.shut_down().await;
    assert!(engine_of(&local, id).is_empty());
}

#[tokio::test]
async fn the_stream_of_events_ends_after_the_last_instance_so_that_nothing_waits_for_it() {
    let local = Local::start().await;
    let id = local.demo().await;
    let mut stream = local.client.get(local.url("/events")).send().await.unwrap();
    soon("the snapshot", stream.chunk()).await.unwrap().unwrap();
    let (said, ()) = tokio::join!(soon("the end", stream.bytes()), local.shut_down());
    let said = said.unwrap();
    let last = said.trim_ascii_end().rsplit(|&byte| byte == b'\n').next();
    let RunnerEvent::Instance { instance } = serde_json::from_slice(last.unwrap()).unwrap() else {
        panic!("not about an instance: {said:?}")
    };
    assert_eq!((instance.id, instance.state), (id, InstanceState::Stopped));
}

#[tokio::test]
async fn two_runners_live_in_one_process() {
    let (first, second) = (Local::start().await, Local::start().await);
    let (one, two) = (first.demo().await, second.demo().await);
    assert_eq!(first.ask(one, "ping").await, "pong");
    first.shut_down().await;
    assert_eq!(second.ask(two, "ping").await, "pong");
    second.shut_down().await;
}

#[tokio::test]
async fn events_begin_with_everything_and_go_on_with_changes() {
    let gpus = ScriptedDevices::gpus(2, 80_000_000_000);
    let local =
        Local::start_with(|_| (), |builder| builder.devices(std::sync::Arc::new(gpus))).await;
    let mut stream = local.client.get(local.url("/events")).send().await.unwrap();
    let mut buffer = Vec::new();
    let mut next = async || loop {
        if let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            return serde_json::from_slice::<RunnerEvent>(&line).unwrap();
        }
        buffer.extend(soon("an event", stream.chunk()).await.unwrap().unwrap());
    };
    let RunnerEvent::Snapshot { info } = next().await else {
        panic!("no snapshot")
    };
    assert_eq!(info.devices.len(), 2);
    assert_eq!(info.engines.len(), 4);
    let mut request = local.demo_request();
    request.source = ModelSource::File {
        path: "/nope.gguf".to_owned(),
    };
    local.handle.start(new_id(), request).unwrap();
    let mut states = Vec::new();
    while states.last() != Some(&InstanceState::Failed) {
        if let RunnerEvent::Instance { instance } = next().await {
            states.push(instance.state);
        }
    }
    assert_eq!(states, [InstanceState::Downloading, InstanceState::Failed]);
    local.shut_down().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let local = Local::start_with(
        |options| options.http.max_body_bytes = 1_000,
        |builder| builder,
    )
    .await;
    let id = local.demo().await;
    let status = |request: reqwest::RequestBuilder| async {
        request.send().await.unwrap().status().as_u16()
    };
    let put = |path: &str, body: Value| local.client.put(local.url(path)).json(&body);
    let mut start = serde_json::to_value(local.demo_request()).unwrap();
    assert_eq!(
        status(put(&format!("/instances/{}", new_id()), json!({}))).await,
        400
    );
    assert_eq!(
        status(put("/instances/not-an-id", start.clone())).await,
        404
    );
    start["devices"] = json!([{ "device": "gpu-7", "bytes": 1 }]);
    assert_eq!(
        status(put(&format!("/instances/{}", new_id()), start.clone())).await,
        422
    );
    start["devices"] = json!([]);
    start["settings"]["parallel"] = json!(0);
    assert_eq!(
        status(put(&format!("/instances/{}", new_id()), start)).await,
        422
    );
    assert_eq!(status(local.client.get(local.url("/nothing"))).await, 404);
    assert_eq!(
        status(
            local
                .client
                .delete(local.url(&format!("/instances/{}", new_id())))
        )
        .await,
        404
    );
    assert_eq!(status(local.chat(new_id(), "ping", &json!({}))).await, 404);
    assert_eq!(
        status(local.chat(id, &"x".repeat(2_000), &json!({}))).await,
        413
    );
    let pieces =
        futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    let url = local.url(&format!("/instances/{id}/engine/v1/chat/completions"));
    let streamed = local
        .client
        .post(url)
        .body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(status(streamed).await, 413);
    local.shut_down().await;
}

#[tokio::test]
async fn inspecting_the_demo_model_says_what_it_needs() {
    let local = Local::start().await;
    let start = local.demo_request();
    let body =
        json!({ "engine": start.engine, "source": start.source, "settings": start.settings });
    let answer: Value = local
        .client
        .post(local.url("/inspect"))
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        answer["bytes_per_device"].as_u64().unwrap() > 1_000_000,
        "{answer}"
    );
    assert!(
        answer["model_context_tokens"].as_u64().unwrap() > 0,
        "{answer}"
    );
    local.shut_down().await;
}
