//! What secrets are sealed with.

use std::path::PathBuf;

use helix_base::SecretString;
use serde::{Deserialize, Serialize};

use super::wire;

/// What secrets in the database are sealed with: 32 random bytes in base64, as
/// `openssl rand -base64 32` makes them. Several, separated by white space, are
/// for a change of keys: the first seals, all of them open.
///
/// With neither, a key is made in `secrets.key` in the data directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretOptions {
    /// The file with the keys.
    pub key_file: Option<PathBuf>,
    /// The keys themselves, instead of a file.
    #[serde(serialize_with = "wire::redacted")]
    pub key: Option<SecretString>,
}
