//! Sessions with an agent: who the agent is and where, and the state of the conversation.
//!
//! **Invariants.** What is stored of a conversation is changed by [`Change`]s alone, as
//! [`Saved::apply`](helix_agent::control::Saved::apply) does, and by one writer: the session's
//! actor. A step is one transaction, with what the log says of it. The environment of an agent is
//! sealed, and goes once its host has it.

use helix_agent::control::{Change, Saved};
use helix_proto::{
    SandboxHostId, SessionId, TurnId, UserId,
    agents::AgentPhase,
    session::{Session, SessionAgent, SessionEvent, SessionRepository},
};

pub(crate) mod catalogue;
mod environment;
mod queue;
pub(super) mod read;
pub(super) mod write;

/// The agent of a session, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredAgent {
    /// The session.
    pub(crate) session_id: SessionId,
    /// Whose session it is.
    pub(crate) user_id: UserId,
    /// The session's model.
    pub(crate) model: String,
    /// What REST shows.
    pub(crate) agent: SessionAgent,
    /// The host that its sandbox is on.
    pub(crate) host_id: SandboxHostId,
    /// What is to be there first, and is not yet.
    pub(crate) repository: Option<SessionRepository>,
    /// Where the agent's process is, as its host last said.
    pub(crate) phase: Option<AgentPhase>,
}

/// The agent of a session that begins.
#[derive(Debug, Clone)]
pub(crate) struct NewAgent {
    pub(crate) agent: SessionAgent,
    pub(crate) host_id: SandboxHostId,
    pub(crate) repository: Option<SessionRepository>,
}

/// A session's agent with its conversation.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) agent: StoredAgent,
    pub(crate) saved: Saved,
}

/// What is stored of one conversation.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whose it is.
    pub(crate) session: SessionId,
    /// In order.
    pub(crate) changes: Vec<Change>,
    /// The idempotency key of a prompt that is among them.
    pub(crate) key: Option<(TurnId, String)>,
    /// A title for a session that nobody gave one.
    pub(crate) title: Option<Title>,
    /// Whether lists show the session differently from now on.
    pub(crate) is_news: bool,
}

/// A title that nobody chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Title {
    /// The first prompt's beginning; only while the log is empty.
    Prompt(String),
    /// What the agent calls the conversation.
    Agent(String),
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Appended {
    /// What the log says of it.
    pub(crate) events: Vec<SessionEvent>,
    /// The session as lists show it, if that is news.
    pub(crate) session: Option<Session>,
}

#[cfg(test)]
mod tests;
