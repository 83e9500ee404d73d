//! llama.cpp's own server: `llama-server` where the machine has it, else the
//! managed server (see [`managed`]).

mod command;
pub mod managed;
mod options;

use std::path::PathBuf;

use async_trait::async_trait;
use helix_proto::{
    model::{EngineKind, ModelSource},
    runner::EngineInfo,
};

use super::{
    Capability, Endpoint, Engine, Error, Job, Plan, ProgressSink, Readiness, SearchPath, Stage,
    Weights,
};
use crate::sources::{self, Fetcher};

pub use options::{LlamaCppOptions, ManagedOptions};

/// The `llamacpp` engine.
#[derive(Debug)]
pub struct LlamaCpp {
    options: LlamaCppOptions,
    search: SearchPath,
    managed: managed::Managed,
    fetcher: Fetcher,
}

/// The program that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    /// The machine's own `llama-server`.
    Native(PathBuf),
    /// The Python of the managed server.
    Managed(PathBuf),
}

impl LlamaCpp {
    /// The engine; looks for nothing yet.
    pub fn new(
        options: LlamaCppOptions,
        search: SearchPath,
        managed: managed::Managed,
        fetcher: Fetcher,
    ) -> Self {
        Self {
            options,
            search,
            managed,
            fetcher,
        }
    }

    fn server(&self) -> Result<Server, Error> {
        if let Some(program) = self.search.find(&self.options.program) {
            return Ok(Server::Native(program));
        }
        self.managed.python().map(Server::Managed).ok_or_else(|| {
            Error::Missing(format!(
                "`{}` was not found and the managed server is not installed; install llama.cpp, or run `helix-runner engine install llamacpp`",
                self.options.program.display(),
            ))
        })
    }
}

#[async_trait]
impl Engine for LlamaCpp {
    fn capability(&self) -> Capability {
        Capability {
            kind: EngineKind::LlamaCpp,
            process: true,
            from_file: true,
            from_hugging_face: true,
            from_ollama: false,
            from_url: false,
            several_devices: true,
        }
    }

    async fn detect(&self) -> EngineInfo {
        let (available, detail) = match self.server() {
            Ok(Server::Native(program)) => (true, program.display().to_string()),
            Ok(Server::Managed(_)) => (true, format!("managed server, {}", self.managed.package())),
            Err(error) => (false, error.to_string()),
        };
        EngineInfo {
            kind: EngineKind::LlamaCpp,
            available,
            detail,
        }
    }

    async fn fetch(&self, job: &Job, progress: &ProgressSink) -> Result<Weights, Error> {
        let file = match job.source() {
            ModelSource::File { path } => sources::gguf_file(path.as_ref()).await?,
            ModelSource::HuggingFace {
                repo,
                revision,
                file,
            } => {
                let tell = |done, total| {
                    progress.tell(
                        Stage::Downloading,
                        format!("downloading {repo}"),
                        Some((done, total)),
                    );
                };
                self.fetcher
                    .hugging_face_gguf(repo, revision.as_deref(), file.as_deref(), &tell)
                    .await?
            }
            ModelSource::Ollama { .. } | ModelSource::External { .. } => {
                return Err(Error::Unsupported(
                    "llama.cpp runs GGUF files: give a file or a Hugging Face repository"
                        .to_owned(),
                ));
            }
        };
        Ok(Weights::File(file))
    }

    async fn plan(&self, job: &Job, weights: &Weights, port: u16) -> Result<Plan, Error> {
        let Weights::File(file) = weights else {
            return Err(Error::Unsupported(
                "llama.cpp runs a GGUF file, not a folder".to_owned(),
            ));
        };
        let header = sources::gguf_header(file).await?;
        command::plan(&self.server()?, job, file, &header, port)
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<Readiness, Error> {
        endpoint.probe("/health").await
    }
}
