//! The control plane's side: a conversation with an agent, from the prompt that joins the queue
//! to the end that everybody reads.
//!
//! [`Conversation`] is the machine. It answers with a [`Step`](crate::Step): [`Change`]s to
//! store in one transaction, then [`Effect`]s. [`Saved`] is what is stored, and
//! [`Saved::apply`] the only thing that changes it.
//!
//! Each change is a row or two, so that nothing is written again that did not change:
//!
//! | change | in a database |
//! |---|---|
//! | [`Change::Log`] | the next row of the session's log |
//! | [`Change::Thread`], [`Change::Session`], [`Change::Accepted`], [`Change::Acknowledged`], [`Change::Held`], [`Change::Closed`] | columns of the conversation's row |
//! | [`Change::Command`] | a row by thread and number; [`Change::Accepted`] removes those up to it, and the secrets of [`helix_proto::agents::Open`] with them |
//! | [`Change::Queued`], [`Change::Unqueued`], [`Change::Turn`] | a row for each prompt by its turn's id, unique for ever; a unique partial index over those in flight, one for each session |
//! | [`Change::Asked`], [`Change::Answered`] | a row by thread and request |
//!
//! Events of an agent come in batches, and a batch is one transaction: its log entries and one
//! [`Change::Acknowledged`].

mod conversation;
mod saved;

pub use conversation::{Act, Conversation, Effect, Limits, Refusal};
pub use saved::{Change, Permission, Saved, Stored, Thread};
