//! What the control plane tells a host to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Content, Error, MAX_COMMAND, MAX_NAME, bounded, json_bytes};
use crate::{SandboxId, TurnId};

/// A command with its number in its thread: 1 for the first, without gaps. A host carries out
/// each number once, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
    /// What to do.
    pub command: Command,
}

/// Something to do in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Begins the thread; always number 1. Starts the agent.
    Open(Box<Open>),
    /// Begins a turn. An agent that does not run is started first.
    Prompt {
        /// The turn; a host that has seen it does nothing.
        turn: TurnId,
        /// What the agent is asked.
        content: Vec<Content>,
        /// The sequence number of the event with which an editor wanted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wanted: Option<u64>,
    },
    /// What an editor wanted is not done: it was refused, or its prompt left the queue.
    Unwanted {
        /// The sequence number of the event with which the editor wanted it.
        wanted: u64,
        /// Why, for people.
        #[serde(default)]
        reason: String,
    },
    /// Ends a turn; one that is over already stays as it ended.
    Cancel {
        /// The turn.
        turn: TurnId,
    },
    /// Answers a permission request; one that is over already stays as it ended.
    Answer {
        /// The sequence number of the request's event.
        request: u64,
        /// What was decided.
        answer: PermissionAnswer,
    },
    /// Sets the agent's mode.
    SetMode {
        /// One of those that the agent named.
        mode: String,
    },
    /// Sets the model that the agent works with.
    SetModel {
        /// One of those that the agent named.
        model: String,
    },
    /// Stops the agent, should it run; a turn in flight fails. It starts with the next prompt,
    /// or at once.
    Stop {
        /// Whether it is started again at once.
        restart: bool,
    },
    /// Ends the thread: stops the agent. The last event is [`super::EventBody::Closed`].
    Close,
}

/// How a thread begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The sandbox that the agent works in.
    pub sandbox: SandboxId,
    /// The agent.
    pub agent: AgentSpec,
    /// The agent's own id of a session to go on with, after the thread before was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
}

/// A program that speaks ACP, and how it is started. Its `Debug` shows no value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// Its name in the catalogue.
    pub name: String,
    /// Program and arguments; at least one.
    pub command: Vec<String>,
    /// Installs it, where the program is missing; run as the sandbox's user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install: Vec<String>,
    /// The environment, besides that of the sandbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Variable>,
    /// An absolute path in the sandbox.
    pub directory: String,
}

/// What stands in an agent's command, and in values of its environment, for the URL at which a
/// program in the sandbox reaches the control plane's routes for models, those below `/v1`. Its
/// host puts the URL there: it leads what is asked there to the control plane.
pub const API: &str = "{HELIX_API}";

impl AgentSpec {
    /// Whether it is told where models are asked.
    pub fn asks_models(&self) -> bool {
        let values = self.environment.iter().map(|it| &it.value);
        values.chain(&self.command).any(|text| text.contains(API))
    }
}

/// A variable of the environment. Its value may be a secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

crate::redact::redacted_debug! {
    Variable { name }
}

/// What was decided about a permission request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PermissionAnswer {
    /// One of the request's options.
    Selected {
        /// Its id.
        option: String,
    },
    /// None: the turn was cancelled, or nobody answered in time.
    Cancelled,
}

impl Command {
    /// Whether it is within the bounds.
    ///
    /// # Errors
    /// It is beyond one of them.
    pub fn check(&self) -> Result<(), Error> {
        let (name, length) = match self {
            Self::Open(open) if open.agent.command.is_empty() => {
                return Err(Error::Malformed("an agent without a program".to_owned()));
            }
            Self::Open(open) => ("an agent's name", open.agent.name.len()),
            Self::Answer {
                answer: PermissionAnswer::Selected { option },
                ..
            } => ("an option's id", option.len()),
            Self::SetMode { mode } => ("a mode's id", mode.len()),
            Self::SetModel { model } => ("a model's id", model.len()),
            Self::Prompt { .. }
            | Self::Unwanted { .. }
            | Self::Cancel { .. }
            | Self::Answer { .. }
            | Self::Stop { .. }
            | Self::Close => ("a name", 0),
        };
        bounded(name, length, MAX_NAME)?;
        bounded("a command", json_bytes(self), MAX_COMMAND)
    }
}
