//! Sessions with agents, through the whole path: the control plane's process, a host's, and a real
//! sandbox that may reach nothing, whose agents ask a model by way of its host.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod catalogue;

use std::time::Duration;

use helix_base::TaskGroup;
use helix_proto::{
    ThreadId,
    agents::{Content, Entry, EventBody, OptionKind, TurnEnd},
    sandbox::Sandbox,
    session::{Session, SessionEvent, SessionEventBody},
};
use helix_tests::{
    DatabaseKind, SandboxHost, ScriptedModel, World,
    client::Client,
    eventually,
    eventually::SOON,
    sandbox_host::{may_host, purge},
};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

const FILE: &str = "/home/user/hello.txt";

struct Talk {
    session: Session,
    admin: Client,
}

impl Talk {
    /// Begins a session in a sandbox.
    async fn begin(world: &World, sandbox: &Sandbox, agent: &str) -> Self {
        let agent = json!({"agent": agent, "sandbox_id": sandbox.id});
        let request = json!({"model": "scripted/writer", "agent": agent});
        let admin = world.admin.clone();
        let session = admin.post("/api/v1/sessions", &request).await;
        Self { session, admin }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/sessions/{}{rest}", self.session.id)
    }

    async fn prompt(&self, text: &str) -> String {
        let request = json!({"content": [{"type": "text", "text": text}]});
        let made: Value = self.admin.post(&self.path("/prompts"), &request).await;
        made["turn_id"].as_str().unwrap().to_owned()
    }

    /// What is in the log by now.
    async fn log(&self) -> Vec<Entry> {
        let Session { last_seq, .. } = self.admin.get(&self.path("")).await;
        let mut log = Vec::new();
        if last_seq == 0 {
            return log;
        }
        let request = self.admin.request(Method::GET, &self.path("/events"));
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

    async fn allow(&self, (thread, request, option): Question) {
        let path = self.path(&format!("/permissions/{thread}/{request}"));
        let answer = json!({"outcome": "selected", "option": option});
        let answered = self.admin.request(Method::POST, &path).json(&answer);
        let status = answered.send().await.unwrap().status();
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    /// The end of a turn in which whatever is asked for is allowed.
    async fn ended_allowed(&self, turn: &str) -> TurnEnd {
        let mut allowed = 0;
        loop {
            let next = self.until("a question or the turn's end", |log| {
                let end = end_of(log, turn).map(Err);
                let began = log.iter().position(|entry| match entry {
                    Entry::TurnDispatched { turn: of } => of.to_string() == turn,
                    _ => false,
                });
                let asked = questions(&log[began.unwrap_or(log.len())..]);
                end.or_else(|| asked.into_iter().nth(allowed).map(Ok))
            });
            match next.await {
                Ok(question) => self.allow(question).await,
                Err(end) => return end,
            }
            allowed += 1;
        }
    }

    async fn ended(&self, turn: &str) -> TurnEnd {
        self.until("the turn's end", |log| end_of(log, turn)).await
    }
}

fn end_of(log: &[Entry], turn: &str) -> Option<TurnEnd> {
    log.iter().find_map(|entry| match entry {
        Entry::TurnEnded { turn: of, end } if of.to_string() == turn => Some(end.clone()),
        _ => None,
    })
}

/// A question for a permission: its thread, its number, and how it is allowed.
type Question = (ThreadId, u64, String);

fn questions(log: &[Entry]) -> Vec<Question> {
    let question = |entry: &Entry| match entry {
        Entry::Agent { thread, event } => match &event.body {
            EventBody::PermissionRequested { options, .. } => {
                let once = options.iter().find(|it| it.kind == OptionKind::AllowOnce);
                Some((*thread, event.seq, once.unwrap().id.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    log.iter().filter_map(question).collect()
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
    let mut world = World::with_options(DatabaseKind::Sqlite, &model.provider("scripted")).await;
    let host = SandboxHost::join(&world, "10.208.0.0/16").await;
    let sealed = json!({"name": "sealed", "egress": {"mode": "none"}});
    let sandbox = host.sandbox(sealed).await;
    let talk = Talk::begin(&world, &sandbox, "helix").await;

    // It asks, is allowed, and writes.
    let turn = talk.prompt(&format!("Please write file:{FILE}")).await;
    let question = talk.until("a question", |log| questions(log).pop()).await;
    talk.allow(question).await;
    let end = talk.ended(&turn).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    let wrote = host.shell(&sandbox, &format!("cat {FILE}")).await;
    assert_eq!(wrote, helix_tests::scripted_model::CONTENT);

    // The control plane is killed while it answers, and is there again.
    let turn = talk.prompt("Now answer slowly").await;
    talk.until("words", |log| said(log).contains("word word").then_some(()))
        .await;
    world.server.process().signal(Signal::KILL);
    world.server.process().wait(SOON).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.server.start().await;
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
