//! The command line.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

/// Hosts isolated sandboxes on this machine for a Helix control plane.
///
/// The host connects out to the control plane, reports what this machine has, and makes
/// sandboxes as told: each with its own users, processes, network, limits and files, and on
/// request a Docker daemon of its own. Nothing connects to it. It runs as root, and nothing
/// in a sandbox does. `helix-sandbox check` says what this machine can do, and what to do
/// about the rest.
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
HELIX_SANDBOX_ and the key in capitals, with two underscores between the parts:
HELIX_SANDBOX_ISOLATION__SUBNET=10.99.0.0/16 is `subnet` of `[isolation]`.
HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured, and sandboxes get them too.

First start on a new machine, with a token from the web app's hosts page:
  helix-sandbox --server https://helix.example.com --join-token hxj_…
Every start after that needs only the server:
  helix-sandbox --server https://helix.example.com

Sandboxes go on when the host is stopped, and the next start finds them; with
`run --stop-sandboxes` they are stopped with it, and started again with the next.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect and serve until SIGTERM or Ctrl-C (what happens without a command).
    Run {
        /// Stop the sandboxes when the host stops; the next start starts them again.
        #[arg(long)]
        stop_sandboxes: bool,
    },
    /// Register this machine with a join token, keep the credential, and end.
    Join,
    /// Look after the images that sandboxes can start from.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Look after the Docker images that every sandbox's own Docker daemon has from its
    /// start, without a copy of its own.
    #[command(subcommand)]
    DockerImage(DockerImageCommand),
    /// Say what this machine can do and what it cannot, and what to do about that. Ends
    /// with status 1 where no sandbox can run.
    Check,
    /// Be an agent inside a sandbox: one that speaks the Agent Client Protocol on standard
    /// input and output, has a shell and files, and asks a model by chat completions.
    #[command(hide = true)]
    Agent {
        /// Where chat completions are, without /v1.
        #[arg(long, env = "HELIX_API", value_name = "URL")]
        api: Url,
        /// The key for it.
        #[arg(long, env = "HELIX_API_KEY", hide_env_values = true)]
        key: String,
        /// The model.
        #[arg(long, env = "HELIX_MODEL")]
        model: String,
    },
    /// Inside a sandbox: attach an editor to the agent that is at work there. To the editor this
    /// is an agent that speaks the Agent Client Protocol on standard input and output.
    Acp {
        /// Where the sandbox's host takes calls.
        #[arg(long, value_name = "PATH", default_value = helix_sandbox::CALLS)]
        socket: PathBuf,
    },
    /// Delete every sandbox and every snapshot of this host with all that they hold of the
    /// machine: disks, networks, firewall, control groups. For a machine that is to host no
    /// more, before its data directory is removed. Not while the host runs. Images and the
    /// credential stay.
    Purge {
        /// Really; nothing is deleted without it.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Import an image: an OCI image layout, what `docker save` writes, or a tar of a root
    /// file system (`docker export`, `debootstrap`), compressed with gzip or not.
    Import {
        /// A file or folder.
        from: PathBuf,
        /// What to call it, such as debian:12; an image that has the name loses it.
        name: String,
    },
    /// List the images.
    List,
    /// Remove an image by name, unless sandboxes were made from it.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DockerImageCommand {
    /// Import the images of a file that `docker save` wrote, by the names they have there;
    /// an image that has such a name loses it. Needs Docker's programs on this machine.
    Import {
        /// The file, compressed or not.
        from: PathBuf,
    },
    /// List the images.
    List,
    /// Remove an image by name, unless a sandbox or a snapshot may need it.
    Remove {
        /// Its name, such as debian:12.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The control plane's address.
    #[arg(long, visible_alias = "url", global = true, value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// Where sandboxes, images and the credential are kept.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Register with this token if there is no credential yet. Others on this
    /// machine can see flags: HELIX_SANDBOX_JOIN_TOKEN is private.
    #[arg(long, visible_alias = "token", global = true, value_name = "TOKEN")]
    pub(crate) join_token: Option<String>,
    /// A file with the credential that an administrator made.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) credential_file: Option<PathBuf>,
    /// What to call this host when it registers; the machine's name otherwise.
    #[arg(long, global = true)]
    pub(crate) name: Option<String>,
    /// The network that sandboxes have their addresses from, such as 10.213.0.0/16; one
    /// that the machine does not use otherwise.
    #[arg(long, global = true, value_name = "CIDR")]
    pub(crate) subnet: Option<String>,
    /// What makes the sandboxes: `namespaces` of our own (the default), or containers of
    /// this machine's `docker` daemon, which can do less.
    #[arg(long, global = true)]
    pub(crate) backend: Option<Backend>,
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
        env = "HELIX_SANDBOX_CONFIG",
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

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Backend {
    Namespaces,
    Docker,
}

impl From<Backend> for helix_sandbox::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Namespaces => Self::Namespaces,
            Backend::Docker => Self::Docker,
        }
    }
}

/// Writes a line to standard output.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

/// Writes what went wrong, and why, to standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "helix-sandbox: {error:#}");
}
