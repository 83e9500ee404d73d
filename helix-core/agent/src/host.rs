//! The host's side of a thread: what the agent's process is told, what the control plane is
//! told, and what is kept on the host's disk until the control plane has it.
//!
//! [`Thread`] is the machine. It is told what came ([`Input`]) and answers with a
//! [`Step`](crate::Step): [`Change`]s to store, then [`Effect`]s. [`Saved`] is what is stored;
//! [`Saved::apply`] is the only thing that changes it, in the machine and in whatever stores it.
//! [`Threads`] are all threads of a host, and hear what comes on its connection.

mod agent;
mod journal;
mod saved;
mod thread;
mod threads;

pub use agent::{Fact, Tell};
pub use saved::{Agent, Change, Record, Saved, Underway, Wish};
pub use thread::{Effect, Input, Limits, Thread};
pub use threads::{Steps, Threads};
