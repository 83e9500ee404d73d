use std::time::Duration;

use helix_base::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use helix_base::millis;

/// Which hub weights are fetched from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubOptions {
    /// The hub, or a mirror that speaks its API.
    pub endpoint: Url,
    /// A token for what is not public. Never sent to another host than the
    /// endpoint's.
    #[serde(serialize_with = "redacted")]
    pub token: Option<SecretString>,
    /// A download that brings no byte for this long is begun again where it was.
    #[serde(rename = "stall_timeout_ms", with = "millis")]
    pub stall_timeout: Duration,
    /// How often it is begun again without having brought a byte.
    pub retries: u32,
    /// What a download must leave free on the disk.
    pub keep_free_bytes: u64,
}

impl Default for HubOptions {
    fn default() -> Self {
        let endpoint = Url::parse("https://huggingface.co");
        Self {
            endpoint: endpoint.unwrap_or_else(|_| unreachable!("the URL above is well formed")),
            token: None,
            stall_timeout: Duration::from_secs(60),
            retries: 5,
            keep_free_bytes: 1 << 30,
        }
    }
}

#[expect(clippy::ref_option, reason = "serde asks for this signature")]
fn redacted<S: Serializer>(token: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(|_| "[redacted]").serialize(serializer)
}
