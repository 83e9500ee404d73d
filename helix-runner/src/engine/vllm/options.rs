use serde::{Deserialize, Serialize};

/// How vLLM is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VllmOptions {
    /// The program and its first arguments; the model's folder and the rest follow.
    pub command: Vec<String>,
}

impl Default for VllmOptions {
    fn default() -> Self {
        Self {
            command: vec!["vllm".to_owned(), "serve".to_owned()],
        }
    }
}
