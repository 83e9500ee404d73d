//! The configuration: defaults, then the file, then variables, then flags.

use std::path::PathBuf;

use anyhow::Context as _;
use helix_base::{
    OutboundOptions,
    daemon::{Layers, default_data_dir, to_toml},
    telemetry,
};
use helix_runner::RunnerOptions;

use crate::cli;

/// Everything that the daemon can be told.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) runner: RunnerOptions,
    pub(crate) log: telemetry::Options,
}

impl Config {
    /// As it would stand in the file, secrets left out.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        Ok(to_toml(&self.runner, &self.log)?)
    }
}

pub(crate) fn resolve(flags: &cli::Options) -> anyhow::Result<Config> {
    let runner = RunnerOptions {
        data_dir: default_data_dir("helix-runner"),
        outbound: OutboundOptions::from_vars(std::env::vars()),
        ..RunnerOptions::default()
    };
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let layers = Layers::defaults(&runner)
        .file(flags.config.as_deref())
        .variables("HELIX_RUNNER_")
        .flag("server", flags.server.as_ref())
        .flag("data_dir", path(&flags.data_dir))
        .flag("join_token", flags.join_token.as_ref())
        .flag("credential_file", path(&flags.credential_file))
        .flag("name", flags.name.as_ref())
        .flag("outbound.ca_bundle", path(&flags.ca_bundle))
        .flag(
            "outbound.client_certificate",
            path(&flags.client_certificate),
        )
        .flag("outbound.client_key", path(&flags.client_key))
        .flag("tunnel.heartbeat_interval_ms", flags.tunnel_heartbeat_ms)
        .flag("log.filter", flags.log.as_ref());
    let (mut runner, log) = layers.resolve::<RunnerOptions>()?;
    // Engines and weights are named by absolute paths.
    let folder = &runner.data_dir;
    runner.data_dir = std::path::absolute(folder)
        .with_context(|| format!("cannot use {} as data directory", folder.display()))?;
    Ok(Config { runner, log })
}
