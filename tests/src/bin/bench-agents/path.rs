//! A real agent in a real sandbox: from what it writes to who looks on, and from who asks to what
//! it reads.

use anyhow::{Context as _, Result};
use helix_proto::{SessionId, TurnId};
use serde_json::{Value, json};

use crate::{
    floor, lateness, ms_between, now_ns,
    person::Person,
    viewer::{Seen, Viewer},
};

/// Milliseconds between messages that have nothing to do with each other.
const ALONE_MS: u32 = 50;
/// Milliseconds between those of a fast model.
const TOKEN_MS: u32 = 10;

/// One session, and who looks at it.
struct Watched<'a> {
    person: &'a Person,
    session: SessionId,
    viewer: Viewer,
}

/// What one turn showed.
#[derive(Default)]
struct Turn {
    /// When the agent read the prompt.
    read: Option<u128>,
    /// How late each message came, in milliseconds.
    late_ms: Vec<f64>,
}

pub(crate) async fn measure(person: &Person, messages: u32, prompts: u32) -> Result<Value> {
    let alone = |count| json!({ "count": count, "every_ms": ALONE_MS });
    let tokens = json!({ "count": messages * 2, "every_ms": TOKEN_MS });
    person.publish_agent().await?;
    let session = person.begin().await?;
    let viewer = Viewer::follow(person, session).await?;
    let mut watched = Watched {
        person,
        session,
        viewer,
    };
    // The agent starts.
    watched.ask(&alone(1)).await?;
    let mut prompt_ms = Vec::new();
    for _ in 0..prompts {
        let began = now_ns();
        let turn = watched.ask(&alone(0)).await?;
        let read = turn.read.context("the agent does not say when it read")?;
        prompt_ms.push(ms_between(began, read));
    }
    let floor_ms = floor::measure(&alone(messages))?;
    let alone_ms = watched.ask(&alone(messages)).await?.late_ms;
    let floor_token_ms = floor::measure(&tokens)?;
    let token_ms = watched.ask(&tokens).await?.late_ms;
    Ok(json!({
        "prompt_ms": prompt_ms, "alone_ms": alone_ms, "token_ms": token_ms,
        "floor_ms": floor_ms, "floor_token_ms": floor_token_ms,
    }))
}

impl Watched<'_> {
    /// One prompt and all that comes of it.
    async fn ask(&mut self, plan: &Value) -> Result<Turn> {
        let text = plan.to_string();
        let id = self.person.prompt(self.session, &text).await?;
        self.until_end(id).await
    }

    async fn until_end(&mut self, id: TurnId) -> Result<Turn> {
        let mut turn = Turn::default();
        loop {
            let arrived = self.viewer.next().await?;
            match arrived.seen {
                Seen::Ended(ended) if ended == id => return Ok(turn),
                Seen::Text(text) => {
                    let said = match text.strip_prefix("read ") {
                        None => text.as_str(),
                        Some(rest) => {
                            let (read, more) = rest.split_once(' ').unwrap_or((rest, ""));
                            turn.read = read.parse().ok();
                            more
                        }
                    };
                    turn.late_ms.extend(lateness(said, arrived.at));
                }
                _ => {}
            }
        }
    }
}
