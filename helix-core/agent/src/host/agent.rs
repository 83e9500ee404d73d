//! What an agent's process and its driver have to say, and what they are told.

use helix_proto::{
    TurnId,
    agents::{EventBody, PermissionAnswer, PermissionOption, ToolUpdate, TurnEnd},
};
use serde::{Deserialize, Serialize};

/// Something about the agent's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// What is being done to start it, for people.
    Starting(String),
    /// It takes prompts.
    Ready {
        /// Its own id of the session.
        session: String,
        /// Whether it knows what was said before.
        resumed: bool,
    },
    /// It was found again, after the host was restarted, and is what it was. Comes before
    /// anything that is read of it.
    Found,
    /// It was told what [`super::Effect::Tell`] had with this number. Comes before anything that
    /// the agent said afterwards.
    Told(u64),
    /// It said something for readers.
    Said(Box<EventBody>),
    /// It asks for a permission.
    Asked {
        /// Its own id of the request.
        key: String,
        /// What it wants to do.
        call: Box<ToolUpdate>,
        /// At least one.
        options: Vec<PermissionOption>,
    },
    /// It takes a request for a permission back.
    Withdrew {
        /// Its own id of the request.
        key: String,
    },
    /// It ended a turn.
    Done {
        /// The turn.
        turn: TurnId,
        /// How.
        end: TurnEnd,
    },
    /// It does not run, and why, for people. Nothing follows of this run.
    Exited(String),
}

/// Something that an agent is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Tell {
    /// Begin a turn. What is asked is in [`super::Underway::content`].
    Prompt {
        /// The turn.
        turn: TurnId,
    },
    /// End the turn.
    Cancel,
    /// The answer to a request for a permission.
    Answer {
        /// The agent's own id of the request.
        key: String,
        /// The answer.
        answer: PermissionAnswer,
    },
    /// Change the mode.
    SetMode {
        /// To this.
        mode: String,
    },
    /// Change the model.
    SetModel {
        /// To this.
        model: String,
    },
}
