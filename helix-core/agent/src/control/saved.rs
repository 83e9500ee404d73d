//! What the control plane keeps of a conversation in its database, besides its log.

use std::collections::{BTreeMap, VecDeque};

use helix_proto::{
    ThreadId, TurnId,
    agents::{Entry, HeldBecause, Numbered, QueuedPrompt},
};
use serde::{Deserialize, Serialize};

use crate::turn::Turn;

/// Everything that is kept of a conversation besides its log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub(super) thread: Option<Thread>,
    /// The agent's own id of its session, for the next thread.
    pub(super) session: Option<String>,
    /// Commands that the host has not stored yet.
    pub(super) commands: VecDeque<Numbered>,
    pub(super) queue: VecDeque<QueuedPrompt>,
    pub(super) held: Option<HeldBecause>,
    pub(super) turn: Option<Turn>,
    /// Requests for a permission that are open, by sequence number.
    pub(super) permissions: BTreeMap<u64, Permission>,
    pub(super) closed: bool,
}

/// What is read back from a database, part by part; a [`Saved`] is made of it.
#[derive(Debug, Default)]
pub struct Stored {
    /// The thread that there is.
    pub thread: Option<Thread>,
    /// The agent's own id of its session.
    pub session: Option<String>,
    /// Commands that the host has not stored yet, in order.
    pub commands: VecDeque<Numbered>,
    /// The prompts that wait, first the next.
    pub queue: VecDeque<QueuedPrompt>,
    /// Why the queue waits, if it does.
    pub held: Option<HeldBecause>,
    /// The turn in flight.
    pub turn: Option<Turn>,
    /// Requests for a permission that are open, by sequence number.
    pub permissions: BTreeMap<u64, Permission>,
    /// Whether the conversation is over.
    pub closed: bool,
}

impl From<Stored> for Saved {
    fn from(stored: Stored) -> Self {
        let Stored {
            thread,
            session,
            commands,
            queue,
            held,
            turn,
            permissions,
            closed,
        } = stored;
        Self {
            thread,
            session,
            commands,
            queue,
            held,
            turn,
            permissions,
            closed,
        }
    }
}

/// A thread as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Which.
    pub id: ThreadId,
    /// The last command that was made.
    pub last_number: u64,
    /// The last command that the host has stored.
    pub accepted: u64,
    /// The last event that is stored here.
    pub acknowledged: u64,
}

/// A request for a permission that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The ids of its options.
    pub options: Vec<String>,
    /// When it is answered by nobody.
    pub ends_at_ms: u64,
}

/// A change to what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The next entry of the log.
    Log {
        /// It.
        entry: Box<Entry>,
    },
    /// The thread that there is.
    Thread {
        /// It; what was sent to and asked by another is over.
        id: Option<ThreadId>,
    },
    /// The agent's own id of its session.
    Session {
        /// It.
        session: Option<String>,
    },
    /// A command for the host; the next number.
    Command {
        /// It.
        command: Numbered,
    },
    /// The host has stored commands up to this.
    Accepted {
        /// The last of them.
        through: u64,
    },
    /// Events up to this are stored.
    Acknowledged {
        /// The last of them.
        through: u64,
    },
    /// A prompt is in the queue, at this place; it may have been there before, elsewhere or with
    /// another wording.
    Queued {
        /// It.
        prompt: QueuedPrompt,
        /// How many are before it.
        position: usize,
    },
    /// A prompt is not in the queue any more.
    Unqueued {
        /// The turn that it was to become.
        turn: TurnId,
    },
    /// The queue waits, or goes on.
    Held {
        /// Why it waits.
        because: Option<HeldBecause>,
    },
    /// The turn in flight.
    Turn {
        /// It; none once it has ended.
        turn: Option<Box<Turn>>,
    },
    /// A request for a permission is open.
    Asked {
        /// Its sequence number.
        request: u64,
        /// It.
        permission: Permission,
    },
    /// A request for a permission is over.
    Answered {
        /// Its sequence number.
        request: u64,
    },
    /// The conversation is over.
    Closed,
}

impl Saved {
    /// The thread that there is.
    pub const fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref()
    }

    /// The turn in flight.
    pub const fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
    }

    /// The prompts that wait, first the next.
    pub fn queue(&self) -> impl Iterator<Item = &QueuedPrompt> {
        self.queue.iter()
    }

    /// Why the queue waits, if it does.
    pub const fn held(&self) -> Option<HeldBecause> {
        self.held
    }

    /// Whether the conversation is over.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Requests for a permission that are open, by sequence number.
    pub const fn permissions(&self) -> &BTreeMap<u64, Permission> {
        &self.permissions
    }

    /// Applies a change. Whatever stores conversations does as this does.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Log { .. } => {}
            Change::Thread { id } => {
                self.thread = id.map(|id| Thread {
                    id,
                    last_number: 0,
                    accepted: 0,
                    acknowledged: 0,
                });
                self.commands.clear();
                self.permissions.clear();
            }
            Change::Session { session } => self.session.clone_from(session),
            Change::Command { command } => {
                if let Some(thread) = &mut self.thread {
                    thread.last_number = command.number;
                    self.commands.push_back(command.clone());
                }
            }
            Change::Accepted { through } => {
                if let Some(thread) = &mut self.thread {
                    thread.accepted = *through;
                    self.commands.retain(|command| command.number > *through);
                }
            }
            Change::Acknowledged { through } => {
                if let Some(thread) = &mut self.thread {
                    thread.acknowledged = *through;
                }
            }
            Change::Queued { prompt, position } => {
                self.queue.retain(|queued| queued.turn != prompt.turn);
                let position = (*position).min(self.queue.len());
                self.queue.insert(position, prompt.clone());
            }
            Change::Unqueued { turn } => self.queue.retain(|queued| queued.turn != *turn),
            Change::Held { because } => self.held = *because,
            Change::Turn { turn } => self.turn = turn.as_deref().cloned(),
            Change::Asked {
                request,
                permission,
            } => {
                self.permissions.insert(*request, permission.clone());
            }
            Change::Answered { request } => {
                self.permissions.remove(request);
            }
            Change::Closed => self.closed = true,
        }
    }
}
