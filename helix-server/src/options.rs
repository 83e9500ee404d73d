//! Every option of the control plane, with its default.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use helix_base::{OutboundOptions, SecretString, telemetry};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

mod sandboxes;
mod secrets;
mod tls;
mod tunnel;
mod wire;

pub use sandboxes::SandboxOptions;
pub use secrets::SecretOptions;
pub use tls::{ClientCertificates, TlsOptions};
pub use tunnel::TunnelOptions;

/// How the control plane runs. Fields with a unit in their name on the wire
/// (`*_ms`) are milliseconds there and [`Duration`]s here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where the database (if SQLite) and the set-up link are kept.
    pub data_dir: PathBuf,
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How people reach the control plane, for links and for the check of a
    /// browser's `Origin`; `http://` and the listen address if absent.
    pub public_url: Option<Url>,
    /// `postgres://…` or `sqlite://…`; `helix.db` in the data directory if absent.
    #[serde(serialize_with = "wire::redacted")]
    pub database_url: Option<SecretString>,
    /// Connections to the database.
    pub database_connections: u32,
    /// Proxies the web app from a development server instead of serving the
    /// built one.
    pub frontend_url: Option<Url>,
    /// Whether people may register themselves. The first admin always comes by
    /// the one-time set-up link.
    pub registration_open: bool,
    /// Reverse proxies whose `X-Forwarded-For` is believed, as addresses or CIDRs.
    pub trusted_proxies: Vec<IpNet>,
    /// Serves HTTPS with this certificate; plain HTTP if absent.
    pub tls: Option<TlsOptions>,
    /// Runners' tunnels.
    pub tunnel: TunnelOptions,
    /// How long a shutdown may take in all.
    #[serde(rename = "shutdown_budget_ms", with = "wire::millis")]
    pub shutdown_budget: Duration,
    /// The queue of inference requests.
    pub queue: QueueOptions,
    /// Bounds on what comes in.
    pub limits: LimitOptions,
    /// Bounds on sessions and turns.
    pub sessions: SessionOptions,
    /// Sandboxes, and what one user may have of them.
    pub sandboxes: SandboxOptions,
    /// What secrets in the database are sealed with.
    pub secrets: SecretOptions,
    /// Other places that answer inference requests, reached by URL.
    pub providers: Vec<ProviderOptions>,
    /// How the control plane dials out.
    pub outbound: OutboundOptions,
    /// How the daemon logs. Who embeds a control plane starts `tracing` as they
    /// like.
    pub log: telemetry::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("helix-data"),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            public_url: None,
            database_url: None,
            database_connections: 8,
            frontend_url: None,
            registration_open: false,
            trusted_proxies: Vec::new(),
            tls: None,
            tunnel: TunnelOptions::default(),
            shutdown_budget: Duration::from_secs(30),
            queue: QueueOptions::default(),
            limits: LimitOptions::default(),
            sessions: SessionOptions::default(),
            sandboxes: SandboxOptions::default(),
            secrets: SecretOptions::default(),
            providers: Vec::new(),
            outbound: OutboundOptions::default(),
            log: telemetry::Options::default(),
        }
    }
}

/// The queue of inference requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueOptions {
    /// How many requests may wait; one more is answered 429.
    pub capacity: u32,
    /// How many requests of one user may wait; one more is answered 429.
    pub capacity_per_user: u32,
    /// How long a request may wait for an instance.
    #[serde(rename = "deadline_ms", with = "wire::millis")]
    pub deadline: Duration,
    /// How long an engine or provider may take from the request to the
    /// headers of its answer.
    #[serde(rename = "upstream_timeout_ms", with = "wire::millis")]
    pub upstream_timeout: Duration,
    /// How long an engine or provider may say nothing in the middle of an answer.
    #[serde(rename = "upstream_silence_ms", with = "wire::millis")]
    pub upstream_silence: Duration,
    /// How long a client may take nothing of an answer before it loses its place.
    #[serde(rename = "client_stall_ms", with = "wire::millis")]
    pub client_stall: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            capacity: 1_000,
            capacity_per_user: 200,
            deadline: Duration::from_secs(600),
            upstream_timeout: Duration::from_secs(300),
            upstream_silence: Duration::from_secs(300),
            client_stall: Duration::from_secs(60),
        }
    }
}

/// Bounds on what comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {
    /// Connections at once; more wait to be accepted.
    pub connections: u32,
    /// The largest body under `/v1`.
    pub inference_body_bytes: usize,
    /// How long a client may take to send a request's headers.
    #[serde(rename = "header_timeout_ms", with = "wire::millis")]
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    #[serde(rename = "body_timeout_ms", with = "wire::millis")]
    pub body_timeout: Duration,
    /// Live streams (events and WebSockets) of one user at once.
    pub streams_per_user: u32,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            connections: 10_000,
            inference_body_bytes: 32 << 20,
            header_timeout: Duration::from_secs(20),
            body_timeout: Duration::from_secs(120),
            streams_per_user: 64,
        }
    }
}

/// Bounds on sessions and turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionOptions {
    /// The longest answer; a longer one fails the turn.
    pub answer_bytes: usize,
    /// How long the model may send nothing in the middle of an answer.
    #[serde(rename = "silence_timeout_ms", with = "wire::millis")]
    pub silence_timeout: Duration,
    /// How long a turn may take in all.
    #[serde(rename = "turn_timeout_ms", with = "wire::millis")]
    pub turn_timeout: Duration,
    /// How long parts of an answer are gathered before they are stored and
    /// sent to readers together.
    #[serde(rename = "batch_ms", with = "wire::millis")]
    pub batch: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            answer_bytes: 4 << 20,
            silence_timeout: Duration::from_secs(120),
            turn_timeout: Duration::from_secs(3_600),
            batch: Duration::from_millis(30),
        }
    }
}

/// Which dialect a provider speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's API: `POST {base_url}/chat/completions`, `Authorization: Bearer`.
    #[default]
    Openai,
    /// Anthropic's own endpoint for OpenAI's dialect.
    Anthropic,
}

/// Another place that answers inference requests, reached by URL.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderOptions {
    /// Its name; `name/model` reaches it.
    pub name: String,
    /// Its base URL, up to and including `/v1`.
    pub base_url: Url,
    /// Which dialect it speaks.
    #[serde(default)]
    pub kind: ProviderKind,
    /// The credential to send, if it wants one.
    #[serde(default, serialize_with = "wire::redacted")]
    pub api_key: Option<SecretString>,
    /// The models it offers; any name is passed on if empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// How long it may take from the request to the headers of its answer;
    /// as the queue's `upstream_timeout_ms` if absent.
    #[serde(default, rename = "timeout_ms", with = "wire::optional_millis")]
    pub timeout: Option<Duration>,
}

impl Options {
    /// How people reach the control plane, given the address it listens on.
    pub fn public_url_at(&self, listening: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = self
            .public_url
            .as_ref()
            .map_or_else(|| format!("{scheme}://{listening}"), ToString::to_string);
        url.trim_end_matches('/').to_owned()
    }

    /// Whether browsers reach the control plane by HTTPS.
    pub fn is_https(&self) -> bool {
        self.public_url
            .as_ref()
            .map_or(self.tls.is_some(), |url| url.scheme() == "https")
    }
}
