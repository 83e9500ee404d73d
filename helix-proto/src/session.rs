//! Conversations: sessions, turns, and the log of events that tells them.
//!
//! A session is an append-only log. Each event has a sequence number, 1 for the
//! first, with no gaps; whoever reads says "after N". A turn is one question and
//! its answer; at most one turn of a session is in flight. Who answers is a model, or an agent in a
//! sandbox, which the log tells by [`SessionEventBody::Agent`] alone.

mod agent;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::agent::{
    AgentProgram, AgentTurn, AgentTurnState, AgentVariable, CatalogueAgent, CatalogueAgentDetails,
    ChooseAgentRequest, CreateSessionAgent, EditPromptRequest, ModelApi, MovePromptRequest,
    OpenPermission, PromptAccepted, PromptRequest, PutAgentRequest, SessionAgent,
    SessionAgentState, SessionRepository, SetAgentModelRequest, SetModeRequest,
};
use crate::{SessionId, TurnId, agents::Entry, share::SharedWith};

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its title: the first message's beginning, until someone renames it.
    pub title: String,
    /// The model that answers, unless a message names another.
    pub model: String,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it last changed.
    pub updated_at_ms: u64,
    /// The sequence number of its last event; 0 when there is none.
    pub last_seq: u64,
    /// The turn in flight, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_turn: Option<TurnId>,
    /// The agent that answers; a model does if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<SessionAgent>,
    /// How it is shared with whoever asks; absent for its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedWith>,
}

/// What was asked of models with the keys of a session, as its agent does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelUsage {
    /// Requests that were let in.
    pub requests: u64,
    /// Tokens that were read, as engines and providers said; cached ones included.
    pub prompt_tokens: u64,
    /// Tokens that were written.
    pub completion_tokens: u64,
}

impl ModelUsage {
    /// Adds what was counted elsewhere.
    pub const fn add(&mut self, more: &Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(more.prompt_tokens);
        self.completion_tokens = self
            .completion_tokens
            .saturating_add(more.completion_tokens);
    }

    /// Takes away what is counted elsewhere now.
    pub const fn subtract(&mut self, less: &Self) {
        self.requests = self.requests.saturating_sub(less.requests);
        self.prompt_tokens = self.prompt_tokens.saturating_sub(less.prompt_tokens);
        self.completion_tokens = self
            .completion_tokens
            .saturating_sub(less.completion_tokens);
    }
}

/// Starts a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSessionRequest {
    /// At most 200 characters; taken from the first message if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The model that answers; the default model if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent that answers; a model does if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<CreateSessionAgent>,
}

/// Changes a session; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSessionRequest {
    /// 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The model that answers from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Asks something; answered by the [`Turn`] that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SendMessageRequest {
    /// 1 to 1,000,000 bytes.
    pub content: String,
    /// The model that answers this and what follows; the session's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A number of the client's own choosing: a second request with the same
    /// one begins no second turn. At most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Asks again with another wording: the turn and all after it give way to a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditTurnRequest {
    /// 1 to 1,000,000 bytes.
    pub content: String,
}

/// Where a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// Waiting for a place on an instance.
    Queued,
    /// Being answered.
    Running,
    /// Answered.
    Completed,
    /// Stopped by the user; what was answered until then stays.
    Cancelled,
    /// Ended otherwise; see [`Turn::error`]. What was answered until then stays.
    Failed,
}

impl TurnState {
    /// Whether nothing follows this state.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// The session it is in.
    pub session_id: SessionId,
    /// Where it is.
    pub state: TurnState,
    /// The question.
    pub user_content: String,
    /// The answer so far.
    pub assistant_content: String,
    /// The model that answers.
    pub model: String,
    /// Why it ended, if not by an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it waits for, while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Tokens, as the engine counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// When it was begun.
    pub created_at_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
}

/// Tokens of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// The turns of a session that stand, oldest first, as of `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionMessages {
    /// The last event that is already in `turns`: follow `events?after=` this.
    pub seq: u64,
    /// Turns that were replaced are left out.
    pub turns: Vec<Turn>,
}

/// One event of a session's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionEvent {
    /// 1 for the first event of the session, then without gaps.
    pub seq: u64,
    /// When it happened.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: SessionEventBody,
}

/// What can happen in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionEventBody {
    /// Title or model changed.
    SessionUpdated {
        /// The title from now on.
        title: String,
        /// The model from now on.
        model: String,
    },
    /// A turn began; it is queued.
    TurnStarted {
        /// The turn.
        turn_id: TurnId,
        /// The question.
        user_content: String,
        /// The model that will answer.
        model: String,
        /// The first turn that gives way, with all after it, to this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<TurnId>,
    },
    /// What a queued turn waits for changed.
    TurnWaiting {
        /// The turn.
        turn_id: TurnId,
        /// For people.
        reason: String,
    },
    /// An instance took the turn.
    TurnRunning {
        /// The turn.
        turn_id: TurnId,
    },
    /// More of the answer.
    TurnDelta {
        /// The turn.
        turn_id: TurnId,
        /// What to append.
        text: String,
    },
    /// The turn ended.
    TurnEnded {
        /// The turn.
        turn_id: TurnId,
        /// How: a state that is terminal.
        state: TurnState,
        /// Why, if not by an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// Tokens, as the engine counted them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// Something happened to the session's agent.
    Agent {
        /// What.
        entry: Box<Entry>,
    },
}
