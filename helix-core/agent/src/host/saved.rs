//! What a host keeps of a thread on its disk.

use std::collections::{BTreeMap, VecDeque};

use helix_proto::{
    ThreadId, TurnId,
    agents::{Content, Event, Held, Open},
};
use serde::{Deserialize, Serialize};

use super::{agent::Tell, journal::Journal};

/// Everything that is kept of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub(super) record: Record,
    pub(super) journal: Journal,
}

/// What is kept of a thread besides its events. Small, but for a prompt that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The thread.
    pub thread: ThreadId,
    /// How it began.
    pub open: Open,
    /// The last command that was taken.
    pub accepted: u64,
    /// Where the agent's process is.
    pub agent: Agent,
    /// Counts the agent's processes: what an earlier one said late is not listened to.
    pub run: u64,
    /// How much of what this process said is in the journal.
    pub position: u64,
    /// The agent's own id of its session.
    pub session: Option<String>,
    /// The turn in flight.
    pub turn: Option<Underway>,
    /// The turn that begins once that one, which is being cancelled, has ended.
    pub next: Option<Underway>,
    /// Requests for a permission that are open: sequence number and the agent's own id.
    pub permissions: BTreeMap<u64, String>,
    /// What editors wanted last, oldest first.
    #[serde(default)]
    pub wishes: VecDeque<Wish>,
    /// What the agent is to be told, by number, until the driver said that it was.
    pub tells: BTreeMap<u64, Tell>,
    /// The number of the last of them.
    pub last_tell: u64,
    /// Whether the agent is started again when it has stopped.
    pub restarts: bool,
    /// Whether the thread ends when the agent has stopped.
    pub closing: bool,
    /// Whether it has ended.
    pub closed: bool,
    /// Whether the control plane does not know it any more: it goes with its agent, and nobody
    /// is told.
    pub forgotten: bool,
}

/// Where an agent's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "agent", rename_all = "snake_case")]
pub enum Agent {
    /// There is none.
    Stopped,
    /// It is being started.
    Starting {
        /// Until when.
        by_ms: u64,
    },
    /// It takes prompts.
    Ready,
    /// It is being stopped.
    Stopping {
        /// Until when.
        by_ms: u64,
    },
}

/// What an editor wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The editor's own word for it.
    pub key: String,
    /// The sequence number of the event that says so.
    pub seq: u64,
    /// Why it is not done, once that was decided.
    pub refused: Option<String>,
}

/// A turn on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// The turn.
    pub turn: TurnId,
    /// What the agent is asked; empty once it was.
    pub content: Vec<Content>,
    /// Whether the agent was told: from then on nobody knows whether it knows, until
    /// `started`.
    pub handed: bool,
    /// Whether the agent has the prompt.
    pub started: bool,
    /// When it is being cancelled: until when.
    pub cancel_by_ms: Option<u64>,
}

/// A change to what is kept of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The record is this from now on. The first of a thread begins it.
    Record(Box<Record>),
    /// The next event.
    Append(Event),
    /// How much of what the agent's process said is in the journal.
    Position {
        /// Up to here.
        position: u64,
    },
    /// Events up to this are not needed any more.
    Forget {
        /// The last of them.
        through: u64,
    },
    /// The thread is over, and so is what is kept of it.
    Remove,
}

impl Saved {
    /// A thread that begins.
    pub(super) fn new(record: Record) -> Self {
        Self {
            record,
            journal: Journal::default(),
        }
    }

    /// What is kept besides the events.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Bytes of events that are not acknowledged, about.
    pub const fn unacknowledged_bytes(&self) -> usize {
        self.journal.bytes()
    }

    /// Applies a change to what is kept; `None` is a thread that is not there. Whatever stores
    /// threads does as this does.
    pub fn apply(kept: &mut Option<Self>, change: &Change) {
        match (change, kept.as_mut()) {
            (Change::Remove, _) => *kept = None,
            (Change::Record(record), Some(saved)) => saved.record = (**record).clone(),
            (Change::Record(record), None) => *kept = Some(Self::new((**record).clone())),
            (Change::Append(event), Some(saved)) => saved.journal.append(event.clone()),
            (Change::Position { position }, Some(saved)) => saved.record.position = *position,
            (Change::Forget { through }, Some(saved)) => saved.journal.forget(*through),
            // Of a thread that is not there, nothing else is kept.
            (_, None) => {}
        }
    }

    /// The thread, as the host says hello with it.
    pub fn held(&self) -> Held {
        Held {
            thread: self.record.thread,
            accepted: self.record.accepted,
            first_seq: self.journal.acknowledged() + 1,
            last_seq: self.journal.last_seq(),
        }
    }
}
