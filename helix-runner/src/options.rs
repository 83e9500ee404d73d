//! What a runner can be told.

use std::{path::PathBuf, time::Duration};

use helix_base::{OutboundOptions, SecretString, millis};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::{
    Error,
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

/// The tunnel to the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunnelOptions {
    /// How often the control plane is asked whether it lives; two questions without an
    /// answer, and it is dialled again. At least 100 ms, and at most 15 s.
    #[serde(rename = "heartbeat_interval_ms", with = "millis")]
    pub heartbeat_interval: Duration,
}

impl Default for TunnelOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
        }
    }
}

impl TunnelOptions {
    /// # Errors
    ///
    /// The heartbeats are too rare or too many.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let heartbeats = Duration::from_millis(100)..=Duration::from_secs(15);
        if heartbeats.contains(&self.heartbeat_interval) {
            return Ok(());
        }
        Err(Error::Option {
            option: "tunnel.heartbeat_interval_ms",
            reason: "it is from 100 to 15000: proxies cut connections that are idle for longer",
        })
    }
}

#[expect(clippy::ref_option, reason = "serde asks for this signature")]
fn redacted<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "[redacted]").serialize(serializer)
}
