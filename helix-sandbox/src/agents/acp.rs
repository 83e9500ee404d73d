//! One conversation with an agent's process in the Agent Client Protocol, as a pure machine:
//! lines of JSON in, facts and lines out.
//!
//! Its whole memory can be written down, and the ids of its requests are its own, so that a host
//! that was restarted goes on with a process that was not: no library's connection can do that,
//! which is why only the messages' types are of the crate `agent-client-protocol`.

mod calls;
mod fit;
mod map;
mod requests;
mod responses;
mod rpc;
mod updates;

use std::collections::BTreeMap;

use helix_agent::host::{Fact, Tell};
use helix_proto::{
    TurnId,
    agents::{Choice, Content, EventBody, PermissionAnswer},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::calls::{Call, Calls, NewTerminal};
pub(crate) use self::map::content;
use self::rpc::Incoming;

/// Requests that are remembered. There is a turn at a time, and little else.
const REMEMBERED: usize = 64;

/// Lines that were no messages, of which people are told.
const TOLD_GARBAGE: u32 = 3;

/// The conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acp {
    stage: Stage,
    /// The directory that it works in, absolute.
    directory: String,
    /// Whether the sandbox has a desktop, whose tools the agent gets.
    desktop: bool,
    /// The agent's session: the one to go on with, then the one there is.
    session: Option<String>,
    /// Whether sessions can be loaded, or else resumed.
    loads: bool,
    resumes: bool,
    prompts: Prompts,
    modes: Vec<Choice>,
    models: Vec<Choice>,
    /// How a model is set.
    model_by: ModelBy,
    turn: Option<TurnId>,
    cancelling: bool,
    last_request: u64,
    /// The last requests, answered or not.
    pending: BTreeMap<u64, Pending>,
    garbage: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Initializing,
    /// What was said before is repeated meanwhile.
    Opening,
    Ready,
}

/// What a prompt may have besides text and links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Prompts {
    images: bool,
    audio: bool,
    resources: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModelBy {
    Nothing,
    /// `session/set_config_option` with this id.
    Option(String),
    /// `session/set_model`, as agents had it before there were such options.
    Method,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pending {
    Initialize,
    New,
    Load,
    Resume,
    Prompt(TurnId),
    SetMode(String),
    SetModel(String),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    /// Give the agent this line.
    Send(String),
    /// Something happened.
    Fact(Fact),
    /// The agent wants something of its sandbox.
    Call(Call),
    /// It is no agent that can be worked with, and why. Nothing follows.
    Broken(String),
}

impl Out {
    fn say(body: EventBody) -> Self {
        Self::Fact(Fact::Said(Box::new(body)))
    }

    fn notice(text: impl Into<String>) -> Self {
        Self::say(EventBody::Notice { text: text.into() })
    }
}

impl Acp {
    /// With a process that was just started, in a directory, to go on with a session or to begin
    /// one.
    pub(crate) fn new(
        directory: String,
        desktop: bool,
        session: Option<String>,
    ) -> (Self, Vec<Out>) {
        let mut this = Self {
            stage: Stage::Initializing,
            directory,
            desktop,
            session,
            loads: false,
            resumes: false,
            prompts: Prompts::default(),
            modes: Vec::new(),
            models: Vec::new(),
            model_by: ModelBy::Nothing,
            turn: None,
            cancelling: false,
            last_request: 0,
            pending: BTreeMap::new(),
            garbage: 0,
        };
        let initialize = this.initialize();
        (this, vec![initialize])
    }

    /// The directory that it works in.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// The agent wrote a line.
    pub(crate) fn line(&mut self, line: &str) -> Vec<Out> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        match rpc::parse(line) {
            Ok(Incoming::Response { id, result }) => self.response(&id, result),
            Ok(Incoming::Request { id, method, params }) => self.request(&id, &method, params),
            Ok(Incoming::Notification { method, params }) => self.notification(&method, params),
            Err(_) => self.garbage(line),
        }
    }

    fn garbage(&mut self, line: &str) -> Vec<Out> {
        self.garbage = self.garbage.saturating_add(1);
        if self.garbage > TOLD_GARBAGE {
            return Vec::new();
        }
        let shown: String = line.chars().take(200).map(visible).collect();
        vec![Out::notice(format!(
            "the agent wrote something that is no message: {shown}"
        ))]
    }

    /// Tells the agent something.
    pub(crate) fn tell(&mut self, tell: &Tell, content: &[Content]) -> Vec<Out> {
        let Some(session) = self.session.clone() else {
            return Vec::new();
        };
        match tell {
            Tell::Prompt { turn } => {
                self.turn = Some(*turn);
                self.cancelling = false;
                let (prompt, left_out) = self.prompt(content);
                let params = json!({"sessionId": session, "prompt": prompt});
                let mut out: Vec<_> = left_out.into_iter().map(Out::notice).collect();
                out.push(self.ask("session/prompt", Pending::Prompt(*turn), params));
                out
            }
            Tell::Cancel => {
                self.cancelling = self.turn.is_some();
                vec![Out::Send(rpc::notification(
                    "session/cancel",
                    &json!({"sessionId": session}),
                ))]
            }
            Tell::Answer { key, answer } => {
                let outcome = match answer {
                    PermissionAnswer::Selected { option } => {
                        json!({"outcome": "selected", "optionId": option})
                    }
                    PermissionAnswer::Cancelled => json!({"outcome": "cancelled"}),
                };
                // The key is the id as it was written.
                let id = serde_json::from_str(key).unwrap_or(Value::Null);
                let outcome = json!({"outcome": outcome});
                vec![Out::Send(rpc::response(&id, &outcome))]
            }
            Tell::SetMode { mode } => {
                let params = json!({"sessionId": session, "modeId": mode});
                vec![self.ask("session/set_mode", Pending::SetMode(mode.clone()), params)]
            }
            Tell::SetModel { model } => self.set_model(&session, model),
        }
    }

    fn set_model(&mut self, session: &str, model: &str) -> Vec<Out> {
        let pending = Pending::SetModel(model.to_owned());
        match self.model_by.clone() {
            ModelBy::Nothing => vec![Out::notice("this agent's model cannot be set")],
            ModelBy::Option(option) => {
                let params = json!({"sessionId": session, "configId": option, "value": model});
                vec![self.ask("session/set_config_option", pending, params)]
            }
            ModelBy::Method => {
                let params = json!({"sessionId": session, "modelId": model});
                vec![self.ask("session/set_model", pending, params)]
            }
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "made for this")]
    fn ask(&mut self, method: &str, pending: Pending, params: Value) -> Out {
        self.last_request += 1;
        self.pending.insert(self.last_request, pending);
        while self.pending.len() > REMEMBERED {
            self.pending.pop_first();
        }
        Out::Send(rpc::request(self.last_request, method, &params))
    }
}

/// A character that is safe to show.
fn visible(char: char) -> char {
    if char.is_control() { ' ' } else { char }
}

#[cfg(test)]
mod tests;
