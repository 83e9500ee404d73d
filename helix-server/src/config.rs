//! The configuration: defaults, then the file, then variables, then flags.

use std::path::PathBuf;

use anyhow::Context as _;
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use helix_base::OutboundOptions;
use helix_server::Options;
use url::Url;

use crate::cli::Flags;

/// In front of the name of every variable.
const PREFIX: &str = "HELIX_SERVER_";

/// Resolves the options from flags and the process's variables.
pub(crate) fn resolve(
    flags: &Flags,
    vars: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<Options> {
    let vars: Vec<(String, String)> = vars.into_iter().collect();
    let defaults = Options {
        data_dir: default_data_dir(&vars),
        outbound: OutboundOptions::from_vars(vars.iter().cloned()),
        ..Options::default()
    };
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(path) = &flags.config {
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(Vars(vars)).merge(Serialized::defaults(flags));
    if let Some(filter) = &flags.log {
        figment = figment.merge(Serialized::default("log.filter", filter));
    }
    for (key, value) in [
        ("tunnel.grace_ms", flags.tunnel_grace_ms),
        ("tunnel.heartbeat_interval_ms", flags.tunnel_heartbeat_ms),
    ] {
        if let Some(value) = value {
            figment = figment.merge(Serialized::default(key, value));
        }
    }
    figment
        .extract()
        .context("the configuration cannot be used")
}

/// The options as a configuration file, secrets left out.
pub(crate) fn to_toml(options: &Options) -> anyhow::Result<String> {
    let mut shown = options.clone();
    for proxy in [
        &mut shown.outbound.http_proxy,
        &mut shown.outbound.https_proxy,
    ] {
        *proxy = proxy.as_deref().map(without_password);
    }
    toml::to_string_pretty(&shown).context("the configuration cannot be shown")
}

fn without_password(proxy: &str) -> String {
    let Ok(mut url) = Url::parse(proxy) else {
        return "[redacted]".to_owned();
    };
    if url.password().is_some() && url.set_password(Some("redacted")).is_err() {
        return "[redacted]".to_owned();
    }
    url.to_string()
}

fn default_data_dir(vars: &[(String, String)]) -> PathBuf {
    let folder = |name: &str| {
        let found = vars
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    let share = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    share.map_or_else(
        || PathBuf::from("helix-server-data"),
        |share| share.join("helix-server"),
    )
}

/// Variables as configuration. figment's own provider reads the process's
/// environment; this one takes what it is given.
struct Vars(Vec<(String, String)>);

impl Provider for Vars {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("`{PREFIX}` variables"))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut figment = Figment::new();
        for (name, value) in &self.0 {
            let Some(key) = name.strip_prefix(PREFIX).filter(|key| *key != "CONFIG") else {
                continue;
            };
            let key = key.to_lowercase().replace("__", ".");
            let value: Value = value.parse().unwrap_or_else(|never| match never {});
            figment = figment.merge(Serialized::default(&key, value));
        }
        figment.data()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{CommandFactory as _, Parser as _};
    use helix_base::ExposeSecret as _;

    use super::*;

    fn resolved(args: &[&str], vars: &[(&str, &str)]) -> anyhow::Result<Options> {
        let flags = Flags::parse_from([&["helix-server"], args].concat());
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        resolve(&flags, vars.iter().map(own))
    }

    #[test]
    fn flags_go_before_variables_and_those_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("helix.toml");
        let text = "listen = \"127.0.0.1:1\"\nregistration_open = true\n[queue]\ncapacity = 5\ndeadline_ms = 1000\n";
        std::fs::write(&file, text).unwrap();
        let options = resolved(
            &[
                "--config",
                file.to_str().unwrap(),
                "--listen",
                "127.0.0.1:3",
            ],
            &[
                ("HELIX_SERVER_LISTEN", "127.0.0.1:2"),
                ("HELIX_SERVER_QUEUE__CAPACITY", "7"),
            ],
        )
        .unwrap();
        assert_eq!(options.listen.port(), 3);
        assert_eq!(options.queue.capacity, 7);
        assert_eq!(options.queue.deadline, Duration::from_secs(1));
        assert!(options.registration_open);
    }

    #[test]
    fn the_tunnels_grace_and_heartbeat_come_from_the_file_a_variable_or_a_flag() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("helix.toml");
        let text = "[tunnel]\ngrace_ms = 1\nheartbeat_interval_ms = 2000\n";
        std::fs::write(&file, text).unwrap();
        let file = ["--config", file.to_str().unwrap()];
        let variable = [("HELIX_SERVER_TUNNEL__GRACE_MS", "20000")];
        let tunnel = resolved(&file, &variable).unwrap().tunnel;
        assert_eq!(tunnel.grace, Duration::from_secs(20));
        assert_eq!(tunnel.heartbeat_interval, Duration::from_secs(2));
        let flag = [file[0], file[1], "--tunnel-grace-ms", "30000"];
        let tunnel = resolved(&flag, &variable).unwrap().tunnel;
        assert_eq!(tunnel.grace, Duration::from_secs(30));
    }

    #[test]
    fn secrets_reach_the_options_and_not_what_is_printed() {
        let vars = [
            (
                "HELIX_SERVER_DATABASE_URL",
                "postgres://helix:hunter2@db/helix",
            ),
            ("HTTPS_PROXY", "http://user:hunter2@proxy:3128"),
        ];
        let options = resolved(&[], &vars).unwrap();
        assert!(
            options
                .database_url
                .as_ref()
                .unwrap()
                .expose_secret()
                .contains("hunter2")
        );
        let printed = to_toml(&options).unwrap();
        assert!(printed.contains("[redacted]"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_by_name() {
        let error = resolved(&[], &[("HELIX_SERVER_LISTENN", "x")]).unwrap_err();
        assert!(format!("{error:#}").contains("listenn"), "{error:#}");
        assert!(resolved(&[], &[("HELIX_RUNNER_NAME", "x")]).is_ok());
    }

    #[test]
    fn the_default_configuration() {
        insta::assert_snapshot!(to_toml(&resolved(&[], &[]).unwrap()).unwrap());
    }

    #[test]
    fn the_help() {
        insta::assert_snapshot!(
            Flags::command()
                .term_width(100)
                .render_long_help()
                .to_string()
        );
    }
}
