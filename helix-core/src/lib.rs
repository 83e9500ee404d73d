//! The reusable concerns of Helix behind one name.
//!
//! Each is a crate of its own and can be used alone; none knows another but [`base`] and the
//! types on the wire.
//!
//! - [`agent`]: turns of agents and of chats, the queue of prompts, and what hosts and
//!   control plane keep of each other until it is stored: pure state machines.
//! - [`base`]: errors that say whether to retry, task groups with one staged shutdown,
//!   clock, secrets, backoff, and the one factory for everything that dials out.
//! - [`dialects`]: the APIs that agents speak, OpenAI's Responses and Anthropic's Messages,
//!   translated to what engines speak: pure.
//! - [`isolation`]: sandboxes with their network, names, files, terminals and Docker
//!   daemon, behind one trait for whatever makes them.
//! - [`scheduler`]: which model runs where, and which request goes when: a pure state
//!   machine.
//! - [`stream`]: desktops as they are watched and driven: encoders, fan-out, pacing, input,
//!   clipboard.
//! - [`tunnel`]: HTTP to machines that cannot be reached, over a connection that they
//!   dial.
//!
//! What joins them, and names real engines, devices and databases, are the assemblies:
//! `helix-runner`, `helix-sandbox` and `helix-server`.

pub use helix_agent as agent;
pub use helix_base as base;
pub use helix_dialects as dialects;
pub use helix_isolation as isolation;
pub use helix_scheduler as scheduler;
pub use helix_stream as stream;
pub use helix_tunnel as tunnel;
