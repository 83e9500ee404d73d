//! What waits, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{InstanceId, RequestId, RunnerId, UserId};

/// Who goes first. Within a priority, who waited longest.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Work that may wait: header `x-helix-priority: low`.
    Low,
    /// The rest.
    #[default]
    Normal,
    /// Someone is looking at it: chats in the web app.
    High,
}

/// The queue and what is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Waiting requests, in the order in which they would be served.
    pub waiting: Vec<QueuedRequest>,
    /// Requests that instances are answering.
    pub running: Vec<RunningRequest>,
    /// How many may wait.
    pub capacity: u32,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuedRequest {
    /// Its id.
    pub id: RequestId,
    /// The model it asks for.
    pub model: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it came.
    pub queued_at_ms: u64,
    /// When it will be given up.
    pub deadline_at_ms: u64,
    /// For people: what it waits for.
    pub reason: String,
}

/// A request that an instance is answering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningRequest {
    /// Its id.
    pub id: RequestId,
    /// The model it asked for.
    pub model: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// When it came.
    pub queued_at_ms: u64,
    /// When an instance took it.
    pub started_at_ms: u64,
    /// The runner that answers it.
    pub runner_id: RunnerId,
    /// The instance that answers it.
    pub instance_id: InstanceId,
}
