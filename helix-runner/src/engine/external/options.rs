use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, Serializer};

/// What external servers ask for.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalOptions {
    /// API keys by host name; sent as bearer tokens to that host only.
    #[serde(serialize_with = "redacted")]
    pub keys: BTreeMap<String, String>,
}

impl fmt::Debug for ExternalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalOptions")
            .field("keys", &self.keys.keys())
            .finish()
    }
}

fn redacted<S: Serializer>(
    keys: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(keys.keys().map(|host| (host, "[redacted]")))
}
