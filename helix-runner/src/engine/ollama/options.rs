use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use helix_base::millis;

/// How Ollama is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OllamaOptions {
    /// Its program: a name to look for, or a path.
    pub program: PathBuf,
    /// Where pulled models are kept; in the runner's data directory if absent.
    pub models: Option<PathBuf>,
    /// A pull that says nothing for this long has failed.
    #[serde(rename = "stall_timeout_ms", with = "millis")]
    pub stall_timeout: Duration,
}

impl Default for OllamaOptions {
    fn default() -> Self {
        Self {
            program: PathBuf::from("ollama"),
            models: None,
            stall_timeout: Duration::from_secs(120),
        }
    }
}
