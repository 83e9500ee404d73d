//! What the log of a session says of an agent at work.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Content, Event, PermissionAnswer, TurnEnd};
use crate::{ThreadId, TurnId};

/// One entry of a session's log. Everything that a reader shows follows from these, in order:
/// the queue, the turn in flight, what the agent does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentEntry)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A prompt joined the queue.
    PromptQueued {
        /// It.
        prompt: QueuedPrompt,
        /// How many are before it.
        position: usize,
    },
    /// A queued prompt was given another wording.
    PromptEdited {
        /// As it is now.
        prompt: QueuedPrompt,
    },
    /// A queued prompt was moved.
    PromptMoved {
        /// The turn that it becomes.
        turn: TurnId,
        /// How many are before it now.
        position: usize,
    },
    /// The queue waits for somebody to let it go on.
    QueueHeld {
        /// Why.
        because: HeldBecause,
    },
    /// The queue goes on.
    QueueReleased,
    /// A prompt left the queue, for the host.
    TurnDispatched {
        /// The turn.
        turn: TurnId,
    },
    /// The agent has the prompt, or goes on after a permission was answered.
    TurnRunning {
        /// The turn.
        turn: TurnId,
    },
    /// The agent waits for a permission.
    TurnAwaiting {
        /// The turn.
        turn: TurnId,
        /// The sequence number of the request in its thread.
        request: u64,
        /// When the request is answered by nobody.
        ends_at_ms: u64,
    },
    /// A count-down is on: unless the turn goes on, it ends then.
    TurnWaiting {
        /// The turn.
        turn: TurnId,
        /// What for.
        waiting: Waiting,
        /// When it ends.
        ends_at_ms: u64,
    },
    /// The count-down is off.
    TurnGoesOn {
        /// The turn.
        turn: TurnId,
    },
    /// A turn is over. Of each prompt there is exactly one.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// How.
        #[serde(flatten)]
        end: TurnEnd,
    },
    /// Something that the host said, as it said it. What concerns turns as such has entries of
    /// its own: `turn_started`, `turn_ended` and `permission_resolved` are not repeated here.
    Agent {
        /// The thread.
        thread: ThreadId,
        /// The event.
        event: Event,
    },
    /// A permission request is over. Of each request there is exactly one.
    PermissionAnswered {
        /// The thread.
        thread: ThreadId,
        /// The sequence number of the request in its thread.
        request: u64,
        /// How.
        answer: PermissionAnswer,
    },
    /// The session's repository is being cloned; a thread begins after it. Said every few seconds
    /// at most, and while it goes on.
    Cloning {
        /// What git does, in its own words; empty before it said any.
        what: String,
        /// How much of that is done, where git says so: 0 to 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<u8>,
    },
    /// A thread began.
    ThreadOpened {
        /// The thread.
        thread: ThreadId,
        /// Whether the agent is asked to go on with a session that it had.
        resumes: bool,
    },
    /// A thread is over.
    ThreadOver {
        /// The thread.
        thread: ThreadId,
        /// For people.
        reason: String,
        /// Whether somebody wanted it so, as when another agent was chosen.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        wanted: bool,
    },
}

/// A prompt in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuedPrompt {
    /// The turn that it becomes.
    pub turn: TurnId,
    /// What the agent is asked.
    pub content: Vec<Content>,
    /// The event with which an editor in the sandbox wanted it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<WantedBy>,
}

/// The event with which an editor in a sandbox wanted something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct WantedBy {
    /// The thread.
    pub thread: ThreadId,
    /// Its sequence number there.
    pub seq: u64,
}

/// Why a queue waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueHeldBecause)]
#[serde(rename_all = "snake_case")]
pub enum HeldBecause {
    /// Somebody interrupted the agent.
    Interrupted,
    /// The turn before failed.
    Failed,
}

/// What a turn in flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = TurnWaitingFor)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// For the agent to take the prompt.
    Start,
    /// For the agent to say something.
    Agent,
    /// For the sandbox's host to be back.
    Host,
    /// For the agent to stop, after a cancel.
    Cancel,
}
