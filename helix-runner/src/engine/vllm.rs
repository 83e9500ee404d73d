//! vLLM's OpenAI-compatible server.

mod command;
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

pub use options::VllmOptions;

/// The `vllm` engine.
#[derive(Debug)]
pub struct Vllm {
    options: VllmOptions,
    search: SearchPath,
    fetcher: Fetcher,
}

impl Vllm {
    /// The engine; looks for nothing yet.
    pub const fn new(options: VllmOptions, search: SearchPath, fetcher: Fetcher) -> Self {
        Self {
            options,
            search,
            fetcher,
        }
    }

    /// The configured command, with its program found.
    fn program(&self) -> Result<(PathBuf, &[String]), Error> {
        let missing = |why: String| {
            Error::Missing(format!(
                "{why}; install vLLM, or set `engines.vllm.command`"
            ))
        };
        let (program, args) = self
            .options
            .command
            .split_first()
            .ok_or_else(|| missing("the command for vLLM is empty".to_owned()))?;
        let found = self.search.find(program.as_ref());
        let found = found.ok_or_else(|| missing(format!("`{program}` was not found")))?;
        Ok((found, args))
    }
}

#[async_trait]
impl Engine for Vllm {
    fn capability(&self) -> Capability {
        Capability {
            kind: EngineKind::Vllm,
            process: true,
            from_file: true,
            from_hugging_face: true,
            from_ollama: false,
            from_url: false,
            several_devices: true,
        }
    }

    async fn detect(&self) -> EngineInfo {
        let (available, detail) = match self.program() {
            Ok((program, _)) => (true, program.display().to_string()),
            Err(error) => (false, error.to_string()),
        };
        EngineInfo {
            kind: EngineKind::Vllm,
            available,
            detail,
        }
    }

    async fn fetch(&self, job: &Job, progress: &ProgressSink) -> Result<Weights, Error> {
        let folder = match job.source() {
            ModelSource::File { path } => sources::model_folder(path.as_ref()).await?,
            ModelSource::HuggingFace { file: Some(_), .. } => {
                let why = "vLLM runs a whole repository: leave out `file`";
                return Err(Error::Unsupported(why.to_owned()));
            }
            ModelSource::HuggingFace {
                repo,
                revision,
                file: None,
            } => {
                let tell = |done, total| {
                    progress.tell(
                        Stage::Downloading,
                        format!("downloading {repo}"),
                        Some((done, total)),
                    );
                };
                self.fetcher
                    .hugging_face_folder(repo, revision.as_deref(), &tell)
                    .await?
            }
            ModelSource::Ollama { .. } | ModelSource::External { .. } => {
                let why = "vLLM runs safetensors: give a folder or a Hugging Face repository";
                return Err(Error::Unsupported(why.to_owned()));
            }
        };
        Ok(Weights::Folder(folder))
    }

    async fn plan(&self, job: &Job, weights: &Weights, port: u16) -> Result<Plan, Error> {
        let Weights::Folder(folder) = weights else {
            return Err(Error::Unsupported(
                "vLLM runs a folder of safetensors".to_owned(),
            ));
        };
        let (program, args) = self.program()?;
        command::plan(program, args, job, folder, port)
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<Readiness, Error> {
        endpoint.probe("/health").await
    }
}
