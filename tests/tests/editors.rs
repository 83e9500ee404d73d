//! An editor in a sandbox and the session's page in one conversation, through the whole path: the
//! program in the sandbox, its guest, the host, the control plane, and back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helix_proto::{
    sandbox::{Sandbox, SandboxState},
    session::Session,
};
use helix_tests::{
    DatabaseKind, SandboxHost, World,
    eventually::SOON,
    sandbox_host::{may_host, purge},
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

/// The agent of the host's own tests: it does what its prompts say.
const AGENT: &str = include_str!("../../helix-sandbox/src/agents/tests/agent.py");
const EDITOR: &str = include_str!("../python/editor.py");

async fn put(host: &SandboxHost, sandbox: &Sandbox, name: &str, text: &str) {
    let path = format!("/files/content?path=/home/user/{name}&user=user");
    let (status, said) = host
        .call(Method::PUT, sandbox, &path, text.to_owned())
        .await;
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&said));
}

/// The session's log as its page follows it, until a text is in it.
async fn log_until(world: &World, session: &Session, text: &str) -> String {
    let path = format!("/api/v1/sessions/{}/events?after=0", session.id);
    let request = world.admin.request(Method::GET, &path);
    let mut answer = request.send().await.unwrap();
    let mut log = String::new();
    let reading = async {
        while !log.contains(text) {
            let chunk = answer.chunk().await.unwrap().unwrap();
            log.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let read = tokio::time::timeout(SOON, reading).await;
    assert!(read.is_ok(), "{text:?} is not in {log}");
    log
}

/// Has an editor ask, and says what it was answered and what it saw.
async fn edit(host: &SandboxHost, sandbox: &Sandbox, prompt: &str) -> Value {
    let said = host
        .shell(sandbox, &format!("python3 editor.py '{prompt}'"))
        .await;
    serde_json::from_str(&said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_in_a_sandbox_and_the_page_are_in_one_conversation() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.212.0.0/16").await;
    let sandbox = host.sandbox(json!({ "name": "editor" })).await;
    put(&host, &sandbox, "agent.py", AGENT).await;
    put(&host, &sandbox, "editor.py", EDITOR).await;

    // Nobody is at work there, and the editor is told what to do.
    let alone = edit(&host, &sandbox, "say hello").await;
    let why = alone["answer"]["message"].as_str().unwrap();
    assert!(why.contains("begin a session with an agent"), "{alone}");

    let agent = json!({
        "title": "Scripted", "model_api": "none", "command": ["python3", "agent.py"],
    });
    let request = world.admin.request(Method::PUT, "/api/v1/agents/scripted");
    let made = request.json(&agent).send().await.unwrap();
    assert!(made.status().is_success(), "{:?}", made.text().await);
    let agent = json!({ "agent": "scripted", "sandbox_id": sandbox.id });
    let session: Session = world
        .admin
        .post("/api/v1/sessions", &json!({ "agent": agent }))
        .await;
    let prompts = format!("/api/v1/sessions/{}/prompts", session.id);
    let page = json!({ "content": [{ "type": "text", "text": "say from-the-page" }] });
    let accepted: Value = world.admin.post(&prompts, &page).await;
    let turn = accepted["turn_id"].as_str().unwrap();
    let ended = format!(r#""type":"turn_ended","turn":"{turn}""#);
    log_until(&world, &session, &ended).await;

    // The editor sees what was said before, and what it asks is on the page.
    let seen = edit(
        &host,
        &sandbox,
        "write /home/user/hello.txt hello\nsay from-the-editor",
    )
    .await;
    assert_eq!(seen["answer"]["stopReason"], "end_turn", "{seen}");
    let said = seen["said"].as_str().unwrap();
    for text in [
        "[say from-the-page]",
        "[from-the-page]",
        "[from-the-editor]",
    ] {
        assert!(said.contains(text), "{text} is not in {said}");
    }
    let log = log_until(&world, &session, r#""text":"from-the-editor""#).await;
    assert!(log.contains(r#""wanted":{"thread":"thr_"#), "{log}");
    let hello = host.shell(&sandbox, "cat /home/user/hello.txt").await;
    assert_eq!(hello, "hello");

    // Also once the host was killed and is there again.
    let host = host.restarted(Signal::KILL).await;
    host.until(&sandbox, SandboxState::Running).await;
    let seen = edit(&host, &sandbox, "say again").await;
    assert_eq!(seen["answer"]["stopReason"], "end_turn", "{seen}");
    assert!(seen["said"].as_str().unwrap().contains("[again]"), "{seen}");
    host.delete(&sandbox).await;
    let data = host.data.clone();
    host.end().await;
    // It may have ended before the sandbox did.
    purge(&data);
}
