//! Agents as people use them, of npm and as the catalogue starts them, whose model is behind the
//! gateway. `HELIX_TEST_AGENTS` is the folder into which `cargo xtask agents` installed them;
//! without, they are skipped for the reason in `HELIX_TEST_NO_AGENTS`.

use std::{path::Path, process::Stdio};

use bytes::BytesMut;
use futures_util::future::join_all;
use helix_base::TaskGroup;
use helix_proto::{
    agents::{Entry, EventBody, StopReason, TurnEnd},
    sandbox::Sandbox,
};
use helix_tests::{
    DatabaseKind, SandboxHost, ScriptedModel, World,
    sandbox_host::{may_host, purge},
    scripted_model::CONTENT,
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::{Talk, said};

const DONE: TurnEnd = TurnEnd::Completed {
    stop: StopReason::EndTurn,
};

/// Their names, and what is in the command line of their processes.
const AGENTS: [(&str, &str); 4] = [
    ("opencode", "[o]pencode"),
    ("qwen-code", "[q]wen"),
    ("codex", "[c]odex-acp"),
    ("claude-code", "[c]laude-code-acp"),
];

/// All at once, in one sandbox.
#[tokio::test(flavor = "multi_thread")]
async fn agents_of_npm_write_are_cancelled_are_killed_and_go_on() {
    let Some(folder) = std::env::var_os("HELIX_TEST_AGENTS") else {
        let why = std::env::var("HELIX_TEST_NO_AGENTS");
        let why = why.unwrap_or_else(|_| "HELIX_TEST_AGENTS names no folder".to_owned());
        println!("skipped: {why}");
        return;
    };
    if !may_host() {
        return;
    }
    let tasks = TaskGroup::new();
    let model = ScriptedModel::start(&tasks).await;
    let world = World::with_options(DatabaseKind::Sqlite, &model.provider("scripted")).await;
    let host = SandboxHost::join(&world, "10.209.0.0/16").await;
    let sealed = json!({"name": "sealed", "egress": {"mode": "none"}});
    let sandbox = host.sandbox(sealed).await;
    host.shell(&sandbox, "mkdir -p ~/npm ~/.local/bin").await;
    unpack(&world, &sandbox, Path::new(&folder)).await;
    host.shell(&sandbox, "ln -s ~/npm/node_modules/.bin/* ~/.local/bin/")
        .await;

    let works = AGENTS.map(|(agent, process)| works(&world, &host, &sandbox, agent, process));
    let talks = join_all(works).await;
    let host = host.restarted(Signal::KILL).await;
    let go_on = talks
        .iter()
        .map(|(agent, talk)| writes(talk, &host, &sandbox, format!("{agent}-again")));
    join_all(go_on).await;

    host.delete(&sandbox).await;
    let data = host.data.clone();
    host.end().await;
    // It may have ended before the sandbox did.
    purge(&data);
    tasks.cancel();
}

/// All that is asked of an agent before its host is started again.
async fn works(
    world: &World,
    host: &SandboxHost,
    sandbox: &Sandbox,
    agent: &'static str,
    process: &str,
) -> (&'static str, Talk) {
    let talk = Talk::begin(world, sandbox, agent).await;
    writes(&talk, host, sandbox, agent.to_owned()).await;

    let turn = slowly(&talk).await;
    let interrupt = talk
        .admin
        .request(Method::POST, &talk.path("/interrupt"))
        .send();
    let status = interrupt.await.unwrap().status();
    assert!(status.is_success(), "{agent}: {status}");
    let end = talk.ended(&turn).await;
    assert_eq!(end, TurnEnd::Cancelled, "{agent}");

    let turn = slowly(&talk).await;
    host.shell(sandbox, &format!("pkill -KILL -f '{process}'"))
        .await;
    let end = talk.ended(&turn).await;
    assert!(matches!(end, TurnEnd::Failed { .. }), "{agent}: {end:?}");

    let turn = talk.prompt("Say that you are back").await;
    let end = talk.ended(&turn).await;
    let log = talk.log().await;
    assert_eq!(end, DONE, "{agent}: {log:#?}");
    let resumed = |entry: &Entry| match entry {
        Entry::Agent { event, .. } => {
            matches!(event.body, EventBody::Session { resumed: true, .. })
        }
        _ => false,
    };
    assert!(log.iter().any(resumed), "{agent}: {log:#?}");
    (agent, talk)
}

/// It writes a file by a tool, and whatever it asks for is allowed.
async fn writes(talk: &Talk, host: &SandboxHost, sandbox: &Sandbox, name: String) {
    let file = format!("/home/user/{name}.txt");
    let turn = talk.prompt(&format!("Please write file:{file}")).await;
    let end = talk.ended_allowed(&turn).await;
    assert_eq!(end, DONE, "{name}: {:#?}", talk.log().await);
    let wrote = host.shell(sandbox, &format!("cat {file}")).await;
    assert_eq!(wrote, CONTENT, "{name}: {:#?}", talk.log().await);
}

/// A turn in which it answers for ever; when it has begun to.
async fn slowly(talk: &Talk) -> String {
    let before = said(&talk.log().await).matches("word ").count();
    let turn = talk.prompt("Now answer slowly").await;
    talk.until("words", |log| {
        (said(log).matches("word ").count() > before + 2).then_some(())
    })
    .await;
    turn
}

/// Gives a sandbox what npm installed.
async fn unpack(world: &World, sandbox: &Sandbox, folder: &Path) {
    let mut tar = tokio::process::Command::new("tar");
    tar.args(["--hard-dereference", "-c", "node_modules"])
        .current_dir(folder)
        .stdout(Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    let output = tar.stdout.take().unwrap();
    let chunks = futures_util::stream::try_unfold(output, async |mut output| {
        let mut chunk = BytesMut::with_capacity(256 << 10);
        let read = output.read_buf(&mut chunk).await?;
        std::io::Result::Ok((read > 0).then(|| (chunk.freeze(), output)))
    });
    let id = sandbox.id;
    let path = format!("/api/v1/sandboxes/{id}/files/archive?path=/home/user/npm");
    let put = world.admin.request(Method::PUT, &path);
    let put = put.body(reqwest::Body::wrap_stream(chunks));
    let answer = put.send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{status}: {:?}", answer.text().await);
    assert!(tar.wait().await.unwrap().success());
}
