//! A server that someone else runs, reached by URL from this machine.

mod options;

use async_trait::async_trait;
use helix_proto::{
    model::{EngineKind, ModelSource},
    runner::EngineInfo,
};
use url::Url;

use super::{Capability, Endpoint, Engine, Error, Job, Plan, ProgressSink, Readiness, Weights};

pub use options::ExternalOptions;

/// The `external` engine.
#[derive(Debug)]
pub struct External {
    options: ExternalOptions,
}

impl External {
    /// The engine.
    pub const fn new(options: ExternalOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Engine for External {
    fn capability(&self) -> Capability {
        Capability {
            kind: EngineKind::External,
            process: false,
            from_file: false,
            from_hugging_face: false,
            from_ollama: false,
            from_url: true,
            several_devices: false,
        }
    }

    async fn detect(&self) -> EngineInfo {
        let detail = "any OpenAI-compatible server that this machine can reach".to_owned();
        EngineInfo {
            kind: EngineKind::External,
            available: true,
            detail,
        }
    }

    async fn fetch(&self, job: &Job, _progress: &ProgressSink) -> Result<Weights, Error> {
        server_of(job).map(|_| Weights::Engines)
    }

    async fn plan(&self, job: &Job, _weights: &Weights, _port: u16) -> Result<Plan, Error> {
        let (url, model) = server_of(job)?;
        let key = url
            .host_str()
            .and_then(|host| self.options.keys.get(host))
            .cloned();
        Ok(Plan {
            process: None,
            url,
            key: key.map(Into::into),
            engine_model: model.to_owned(),
        })
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<Readiness, Error> {
        // The one page that every OpenAI-compatible server has.
        endpoint.probe("/v1/models").await
    }
}

/// Where the server is, and the model's name there.
fn server_of(job: &Job) -> Result<(Url, &str), Error> {
    let ModelSource::External { url, model } = job.source() else {
        return Err(Error::Unsupported(
            "an external engine is reached by a URL: give one".to_owned(),
        ));
    };
    let parsed = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let parsed = parsed.filter(|url| url.has_host() && url.username().is_empty());
    let wrong = || {
        Error::Unsupported(format!(
            "`{url}` is not an http or https URL without user name"
        ))
    };
    Ok((
        parsed.ok_or_else(wrong)?,
        model.as_deref().unwrap_or(&job.start.model_name),
    ))
}
