//! Secrets of users: what git servers and providers know them by. A value goes in and
//! never comes out again by the API; sandboxes are given those that their user names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a secret is for, and so how a sandbox is given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum SecretKind {
    /// The password or token for a git server: git in the sandbox has it from its
    /// credential helper, which keeps it in memory.
    Git {
        /// The server, such as `github.com` or `git.example.com:8443`, which is asked by
        /// HTTPS; `http://` in front is for one that has none.
        host: String,
        /// The name that goes with it; `x-access-token` for tokens of GitHub.
        username: String,
    },
    /// The value of a variable, which programs see that start in the sandbox from then on.
    Environment {
        /// The variable's name, such as `ANTHROPIC_API_KEY`.
        variable: String,
    },
}

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name, unique among its user's: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// What it is for.
    pub kind: SecretKind,
    /// Its last characters, to tell it apart; empty where that would say too much.
    pub hint: String,
    /// When it was added.
    pub created_at_ms: u64,
    /// When it last changed.
    pub updated_at_ms: u64,
}

/// Adds a secret, or changes one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecretRequest {
    /// The value: 8 to 65,536 bytes. Shorter ones could not be told apart from other
    /// text, and so not be kept out of logs.
    pub value: String,
    /// What it is for.
    pub kind: SecretKind,
}

crate::redact::redacted_debug! {
    PutSecretRequest { kind }
}

/// Which of its user's secrets a sandbox is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxSecrets {
    /// Their names. At most 32.
    pub names: Vec<String>,
}
