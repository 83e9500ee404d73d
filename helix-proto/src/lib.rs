//! What crosses a wire in Helix: typed ids, REST types, the OpenAI types the
//! control plane looks into, the messages between control plane and runner, and those of
//! desktops ([`desktop`]).
//!
//! No I/O, no clock, no async runtime: every assembly, and any client written
//! in Rust, can depend on this crate alone.
//!
//! Conventions on the wire: JSON, `snake_case`, times as milliseconds since the
//! Unix epoch (`*_at_ms`), durations as milliseconds (`*_ms`), sizes in bytes
//! (`*_bytes`), ids as `prefix_ULID`.

pub mod agents;
pub mod auth;
pub mod desktop;
pub mod error;
pub mod fleet;
pub mod id;
pub mod live;
pub mod model;
pub mod openai;
pub mod page;
pub mod queue;
mod redact;
pub mod runner;
pub mod sandbox;
pub mod secret;
pub mod session;
pub mod share;
pub mod status;
pub mod tunnel;

pub use error::{ApiError, ErrorCode};
pub use id::{
    ApiKeyId, ExecId, InstanceId, JoinTokenId, ModelId, RequestId, RunnerId, SandboxHostId,
    SandboxId, SessionId, ShareId, SnapshotId, TerminalId, ThreadId, TurnId, TypedId, UserId,
};
