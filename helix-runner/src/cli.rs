//! The command line.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use url::Url;

/// Runs models on this machine for a Helix control plane.
///
/// The runner connects out to the control plane, reports this machine's GPUs
/// (or, without any, its processor), and starts models as told: with llama.cpp,
/// vLLM, Ollama, or on a server that someone else runs. Nothing connects to it.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

const EXAMPLES: &str = "\
Configuration: defaults, then the file (--config), then variables, then flags.
Every key of `--print-config` can stand in the file; as a variable it is
HELIX_RUNNER_ and the key in capitals, with two underscores between the parts:
HELIX_RUNNER_HUB__TOKEN=hf_… is `token` of `[hub]`. HTTP_PROXY, HTTPS_PROXY and
NO_PROXY are honoured.

First start on a new machine, with a token from the web app's runners page:
  helix-runner --server https://helix.example.com --join-token hxj_…
Every start after that needs only the server:
  helix-runner --server https://helix.example.com
Without llama.cpp on the machine, let the runner bring its own:
  helix-runner engine install llamacpp";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect and serve until SIGTERM or Ctrl-C (what happens without a command).
    Run,
    /// Register this machine with a join token, keep the credential, and end.
    Join,
    /// Look after the engines that the runner brings itself.
    #[command(subcommand)]
    Engine(EngineCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Install an engine into the data directory, from the Python package index.
    Install {
        /// Which engine.
        engine: Installable,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Installable {
    /// llama.cpp's own server.
    Llamacpp,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The control plane's address.
    #[arg(long, visible_alias = "url", global = true, value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// Where weights, engines and the credential are kept.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Register with this token if there is no credential yet. Others on this
    /// machine can see flags: HELIX_RUNNER_JOIN_TOKEN is private.
    #[arg(long, visible_alias = "token", global = true, value_name = "TOKEN")]
    pub(crate) join_token: Option<String>,
    /// A file with the credential that an administrator made.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) credential_file: Option<PathBuf>,
    /// What to call this runner when it registers; the machine's name otherwise.
    #[arg(long, global = true)]
    pub(crate) name: Option<String>,
    /// A PEM file with authorities to trust beside the system's, such as that of
    /// a proxy that inspects TLS.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// A PEM file with the certificate to show where the control plane asks for
    /// one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// A PEM file with that certificate's private key.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// How often the control plane is asked whether it lives, in milliseconds; at
    /// most 15000.
    #[arg(long, global = true, value_name = "MS")]
    pub(crate) tunnel_heartbeat_ms: Option<u64>,
    /// A configuration file (TOML).
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HELIX_RUNNER_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or by module.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Print the configuration as it would be used, secrets left out, and end.
    #[arg(long, global = true)]
    pub(crate) print_config: bool,
}

/// Writes a line to standard output.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

/// Writes what went wrong, and why, to standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "helix-runner: {error:#}");
}
