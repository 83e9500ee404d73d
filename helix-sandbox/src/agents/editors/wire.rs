//! What a host and the program that stands for an editor in a sandbox say to each other: lines of
//! JSON, each one message.

use helix_proto::{
    ThreadId,
    agents::{LogPage, MAX_MESSAGE, Wanted},
};
use serde::{Deserialize, Serialize};

/// The version that is spoken here.
pub(crate) const VERSION: u32 = 1;

/// Bytes of a line at most, either way: a page of a log, and what is around it.
pub(crate) const LONGEST: usize = MAX_MESSAGE + (64 << 10);

/// From the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Asked {
    /// The first message.
    Hello {
        /// The version that it speaks.
        version: u32,
    },
    /// Which threads there are in its sandbox.
    Threads,
    /// What follows in a thread's log, once there is something.
    Follow {
        /// The thread.
        thread: ThreadId,
        /// What was read up to.
        after: u64,
    },
    /// Nothing more of a thread's log.
    Unfollow {
        /// The thread.
        thread: ThreadId,
    },
    /// Something is wanted.
    Want {
        /// In this thread.
        thread: ThreadId,
        /// The program's own word for it: the same one again is the same wish.
        key: String,
        /// What.
        wanted: Wanted,
    },
}

/// To the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told {
    /// The answer to hello.
    Hello {
        /// The version that the host speaks.
        version: u32,
    },
    /// The threads of its sandbox, oldest first.
    Threads {
        /// They.
        threads: Vec<Listed>,
    },
    /// What follows in a log.
    Log(LogPage),
    /// What was wanted is stored, and will be decided by the control plane.
    Noted {
        /// The program's word for it.
        key: String,
        /// The number of the event that says so.
        seq: u64,
    },
    /// What was wanted is not done.
    Refused {
        /// The program's word for it.
        key: String,
        /// Why, for people.
        reason: String,
    },
    /// A thread is over, or none of this sandbox.
    Over {
        /// The thread.
        thread: ThreadId,
        /// Why, for people.
        reason: String,
    },
}

/// A thread of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Its id.
    pub(crate) thread: ThreadId,
    /// The agent's name in the catalogue.
    pub(crate) agent: String,
    /// Where it works.
    pub(crate) directory: String,
}
