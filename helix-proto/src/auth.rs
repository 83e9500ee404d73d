//! Accounts, sign-in and API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApiKeyId, UserId};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Chats, and owns sessions and API keys.
    Member,
    /// Also manages runners, models, users and the queue.
    Admin,
}

/// What the sign-in page needs to know before anyone signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthConfig {
    /// Nobody has an account yet: the one-time set-up link makes the first admin.
    pub setup_required: bool,
    /// Whether people may register themselves.
    pub registration_open: bool,
}

/// Registers an account; with `setup_token`, the first admin.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RegisterRequest {
    /// An email address; it is the sign-in name. At most 254 characters.
    pub email: String,
    /// What to call the person. 1 to 100 characters.
    pub name: String,
    /// 10 to 256 characters.
    pub password: String,
    /// The token of the one-time set-up link, for the first admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_token: Option<String>,
}

/// Signs in with a password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SignInRequest {
    /// The account's email address.
    pub email: String,
    /// The account's password.
    pub password: String,
}

/// Signs in with a one-time link.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RedeemLinkRequest {
    /// The token of the link.
    pub token: String,
}

/// A one-time sign-in link, shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SignInLink {
    /// The whole link, to open in a browser.
    pub url: String,
    /// When it stops working if nobody used it.
    pub expires_at_ms: u64,
}

/// Changes one's own password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangePasswordRequest {
    /// The password until now.
    pub current_password: String,
    /// 10 to 256 characters.
    pub new_password: String,
}

/// Changes one's own account; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateUserRequest {
    /// What to call the person. 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The sign-in name.
    pub email: String,
    /// What to call the person.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When the account was made.
    pub created_at_ms: u64,
}

/// What a request with an API key may do. A key never allows more than its
/// owner may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The OpenAI-compatible API under `/v1`.
    Inference,
    /// Sessions, their messages and events.
    Sessions,
    /// Sandboxes, what runs in them, and snapshots.
    Sandboxes,
    /// Everything its owner may do in `/api/v1`, administration included.
    Admin,
}

/// Makes an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateApiKeyRequest {
    /// What the key is for. 1 to 100 characters.
    pub name: String,
    /// What it may do. At least one.
    pub scopes: Vec<Scope>,
    /// When it stops working; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// The first characters of the secret, to tell keys apart.
    pub hint: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at_ms: Option<u64>,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

/// A new API key: the only answer that carries its secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// The key.
    pub api_key: ApiKey,
    /// Its secret, `hx_…`, shown this once.
    pub secret: String,
}

crate::redact::redacted_debug! {
    RegisterRequest { email, name }
    SignInRequest { email }
    RedeemLinkRequest {}
    SignInLink { expires_at_ms }
    ChangePasswordRequest {}
    CreatedApiKey { api_key }
}
