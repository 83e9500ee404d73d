//! What a sandbox host can be told.

use std::{net::SocketAddrV4, path::PathBuf, time::Duration};

use helix_base::{OutboundOptions, SecretString, credential::redacted, millis};
use helix_isolation::lifecycle::Deadlines;
use helix_tunnel::TunnelOptions;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use url::Url;

/// What a sandbox host can be told. Times (`*_ms`) are written in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostOptions {
    /// What to call this host when it registers itself; the machine's name if absent.
    pub name: Option<String>,
    /// Where sandboxes, images and the credential are kept.
    pub data_dir: PathBuf,
    /// The control plane. A host without one is reached only through its router, by
    /// whoever embeds it.
    pub server: Option<Url>,
    /// The credential with which it connects; else what `credential_file` or an earlier
    /// registration says.
    #[serde(serialize_with = "redacted")]
    pub credential: Option<SecretString>,
    /// A file with the credential in it.
    pub credential_file: Option<PathBuf>,
    /// A join token with which it registers itself, if it has no credential.
    #[serde(serialize_with = "redacted")]
    pub join_token: Option<SecretString>,
    /// Whether sandboxes are stopped when the host is. Else they go on, and the host that
    /// is started next finds them.
    pub stop_sandboxes: bool,
    /// More sandboxes than this are refused.
    pub max_sandboxes: usize,
    /// How long a start, a stop and the like may take.
    pub deadlines: Deadlines,
    /// How requests reach what runs inside a sandbox.
    pub relay: RelayOptions,
    /// How the default isolation is set up.
    pub isolation: IsolationOptions,
    /// What the control plane no longer knows is removed after this time.
    #[serde(rename = "unknown_grace_ms", with = "millis")]
    pub unknown_grace: Duration,
    /// The tunnel to the control plane.
    pub tunnel: TunnelOptions,
    /// Proxies and certificates for everything that it dials. Sandboxes get the same.
    pub outbound: OutboundOptions,
    /// Within this time everything has stopped once it is told to.
    #[serde(rename = "shutdown_budget_ms", with = "millis")]
    pub shutdown_budget: Duration,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            name: None,
            data_dir: PathBuf::from("/var/lib/helix-sandbox"),
            server: None,
            credential: None,
            credential_file: None,
            join_token: None,
            stop_sandboxes: false,
            max_sandboxes: 1_000,
            deadlines: Deadlines::default(),
            relay: RelayOptions::default(),
            isolation: IsolationOptions::default(),
            unknown_grace: Duration::from_secs(600),
            tunnel: TunnelOptions::default(),
            outbound: OutboundOptions::default(),
            shutdown_budget: Duration::from_secs(30),
        }
    }
}

/// How the default isolation is set up: see [`crate::isolation`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IsolationOptions {
    /// What makes the sandboxes.
    pub backend: Backend,
    /// The socket of the Docker daemon that makes them, with the backend `docker`;
    /// `/var/run/docker.sock` if absent.
    pub docker_socket: Option<PathBuf>,
    /// The first id of the machine that is given to sandboxes, 65,536 to each.
    pub first_id: Option<u32>,
    /// The program that serves desktops; `helix-media` beside this one if absent, where it is
    /// there.
    pub media: Option<PathBuf>,
    /// How many empty disks are made before a sandbox asks for one, at most 255, each a loop
    /// device; 4 if absent. With fewer, sandboxes that start at once wait for theirs.
    pub spare_disks: Option<u8>,
    /// The network that sandboxes have their addresses from; one that the machine does not
    /// use otherwise if absent.
    pub subnet: Option<Ipv4Net>,
    /// TCP services on the machine's own addresses, such as `192.0.2.1:443`, that sandboxes
    /// may reach where their policy allows, besides the control plane if it is on one of
    /// them. Its other services are never reached.
    pub services: Vec<SocketAddrV4>,
    /// Networks that no sandbox reaches, whatever its policy.
    pub refused: Vec<Ipv4Net>,
}

/// What makes the sandboxes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Linux namespaces of our own.
    #[default]
    Namespaces,
    /// Containers of the machine's Docker daemon, which can do less.
    Docker,
}

impl Backend {
    /// Its name, as [`Isolation::name`](helix_isolation::Isolation::name) says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Docker => "docker",
        }
    }
}

/// How requests reach what runs inside a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayOptions {
    /// Requests and WebSockets of one sandbox at a time.
    pub requests: usize,
    /// How long it may take from a request to the head of its answer; a program whose
    /// output is not streamed has its head when it ended.
    #[serde(rename = "response_timeout_ms", with = "millis")]
    pub response_timeout: Duration,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            requests: 256,
            response_timeout: Duration::from_secs(3600),
        }
    }
}
