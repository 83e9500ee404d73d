//! The control plane's side: a conversation with an agent, from the prompt that joins the queue
//! to the end that everybody reads.
//!
//! [`Conversation`] is the machine. It answers with a [`Step`](crate::Step): [`Change`]s to
//! store in one transaction, then [`Effect`]s. [`Saved`] is what is stored, and
//! [`Saved::apply`] the only thing that changes it: each change is a row or two.

mod conversation;
mod saved;

pub use conversation::{Act, Conversation, Effect, Limits, Refusal};
pub use saved::{Change, Permission, Saved, Thread};
