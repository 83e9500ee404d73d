//! The configuration: defaults, then the file, then variables, then flags.

use std::path::PathBuf;

use anyhow::Context as _;
use helix_base::{
    OutboundOptions,
    daemon::{Layers, default_data_dir, to_toml},
    telemetry,
};
use helix_sandbox::HostOptions;

use crate::cli;

/// Everything that the daemon can be told.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) host: HostOptions,
    pub(crate) log: telemetry::Options,
}

impl Config {
    /// As it would stand in the file, secrets left out.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        Ok(to_toml(&self.host, &self.log)?)
    }
}

pub(crate) fn resolve(
    flags: &cli::Options,
    command: Option<&cli::Command>,
) -> anyhow::Result<Config> {
    let host = HostOptions {
        data_dir: default_data_dir("helix-sandbox"),
        outbound: OutboundOptions::from_vars(std::env::vars()),
        ..HostOptions::default()
    };
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let stop = matches!(
        command,
        Some(cli::Command::Run {
            stop_sandboxes: true
        })
    );
    let layers = Layers::defaults(&host)
        .file(flags.config.as_deref())
        .variables("HELIX_SANDBOX_")
        .flag("server", flags.server.as_ref())
        .flag("data_dir", path(&flags.data_dir))
        .flag("join_token", flags.join_token.as_ref())
        .flag("credential_file", path(&flags.credential_file))
        .flag("name", flags.name.as_ref())
        .flag("stop_sandboxes", stop.then_some(true))
        .flag(
            "isolation.backend",
            flags.backend.map(helix_sandbox::Backend::from),
        )
        .flag("isolation.subnet", flags.subnet.as_ref())
        .flag("outbound.ca_bundle", path(&flags.ca_bundle))
        .flag(
            "outbound.client_certificate",
            path(&flags.client_certificate),
        )
        .flag("outbound.client_key", path(&flags.client_key))
        .flag("tunnel.heartbeat_interval_ms", flags.tunnel_heartbeat_ms)
        .flag("log.filter", flags.log.as_ref());
    let (mut host, log) = layers.resolve::<HostOptions>()?;
    // The parts of a sandbox are named by absolute paths.
    let folder = &host.data_dir;
    host.data_dir = std::path::absolute(folder)
        .with_context(|| format!("cannot use {} as data directory", folder.display()))?;
    Ok(Config { host, log })
}
