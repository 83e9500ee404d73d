//! Agent sync: what a sandbox host and the control plane say to each other about the agents in
//! its sandboxes. `docs/agent-sync.md` is the contract; this is it in types.
//!
//! One WebSocket per host, `/api/v1/external-agents/sync`, dialled by the host, carries all its
//! *threads*: conversations with an agent. Every message is one text message of JSON: [`Up`] from
//! the host, [`Down`] to it. Both directions are numbered per thread, from 1 and without gaps:
//! commands by their number, events by `(thread, seq)`. Each side keeps what it said until the
//! other has *stored* it, and says it again after a cut; each drops what it has seen.
//!
//! Decoding is total: whatever arrives is a message within the bounds or an [`Error`] that says
//! what is wrong with it and which code closes the socket.

mod command;
mod content;
mod error;
mod event;
mod log;
mod message;

pub use self::{
    command::{API, AgentSpec, Command, Numbered, Open, PermissionAnswer, Variable},
    content::{Content, Diff, Location, ToolCall, ToolContent, ToolKind, ToolStatus, ToolUpdate},
    error::Error,
    event::{
        AgentCommand, AgentPhase, Choice, Cost, Event, EventBody, OptionKind, PermissionOption,
        PlanEntry, PlanPriority, PlanStatus, StopReason, TurnEnd, Wanted,
    },
    log::{Entry, HeldBecause, QueuedPrompt, Waiting, WantedBy},
    message::{Down, Held, Known, LogPage, Up},
};

/// The version of the protocol that is spoken here; the only one there is.
pub const VERSION: u32 = 1;
/// Bytes of a message's JSON at most, either way.
pub const MAX_MESSAGE: usize = 4 << 20;
/// Bytes of a command's JSON at most: room for a prompt with pictures.
pub const MAX_COMMAND: usize = 3 << 20;
/// Bytes of an event's JSON at most.
pub const MAX_EVENT: usize = 256 << 10;
/// Events in one message at most.
pub const MAX_EVENTS: usize = 256;
/// Bytes of an id or a name that the other side chose, at most.
pub const MAX_NAME: usize = 256;
/// Threads of a host at most.
pub const MAX_THREADS: usize = 4_096;
/// Readers of logs on one connection at most ([`Up::Follow`]).
pub const MAX_READERS: usize = 1_024;

/// The WebSocket's code for what cannot be read, or for another version: do not dial again
/// before something has changed.
pub const MALFORMED: u16 = 1002;
/// The WebSocket's code for what is beyond its bound.
pub const TOO_LARGE: u16 = 1009;
/// A number was left out on the way: dial again, and everything that is not stored is said again.
pub const GAP: u16 = 4010;
/// A newer connection of the same host took over: do not dial again.
pub const SUPERSEDED: u16 = 4001;
/// The host's credential was revoked: do not dial again.
pub const REVOKED: u16 = 4003;

/// Bytes of a value's JSON, without writing it anywhere.
fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // Maps here have text as keys, and nothing else can fail: beyond every bound, then.
        Err(_) => usize::MAX,
    }
}

fn bounded(what: &'static str, bytes: usize, bound: usize) -> Result<(), Error> {
    if bytes > bound {
        return Err(Error::TooLarge { what, bytes, bound });
    }
    Ok(())
}
