//! A daemon's configuration: defaults, then the file, then variables, then flags.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
    value::Dict,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::telemetry;

/// The part of the file that is about the log.
const LOG: &str = "log";

/// What was given, layer upon layer; later ones win.
#[derive(Debug)]
pub struct Layers(Figment);

/// The configuration cannot be used; it says which key of which layer, and why.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used: {0}")]
pub struct ConfigError(Box<figment::Error>);

impl From<figment::Error> for ConfigError {
    fn from(error: figment::Error) -> Self {
        Self(Box::new(error))
    }
}

impl Layers {
    /// Begins with the defaults.
    pub fn defaults(options: &impl Serialize) -> Self {
        let log = Serialized::default(LOG, telemetry::Options::default());
        Self(Figment::from(Serialized::defaults(options)).merge(log))
    }

    /// A file, in TOML.
    #[must_use]
    pub fn file(self, path: Option<&Path>) -> Self {
        match path {
            Some(path) => Self(self.0.merge(Toml::file_exact(path))),
            None => self,
        }
    }

    /// The process's variables whose names begin with `prefix`, with two underscores
    /// between the parts of a key. `{prefix}CONFIG` is the file's own name.
    #[must_use]
    pub fn variables(self, prefix: &str) -> Self {
        let variables = Env::prefixed(prefix).ignore(&["config"]).split("__");
        Self(self.0.merge(variables))
    }

    /// A flag, if it was given.
    #[must_use]
    pub fn flag(self, key: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => Self(self.0.merge(Serialized::default(key, value))),
            None => self,
        }
    }

    /// The library's options, and the log's, which are the daemon's own.
    ///
    /// # Errors
    ///
    /// An unknown key, or a value that does not fit.
    pub fn resolve<T: DeserializeOwned>(&self) -> Result<(T, telemetry::Options), ConfigError> {
        // The library's options refuse keys that they do not know.
        let mut all: Dict = self.0.extract()?;
        all.remove(LOG);
        let options = Figment::from(Serialized::defaults(all)).extract()?;
        Ok((options, self.0.extract_inner(LOG)?))
    }
}

/// Options as they would stand in the file.
///
/// # Errors
///
/// They hold what TOML cannot express.
pub fn to_toml(
    options: &impl Serialize,
    log: &telemetry::Options,
) -> Result<String, toml::ser::Error> {
    let mut table = toml::Table::try_from(options)?;
    table.insert(LOG.to_owned(), toml::Value::try_from(log)?);
    toml::to_string_pretty(&table)
}

/// Where the daemon `program` keeps its data: the system's place for root, the user's own
/// otherwise.
pub fn default_data_dir(program: &str) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return Path::new("/var/lib").join(program);
    }
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let share = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    share.map_or_else(
        || PathBuf::from(format!("{program}-data")),
        |share| share.join(program),
    )
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        a: u32,
        b: u32,
        c: u32,
    }

    fn layers(text: &str) -> Layers {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("some.toml");
        std::fs::write(&file, text).unwrap();
        let layers = Layers::defaults(&Options { a: 1, b: 1, c: 1 }).file(Some(&file));
        // Read while the file is there.
        Layers(Figment::from(Serialized::defaults(
            layers.0.extract::<Dict>().unwrap(),
        )))
    }

    #[test]
    fn flags_go_before_the_file_and_that_before_the_defaults() {
        let layers = layers("b = 2\nc = 2\n[log]\nfilter = \"debug\"\n");
        let layers = layers.flag("c", Some(3)).flag("a", None::<u32>);
        let (options, log) = layers.resolve::<Options>().unwrap();
        assert_eq!((options.a, options.b, options.c), (1, 2, 3));
        assert_eq!(log.filter, "debug");
        let again = to_toml(&options, &log).unwrap();
        assert!(
            again.contains("c = 3") && again.contains("[log]"),
            "{again}"
        );
    }

    #[test]
    fn a_key_that_is_not_known_is_named() {
        let error = layers("nonsense = 1\n").resolve::<Options>().unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
    }
}
