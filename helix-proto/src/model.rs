//! Registered models: where their weights come from and how they are run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ModelId;

/// The program that runs a model.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// llama.cpp's `llama-server`.
    LlamaCpp,
    /// vLLM's OpenAI-compatible server.
    Vllm,
    /// Ollama, one `ollama serve` for each instance.
    Ollama,
    /// A server that someone else runs, reached by URL from the runner.
    External,
}

impl EngineKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama_cpp",
            Self::Vllm => "vllm",
            Self::Ollama => "ollama",
            Self::External => "external",
        }
    }
}

/// Where a model's weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ModelSource {
    /// A file (GGUF) or folder (safetensors) on the runner's own disk.
    File {
        /// An absolute path.
        path: String,
    },
    /// A repository on the Hugging Face hub or a mirror of it.
    HuggingFace {
        /// `owner/name`.
        repo: String,
        /// A branch, tag or commit; `main` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
        /// One file of it (a GGUF); the whole repository if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// A model of an Ollama registry, `name:tag`.
    Ollama {
        /// The name by which `ollama pull` knows it.
        name: String,
    },
    /// A running OpenAI-compatible server, as the runner reaches it.
    External {
        /// Its base URL, without `/v1`.
        url: String,
        /// The model's name there; the registered name if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
}

/// What can be chosen about how a model runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelSettings {
    /// Tokens of context for one request. 128 to 16,777,216; the model's own
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// Requests served at once by one instance. 1 to 1,024.
    pub parallel: u32,
    /// Devices that one instance is spread over (tensor parallel). 1 to 64.
    pub devices: u32,
    /// How many instances may run at once over all runners. 1 to 1,024.
    pub max_instances: u32,
    /// Bytes needed on each device, to be used instead of the estimate until
    /// it has been measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Stop an instance that had nothing to do for this long; only when the
    /// room is needed, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// How long an instance may take from start to ready, download aside.
    pub ready_timeout_ms: u64,
    /// More arguments for the engine's command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_args: Vec<String>,
    /// More environment for the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engine_env: BTreeMap<String, String>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            context_tokens: None,
            parallel: 4,
            devices: 1,
            max_instances: 8,
            memory_bytes: None,
            idle_timeout_ms: None,
            ready_timeout_ms: 600_000,
            engine_args: Vec::new(),
            engine_env: BTreeMap::new(),
        }
    }
}

/// Registers a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateModelRequest {
    /// The name that clients send as `model`. 1 to 200 characters of letters,
    /// digits, `.`, `_`, `-`, `:` and `/`.
    pub name: String,
    /// For people: what it is. At most 1,000 characters.
    #[serde(default)]
    pub description: String,
    /// The program that runs it.
    pub engine: EngineKind,
    /// Where its weights come from.
    pub source: ModelSource,
    /// How it runs.
    #[serde(default)]
    pub settings: ModelSettings,
    /// Whether it answers requests that name no registered model's name
    /// `default`, and is picked first in the web app.
    #[serde(default)]
    pub default: bool,
}

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its id.
    pub id: ModelId,
    /// The name that clients send as `model`.
    pub name: String,
    /// For people: what it is.
    pub description: String,
    /// The program that runs it.
    pub engine: EngineKind,
    /// Where its weights come from.
    pub source: ModelSource,
    /// How it runs.
    pub settings: ModelSettings,
    /// Whether it is the default model.
    pub default: bool,
    /// When it was registered.
    pub created_at_ms: u64,
    /// What one instance needs, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ModelMemory>,
    /// Instances that are ready now.
    pub ready_instances: u32,
    /// Instances that are downloading or starting now.
    pub starting_instances: u32,
}

/// What one instance of a model needs on each device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelMemory {
    /// Bytes on each device.
    pub bytes_per_device: u64,
    /// How that number came about.
    pub basis: MemoryBasis,
}

/// How a memory figure came about; later ones replace earlier ones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MemoryBasis {
    /// From the header of the weights.
    Estimated,
    /// Set by whoever registered the model.
    Configured,
    /// The highest use that was seen.
    Measured,
}

/// Where else a model name may lead: a provider reached by URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// Its name; `name/model` reaches it.
    pub name: String,
    /// Its base URL.
    pub base_url: String,
    /// The models it is configured to offer; empty if any name is passed on.
    pub models: Vec<String>,
}
