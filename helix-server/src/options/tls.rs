//! HTTPS on the control plane itself.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::wire;

/// HTTPS on the control plane itself, from PEM files that may be renewed at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificate, followed by the ones between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whether clients show certificates too. It is about every connection, those of
    /// browsers included.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// The authorities that issue the clients' certificates.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// How often the files are looked at for a change.
    #[serde(
        default = "every_few_seconds",
        rename = "reload_interval_ms",
        with = "wire::millis"
    )]
    pub reload_interval: Duration,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Off,
    /// A client may show one; it must be valid then.
    Optional,
    /// No connection without a valid one.
    Required,
}

impl TlsOptions {
    /// A certificate and its key; clients show none.
    pub const fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            client_certificates: ClientCertificates::Off,
            client_ca: None,
            reload_interval: every_few_seconds(),
        }
    }
}

const fn every_few_seconds() -> Duration {
    Duration::from_secs(5)
}
