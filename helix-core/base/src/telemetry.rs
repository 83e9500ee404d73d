//! Start of `tracing`, for daemons' `main` only: it sets the process's subscriber.

use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// In the language of `tracing_subscriber::EnvFilter`: `info`, or
    /// `info,helix_tunnel=debug`.
    pub filter: String,
    /// How lines look.
    pub format: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: Format::default(),
        }
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filter is not understood.
    #[error("log filter `{filter}` is not valid; try `info` or `info,helix_tunnel=debug`")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process has set a subscriber before.
    #[error("logging was already started in this process")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts logging to standard error, so that a daemon's standard output stays its own.
///
/// # Errors
///
/// A filter that does not parse, or a subscriber that is already set.
pub fn init(options: &Options) -> Result<(), Error> {
    let filter = EnvFilter::builder()
        .parse(&options.filter)
        .map_err(|source| Error::Filter {
            filter: options.filter.clone(),
            source,
        })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match options.format {
        Format::Text => {
            let colour = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(lines.with_ansi(colour)).try_init()
        }
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(Error::AlreadySet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_and_a_second_start_are_errors() {
        let bad = Options {
            filter: "info,=[".to_owned(),
            format: Format::Text,
        };
        assert!(matches!(init(&bad), Err(Error::Filter { .. })));
        init(&Options::default()).unwrap();
        let json = Options {
            format: Format::Json,
            ..Options::default()
        };
        assert!(matches!(init(&json), Err(Error::AlreadySet(_))));
    }
}
