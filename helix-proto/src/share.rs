//! Sessions that others see or drive, too.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ShareId, UserId, sandbox::given};

/// What a session is shared for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ShareRight {
    /// To see it as it goes: its log, and of its sandbox the desktop, the changes, and the files
    /// below the agent's directory.
    Read,
    /// And to prompt, to answer, to interrupt, and to use its sandbox.
    Drive,
}

/// A share of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionShare {
    /// Its id.
    pub id: ShareId,
    /// What for.
    pub right: ShareRight,
    /// Whether it is a link, which whoever is signed in may take.
    pub is_link: bool,
    /// Whom it is with: the one that was named, or those who took the link.
    pub people: Vec<SharePerson>,
    /// When it ends by itself; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// When it was made.
    pub created_at_ms: u64,
}

/// Somebody whom a session is shared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharePerson {
    /// Who.
    pub user_id: UserId,
    /// The name.
    pub name: String,
    /// The email address.
    pub email: String,
}

/// Shares a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateShareRequest {
    /// What for.
    pub right: ShareRight,
    /// With whom: the email address of an account here. With whoever is signed in and has the
    /// link, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// After how many milliseconds it ends: a minute to ten years. Never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// A share that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedShare {
    /// The share.
    pub share: SessionShare,
    /// Of a link, where it leads: it is not shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

crate::redact::redacted_debug! {
    CreatedShare { share }
}

/// Changes a share; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateShareRequest {
    /// What for, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<ShareRight>,
    /// After how many milliseconds from now it ends; `null` for never.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u64>)]
    pub ttl_ms: Option<Option<u64>>,
}

/// Takes a link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeShareRequest {
    /// The last part of the link's address.
    pub token: String,
}

crate::redact::redacted_debug! {
    TakeShareRequest {}
}

/// How a session is shared with somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedWith {
    /// What for.
    pub right: ShareRight,
    /// Whose the session is.
    pub owner: String,
}
