//! The messages themselves.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Entry, Error, Event, MAX_EVENTS, MAX_MESSAGE, MAX_THREADS, Numbered, VERSION, bounded,
};
use crate::ThreadId;

/// From a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    /// The first message.
    Hello {
        /// The version that the host speaks.
        version: u32,
        /// Every thread that it has.
        threads: Vec<Held>,
    },
    /// What happened in a thread, in order.
    Events {
        /// The thread.
        thread: ThreadId,
        /// At least one, one after the other.
        events: Vec<Event>,
    },
    /// Commands are stored on the host, and will not be needed again.
    Accepted {
        /// The thread.
        thread: ThreadId,
        /// The number of the last one.
        through: u64,
    },
    /// A command came for a thread that the host does not have.
    Unknown {
        /// The thread.
        thread: ThreadId,
    },
    /// An editor waits for what follows in the log of the thread's session: one [`Down::Log`], as
    /// soon as there is something. A later one of the same reader takes the place of this.
    Follow {
        /// The thread.
        thread: ThreadId,
        /// The host's own number of whoever reads.
        reader: u64,
        /// What it has read up to; 0 for nothing.
        after: u64,
    },
    /// Nobody reads with this number any more.
    Unfollow {
        /// The host's own number.
        reader: u64,
    },
}

/// To a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    /// The answer to [`Up::Hello`].
    Welcome {
        /// The version that the control plane speaks.
        version: u32,
        /// The threads of the host that go on.
        threads: Vec<Known>,
        /// Threads of the host that are over: it stops their agents and forgets them.
        forget: Vec<ThreadId>,
    },
    /// Something to do.
    Command {
        /// The thread.
        thread: ThreadId,
        /// What, with its number.
        #[serde(flatten)]
        command: Numbered,
    },
    /// Events are stored, and will not be needed again.
    Acknowledge {
        /// The thread.
        thread: ThreadId,
        /// The sequence number of the last one.
        through: u64,
    },
    /// A thread is over: the host stops its agent and forgets it.
    Forget {
        /// The thread.
        thread: ThreadId,
    },
    /// What follows in the log of a thread's session; the answer to [`Up::Follow`].
    Log(LogPage),
}

/// A piece of a session's log, as a host has it read for an editor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// A thread of the session.
    pub thread: ThreadId,
    /// Who reads.
    pub reader: u64,
    /// What is read now, up to here.
    pub through: u64,
    /// Whether there is more already.
    pub more: bool,
    /// The entries, in order; what else is in the log is left out.
    pub entries: Vec<Entry>,
}

/// A thread as a host has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub thread: ThreadId,
    /// The last command that it has stored; 0 for none.
    pub accepted: u64,
    /// The first event that it still has.
    pub first_seq: u64,
    /// The last event that there is; 0 for none.
    pub last_seq: u64,
}

/// A thread as the control plane knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Which.
    pub thread: ThreadId,
    /// The last event that is stored; the host goes on after it.
    pub acknowledged: u64,
}

impl Up {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not one within the bounds.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let up: Self = decode(text)?;
        up.check()?;
        Ok(up)
    }

    /// Writes a message.
    ///
    /// # Errors
    /// It is beyond the bounds; nobody would read it.
    pub fn encode(&self) -> Result<String, Error> {
        self.check()?;
        encode(self)
    }

    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Hello { version, threads } => {
                speaks(*version)?;
                bounded("the list of threads", threads.len(), MAX_THREADS)
            }
            Self::Events { events, .. } => {
                bounded("the list of events", events.len(), MAX_EVENTS)?;
                let first = events.first().map_or(0, |event| event.seq);
                let follow = (first..).zip(events).all(|(seq, event)| event.seq == seq);
                if first == 0 || !follow {
                    return Err(Error::Numbers { what: "events" });
                }
                events.iter().try_for_each(|event| event.body.check())
            }
            Self::Accepted { .. }
            | Self::Unknown { .. }
            | Self::Follow { .. }
            | Self::Unfollow { .. } => Ok(()),
        }
    }
}

impl Down {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not one within the bounds.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let down: Self = decode(text)?;
        down.check()?;
        Ok(down)
    }

    /// Writes a message.
    ///
    /// # Errors
    /// It is beyond the bounds; nobody would read it.
    pub fn encode(&self) -> Result<String, Error> {
        self.check()?;
        encode(self)
    }

    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Welcome {
                version,
                threads,
                forget,
            } => {
                speaks(*version)?;
                bounded("the list of threads", threads.len(), MAX_THREADS)?;
                bounded("the list of threads", forget.len(), MAX_THREADS)
            }
            Self::Command { command, .. } => {
                if command.number == 0 {
                    return Err(Error::Numbers { what: "commands" });
                }
                command.command.check()
            }
            Self::Acknowledge { .. } | Self::Forget { .. } => Ok(()),
            Self::Log(page) => bounded("a page of a log", page.entries.len(), MAX_EVENTS),
        }
    }
}

const fn speaks(version: u32) -> Result<(), Error> {
    if version == VERSION {
        Ok(())
    } else {
        Err(Error::Version { theirs: version })
    }
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    bounded("a message", text.len(), MAX_MESSAGE)?;
    serde_json::from_str(text).map_err(|error| Error::Malformed(error.to_string()))
}

fn encode(message: &impl Serialize) -> Result<String, Error> {
    let text =
        serde_json::to_string(message).map_err(|error| Error::Malformed(error.to_string()))?;
    bounded("a message", text.len(), MAX_MESSAGE)?;
    Ok(text)
}
