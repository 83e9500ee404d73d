use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How llama.cpp's server is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlamaCppOptions {
    /// The server's program: a name to look for, or a path.
    pub program: PathBuf,
    /// The server to be used where there is no such program.
    pub managed: ManagedOptions,
}

impl Default for LlamaCppOptions {
    fn default() -> Self {
        Self {
            program: PathBuf::from("llama-server"),
            managed: ManagedOptions::default(),
        }
    }
}

/// How the managed server is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManagedOptions {
    /// Where it is installed; in the runner's data directory if absent.
    pub folder: Option<PathBuf>,
    /// The Python to make the environment with; it needs the `venv` module.
    pub python: PathBuf,
    /// What `pip` is to install. The default is a build for the processor; for
    /// GPUs see the package's own documentation, and `pip_args`.
    pub package: String,
    /// More arguments for `pip install`, such as an index with GPU builds.
    /// Proxies and `pip`'s own configuration are honoured without.
    pub pip_args: Vec<String>,
}

impl Default for ManagedOptions {
    fn default() -> Self {
        Self {
            folder: None,
            python: PathBuf::from("python3"),
            package: "xllamacpp==2026.10.11549".to_owned(),
            pip_args: Vec::new(),
        }
    }
}
