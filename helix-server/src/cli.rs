//! The command line.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use serde::Serialize;
use url::Url;

/// The Helix control plane: chat, an OpenAI-compatible API and a queue for the
/// models that run on your own machines.
///
/// It listens on one port, keeps its state in SQLite (or PostgreSQL), and waits
/// for runners (`helix-runner`) to connect. On the first start it prints a link
/// that makes the first administrator.
#[derive(Debug, Parser, Serialize)]
#[command(name = "helix-server", version, after_long_help = EXAMPLES)]
pub(crate) struct Flags {
    #[command(subcommand)]
    #[serde(skip)]
    pub(crate) command: Option<Command>,
    /// A configuration file (TOML).
    #[arg(
        long,
        value_name = "FILE",
        env = "HELIX_SERVER_CONFIG",
        hide_env_values = true
    )]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Where the database and the set-up link are kept.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// How people reach the control plane, such as https://helix.example.com.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_url: Option<Url>,
    /// Proxy the web app from this development server.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frontend_url: Option<Url>,
    /// How long a runner whose connection broke may take to come back, in
    /// milliseconds, before what it is answering ends with an error.
    #[arg(long, value_name = "MS")]
    #[serde(skip)]
    pub(crate) tunnel_grace_ms: Option<u64>,
    /// How often runners' connections are asked whether they live, in
    /// milliseconds; at most 15000.
    #[arg(long, value_name = "MS")]
    #[serde(skip)]
    pub(crate) tunnel_heartbeat_ms: Option<u64>,
    /// Let people register themselves.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registration_open: Option<bool>,
    /// What to log: error, warn, info, debug, trace, or by module.
    #[arg(long, value_name = "FILTER")]
    #[serde(skip)]
    pub(crate) log: Option<String>,
    /// Print the configuration as it would be used, secrets left out, and end.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) print_config: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look after the secrets in the database.
    #[command(subcommand)]
    Secrets(SecretsCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Seal every secret anew with the first of the keys, and end. After it the
    /// others are not needed any more.
    Rekey,
}

const EXAMPLES: &str = "\
Configuration: defaults, then the file (--config), then variables, then flags.
Every key of `--print-config` can stand in the file; as a variable it is
HELIX_SERVER_ and the key in capitals, with two underscores between the parts:
HELIX_SERVER_QUEUE__CAPACITY=50 is `capacity` of `[queue]`. HTTP_PROXY,
HTTPS_PROXY and NO_PROXY are honoured.

On one machine, for trying it out:
  helix-server
For a team, behind HTTPS, on PostgreSQL (a variable keeps the password out of
the list of processes):
  HELIX_SERVER_DATABASE_URL=postgres://helix:…@db/helix \\
    helix-server --listen 0.0.0.0:8080 --public-url https://helix.example.com
With OpenAI as one more place that answers, in the configuration file:
  [[providers]]
  name = \"openai\"
  base_url = \"https://api.openai.com/v1\"
  api_key = \"sk-…\"";

/// Writes a line to standard output.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

/// Writes what went wrong, and why, to standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "helix-server: {error:#}");
}
