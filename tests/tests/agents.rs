//! A session with an agent, through the whole path: the control plane's process, a host's, a real
//! sandbox that may reach nothing, and the built-in agent, which asks a model by way of its host.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use helix_base::TaskGroup;
use helix_proto::{
    agents::{Content, Entry, EventBody, OptionKind, TurnEnd},
    sandbox::Sandbox,
    session::{Session, SessionEvent, SessionEventBody},
};
use helix_tests::{
    DatabaseKind, SandboxHost, ScriptedModel, World, eventually,
    eventually::SOON,
    sandbox_host::{may_host, purge},
};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

const FILE: &str = "/home/user/hello.txt";

struct Talk {
    session: Session,
    world: World,
}

impl Talk {
    /// Begins a session in a sandbox.
    async fn begin(world: World, sandbox: &Sandbox) -> Self {
        let agent = json!({"agent": "helix", "sandbox_id": sandbox.id});
        let request = json!({"model": "scripted/writer", "agent": agent});
        let session = world.admin.post("/api/v1/sessions", &request).await;
        Self { session, world }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/sessions/{}{rest}", self.session.id)
    }

    async fn prompt(&self, text: &str) -> String {
        let request = json!({"content": [{"type": "text", "text": text}]});
        let made: Value = self
            .world
            .admin
            .post(&self.path("/prompts"), &request)
            .await;
        made["turn_id"].as_str().unwrap().to_owned()
    }

    /// What is in the log by now.
    async fn log(&self) -> Vec<Entry> {
        let Session { last_seq, .. } = self.world.admin.get(&self.path("")).await;
        let mut log = Vec::new();
        if last_seq == 0 {
            return log;
        }
        let request = self.world.admin.request(Method::GET, &self.path("/events"));
        let mut answer = request.send().await.unwrap();
        let mut text = Vec::new();
        loop {
            let chunk = tokio::time::timeout(SOON, answer.chunk()).await.unwrap();
            text.extend(chunk.unwrap().expect("a feed that goes on"));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let Some(data) = line.strip_prefix(b"data:") else {
                    continue;
                };
                let event: SessionEvent = serde_json::from_slice(data).unwrap();
                if let SessionEventBody::Agent { entry } = event.body {
                    log.push(*entry);
                }
                if event.seq >= last_seq {
                    return log;
                }
            }
        }
    }

    /// Waits for something in the log.
    async fn until<T>(&self, what: &str, find: impl Fn(&[Entry]) -> Option<T>) -> T {
        eventually(what, SOON, async || {
            let log = self.log().await;
            find(&log).ok_or(log)
        })
        .await
    }

    async fn ended(&self, turn: &str) -> TurnEnd {
        self.until("the turn's end", |log| {
            log.iter().find_map(|entry| match entry {
                Entry::TurnEnded { turn: of, end } if of.to_string() == turn => Some(end.clone()),
                _ => None,
            })
        })
        .await
    }
}

fn said(log: &[Entry]) -> String {
    let text = |entry: &Entry| match entry {
        Entry::Agent { event, .. } => match &event.body {
            EventBody::Message {
                content: Content::Text { text },
            } => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    log.iter().filter_map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_a_sealed_sandbox_asks_models_through_its_host_and_outlives_the_control_plane()
{
    if !may_host() {
        return;
    }
    let tasks = TaskGroup::new();
    let model = ScriptedModel::start(&tasks).await;
    let world = World::with_options(DatabaseKind::Sqlite, &model.provider("scripted")).await;
    let host = SandboxHost::join(&world, "10.208.0.0/16").await;
    let sealed = json!({"name": "sealed", "egress": {"mode": "none"}});
    let sandbox = host.sandbox(sealed).await;
    let mut talk = Talk::begin(world, &sandbox).await;

    // It asks, is allowed, and writes.
    let turn = talk.prompt(&format!("Please write file:{FILE}")).await;
    let (thread, request, option) = talk
        .until("a question", |log| {
            log.iter().find_map(|entry| match entry {
                Entry::Agent { thread, event } => match &event.body {
                    EventBody::PermissionRequested { options, .. } => {
                        let once = options.iter().find(|it| it.kind == OptionKind::AllowOnce);
                        Some((*thread, event.seq, once.unwrap().id.clone()))
                    }
                    _ => None,
                },
                _ => None,
            })
        })
        .await;
    let path = talk.path(&format!("/permissions/{thread}/{request}"));
    let answer = json!({"outcome": "selected", "option": option});
    let answered = talk.world.admin.request(Method::POST, &path).json(&answer);
    assert_eq!(
        answered.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    let end = talk.ended(&turn).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    let wrote = host.shell(&sandbox, &format!("cat {FILE}")).await;
    assert_eq!(wrote, helix_tests::scripted_model::CONTENT);

    // The control plane is killed while it answers, and is there again.
    let turn = talk.prompt("Now answer slowly").await;
    talk.until("words", |log| said(log).contains("word word").then_some(()))
        .await;
    talk.world.server.process().signal(Signal::KILL);
    talk.world.server.process().wait(SOON).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    talk.world.server.start().await;
    // The model's answer went through the process that is gone: the turn ends as that has it.
    let end = talk.ended(&turn).await;
    assert!(!matches!(end, TurnEnd::Cancelled), "{end:?}");
    let turn = talk.prompt("And say something").await;
    let end = talk.ended(&turn).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    let all = said(&talk.log().await);
    assert!(all.ends_with("You said: And say something"), "{all}");
    host.delete(&sandbox).await;
    let data = host.data.clone();
    host.end().await;
    // It may have ended before the sandbox did.
    purge(&data);
    tasks.cancel();
}
