//! What a runner can be told.

use std::{path::PathBuf, time::Duration};

use helix_base::{OutboundOptions, SecretString, credential::redacted, millis};
use helix_tunnel::TunnelOptions;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    devices::DeviceChoice,
    engine::{
        external::ExternalOptions, llamacpp::LlamaCppOptions, ollama::OllamaOptions,
        vllm::VllmOptions,
    },
    instance::LifeOptions,
    sources::HubOptions,
};

/// What a runner can be told. Times (`*_ms`) are written in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunnerOptions {
    /// What to call this runner when it registers itself; the machine's name
    /// if absent.
    pub name: Option<String>,
    /// Where weights, engines and the credential are kept.
    pub data_dir: PathBuf,
    /// The control plane. A runner without one is reached only through its
    /// router, by whoever embeds it.
    pub server: Option<Url>,
    /// The credential with which it connects; else what `credential_file` or
    /// an earlier registration says.
    #[serde(serialize_with = "redacted")]
    pub credential: Option<SecretString>,
    /// A file with the credential in it.
    pub credential_file: Option<PathBuf>,
    /// A join token with which it registers itself, if it has no credential.
    #[serde(serialize_with = "redacted")]
    pub join_token: Option<SecretString>,
    /// Which devices it offers.
    pub devices: DeviceChoice,
    /// How engines are found and started.
    pub engines: EngineOptions,
    /// Where weights are fetched from.
    pub hub: HubOptions,
    /// How instances are watched, restarted and stopped.
    pub life: LifeOptions,
    /// How requests reach engines.
    pub http: HttpOptions,
    /// The tunnel to the control plane.
    pub tunnel: TunnelOptions,
    /// Proxies and certificates for everything that it dials.
    pub outbound: OutboundOptions,
    /// Within this time everything has stopped once it is told to.
    #[serde(rename = "shutdown_budget_ms", with = "millis")]
    pub shutdown_budget: Duration,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            name: None,
            data_dir: PathBuf::from("/var/lib/helix-runner"),
            server: None,
            credential: None,
            credential_file: None,
            join_token: None,
            devices: DeviceChoice::default(),
            engines: EngineOptions::default(),
            hub: HubOptions::default(),
            life: LifeOptions::default(),
            http: HttpOptions::default(),
            tunnel: TunnelOptions::default(),
            outbound: OutboundOptions::default(),
            shutdown_budget: Duration::from_secs(30),
        }
    }
}

/// How engines are found and started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineOptions {
    /// llama.cpp's server.
    pub llamacpp: LlamaCppOptions,
    /// vLLM.
    pub vllm: VllmOptions,
    /// Ollama.
    pub ollama: OllamaOptions,
    /// Servers that someone else runs.
    pub external: ExternalOptions,
}

/// How requests reach engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// A longer request body is refused.
    pub max_body_bytes: usize,
    /// How long an engine may take from a request to the head of its answer;
    /// one that is not streamed has its head only when it is whole.
    #[serde(rename = "response_timeout_ms", with = "millis")]
    pub response_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            response_timeout: Duration::from_secs(30 * 60),
        }
    }
}
