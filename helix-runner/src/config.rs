//! The configuration: defaults, then the file, then variables, then flags.

use std::path::PathBuf;

use anyhow::Context as _;
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
    value::Dict,
};
use helix_base::{OutboundOptions, telemetry};
use helix_runner::RunnerOptions;

use crate::cli;

/// Everything that the daemon can be told.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) runner: RunnerOptions,
    pub(crate) log: telemetry::Options,
}

/// The part of the file that is about the log.
const LOG: &str = "log";

impl Config {
    /// As it would stand in the file, secrets left out.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        let mut table = toml::Table::try_from(&self.runner)?;
        table.insert(LOG.to_owned(), toml::Value::try_from(&self.log)?);
        Ok(toml::to_string_pretty(&table)?)
    }
}

pub(crate) fn resolve(flags: &cli::Options) -> anyhow::Result<Config> {
    let runner = RunnerOptions {
        data_dir: default_data_dir(),
        outbound: OutboundOptions::from_vars(std::env::vars()),
        ..RunnerOptions::default()
    };
    let mut figment = Figment::from(Serialized::defaults(runner))
        .merge(Serialized::default(LOG, telemetry::Options::default()));
    if let Some(path) = &flags.config {
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(
        Env::prefixed("HELIX_RUNNER_")
            .ignore(&["config"])
            .split("__"),
    );
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    for (key, value) in [
        ("server", flags.server.as_ref().map(ToString::to_string)),
        ("data_dir", path(&flags.data_dir)),
        ("join_token", flags.join_token.clone()),
        ("credential_file", path(&flags.credential_file)),
        ("name", flags.name.clone()),
        ("outbound.ca_bundle", path(&flags.ca_bundle)),
        (
            "outbound.client_certificate",
            path(&flags.client_certificate),
        ),
        ("outbound.client_key", path(&flags.client_key)),
        ("log.filter", flags.log.clone()),
    ] {
        if let Some(value) = value {
            figment = figment.merge(Serialized::default(key, value));
        }
    }
    if let Some(interval) = flags.tunnel_heartbeat_ms {
        figment = figment.merge(Serialized::default(
            "tunnel.heartbeat_interval_ms",
            interval,
        ));
    }
    split(&figment)
        .context("the configuration cannot be used")
        .and_then(absolute)
}

/// The library's options refuse keys that they do not know, so the log's, which
/// are the daemon's own, are taken out first.
fn split(figment: &Figment) -> anyhow::Result<Config> {
    let mut all: Dict = figment.extract()?;
    all.remove(LOG);
    Ok(Config {
        runner: Figment::from(Serialized::defaults(all)).extract()?,
        log: figment.extract_inner(LOG)?,
    })
}

/// Engines and weights are named by absolute paths.
fn absolute(mut config: Config) -> anyhow::Result<Config> {
    let folder = &config.runner.data_dir;
    let absolute = std::path::absolute(folder);
    config.runner.data_dir =
        absolute.with_context(|| format!("cannot use {} as data directory", folder.display()))?;
    Ok(config)
}

/// The system's place for root, the user's own otherwise.
fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/helix-runner");
    }
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let share = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    share.map_or_else(
        || PathBuf::from("helix-runner-data"),
        |share| share.join("helix-runner"),
    )
}
