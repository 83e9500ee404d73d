//! The live-update WebSocket of a user, `/api/v1/ws/user`: JSON text messages.
//!
//! The client says which sessions it follows; the control plane sends their
//! events, and tells when lists changed that the user may see. Lists are then
//! fetched again by REST: bulk data does not cross this socket.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    SandboxId, SessionId,
    sandbox::Sandbox,
    session::{Session, SessionEvent},
};

/// From the browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Send this session's events after `after`, then follow it.
    Follow {
        /// The session.
        session_id: SessionId,
        /// The last event already known; 0 for all.
        after: u64,
    },
    /// No longer follow it.
    Unfollow {
        /// The session.
        session_id: SessionId,
    },
}

/// To the browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// An event of a followed session.
    SessionEvent {
        /// The session.
        session_id: SessionId,
        /// The event.
        event: SessionEvent,
    },
    /// One of the user's sessions was made or changed.
    SessionChanged {
        /// The session as it is now.
        session: Session,
    },
    /// One of the user's sessions was deleted.
    SessionDeleted {
        /// The session.
        session_id: SessionId,
    },
    /// Runners or instances changed (admins only).
    RunnersChanged,
    /// Models changed.
    ModelsChanged,
    /// The queue changed (admins only).
    QueueChanged,
    /// One of the user's sandboxes was made or changed.
    SandboxChanged {
        /// The sandbox as it is now.
        sandbox: Box<Sandbox>,
    },
    /// One of the user's sandboxes was deleted.
    SandboxDeleted {
        /// The sandbox.
        sandbox_id: SandboxId,
    },
    /// What is shared with the user, or how, changed: lists and sessions are fetched again.
    SharesChanged,
    /// The user's snapshots changed.
    SnapshotsChanged,
    /// Sandbox hosts, or sandboxes on them, changed (admins only).
    SandboxHostsChanged,
    /// A message could not be acted on.
    Error {
        /// The session it named, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
        /// Why not.
        message: String,
    },
}
