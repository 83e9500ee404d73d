//! Ollama: one `ollama serve` for each instance, so that each has a bounded
//! place and stops as a whole. Models are kept in one folder for all.

mod api;
mod command;
mod options;

use std::path::PathBuf;

use async_trait::async_trait;
use helix_proto::{
    model::{EngineKind, ModelSource},
    runner::EngineInfo,
};

use super::{
    Capability, Endpoint, Engine, Error, Job, Plan, ProgressSink, Readiness, SearchPath, Weights,
};

pub use options::OllamaOptions;

/// The `ollama` engine.
#[derive(Debug)]
pub struct Ollama {
    options: OllamaOptions,
    search: SearchPath,
    models: PathBuf,
}

impl Ollama {
    /// The engine; `models` is where it keeps what it pulled, unless the
    /// options say otherwise.
    pub fn new(options: OllamaOptions, search: SearchPath, models: PathBuf) -> Self {
        let models = options.models.clone().unwrap_or(models);
        Self {
            options,
            search,
            models,
        }
    }

    fn program(&self) -> Result<PathBuf, Error> {
        self.search.find(&self.options.program).ok_or_else(|| {
            Error::Missing(format!(
                "`{}` was not found; install Ollama, or set `engines.ollama.program`",
                self.options.program.display(),
            ))
        })
    }
}

fn name_of(job: &Job) -> Result<&str, Error> {
    match job.source() {
        ModelSource::Ollama { name } => Ok(name),
        _ => Err(Error::Unsupported(
            "Ollama runs models of an Ollama registry: give a name".to_owned(),
        )),
    }
}

#[async_trait]
impl Engine for Ollama {
    fn capability(&self) -> Capability {
        Capability {
            kind: EngineKind::Ollama,
            process: true,
            from_file: false,
            from_hugging_face: false,
            from_ollama: true,
            from_url: false,
            several_devices: true,
        }
    }

    async fn detect(&self) -> EngineInfo {
        let (available, detail) = match self.program() {
            Ok(program) => (true, program.display().to_string()),
            Err(error) => (false, error.to_string()),
        };
        EngineInfo {
            kind: EngineKind::Ollama,
            available,
            detail,
        }
    }

    /// Ollama pulls through its own server, so that is left to `load`.
    async fn fetch(&self, job: &Job, _progress: &ProgressSink) -> Result<Weights, Error> {
        name_of(job).map(|_| Weights::Engines)
    }

    async fn plan(&self, job: &Job, _weights: &Weights, port: u16) -> Result<Plan, Error> {
        command::plan(self.program()?, job, name_of(job)?, &self.models, port)
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<Readiness, Error> {
        endpoint.probe("/api/version").await
    }

    async fn load(
        &self,
        job: &Job,
        endpoint: &Endpoint,
        progress: &ProgressSink,
    ) -> Result<(), Error> {
        let name = name_of(job)?;
        if !api::has(endpoint, name).await {
            api::pull(endpoint, name, self.options.stall_timeout, progress).await?;
        }
        api::load(endpoint, name, progress).await
    }

    async fn memory(&self, endpoint: &Endpoint) -> Option<u64> {
        api::memory(endpoint).await
    }
}
