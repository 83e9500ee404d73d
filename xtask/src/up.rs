//! `cargo xtask up`: everything that is needed, built and running, on this machine.

pub(crate) mod account;
pub(crate) mod api;
pub(crate) mod daemon;
pub(crate) mod data;
mod fleet;
mod prepare;
pub(crate) mod sandboxes;

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{process::now, workspace::Workspace};
use api::Api;
use daemon::Daemon;
use data::Data;

/// How long a daemon may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(100);

/// What `cargo xtask up` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where accounts, conversations, models and logs are kept.
    #[arg(long, value_name = "DIR", default_value = ".data")]
    data: PathBuf,
    /// The port of the web app and the API, on 127.0.0.1.
    #[arg(long, value_name = "N", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// A GGUF file to answer with instead of the demo model.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// A PostgreSQL database, `postgres://…`, instead of a SQLite file under the data folder.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Never ask; install what is missing.
    #[arg(long)]
    yes: bool,
    /// Start no sandbox host.
    #[arg(long)]
    no_sandbox: bool,
    /// Install Docker's programs too, for sandboxes with a Docker daemon of their own.
    #[arg(long)]
    docker: bool,
    /// Install Sway and GStreamer too, for sandboxes with a desktop, and build what serves it.
    #[arg(long, conflicts_with = "no_sandbox")]
    desktop: bool,
    /// Install and build nothing: run what an earlier `up` built.
    #[arg(long)]
    no_setup: bool,
    /// Build without optimisation: quicker to build, slower to run.
    #[arg(long)]
    dev: bool,
}

/// Sets up, starts, and stays until someone asks to stop or a daemon ends.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let model = arguments
        .model
        .as_deref()
        .map(fleet::given_model)
        .transpose()?;
    ensure_port_is_free(arguments.port)?;
    let data = Data::open(&arguments.data)?;
    let built = if arguments.no_setup {
        prepare::built_before(workspace, arguments)?
    } else {
        prepare::everything(workspace, &data, arguments)?
    };

    let url = format!("http://127.0.0.1:{}", arguments.port);
    let api = Api::new(&url);
    println!("starting the control plane");
    let mut server = Daemon::server(
        workspace,
        &built,
        &data,
        arguments.port,
        arguments.database.as_deref(),
    )?;
    until(
        workspace,
        &mut [&mut server],
        "the control plane to be ready",
        || api.is_ready(),
    )?;
    let account = account::of_admin(&api, &data)?;
    let api = api.with_key(&account.api_key);
    let runner_id = fleet::runner_id(&api, &data)?;

    println!("starting the runner");
    let mut runner = Daemon::runner(workspace, &built, &data, &url)?;
    until(
        workspace,
        &mut [&mut runner, &mut server],
        "the runner to connect",
        || fleet::is_online(&api, runner_id),
    )?;
    fleet::say_what_cannot_run(&api, runner_id)?;
    fleet::register(&api, workspace, &data, model)?;
    let mut sandboxes = match &built.sandbox {
        Some(program) => sandboxes::start(workspace, program, &data, &api)?,
        None => None,
    };
    if let Some((host, id)) = &mut sandboxes {
        until(
            workspace,
            &mut [host, &mut runner, &mut server],
            "the sandbox host to connect",
            || sandboxes::is_online(&api, *id),
        )?;
    }

    println!("\nready {url}");
    println!("sign in once with {}", api.sign_in_link()?);
    println!("account and API key: {}", data.account_file().display());
    println!("logs: {}\nCtrl-C stops everything", data.logs().display());
    let host = sandboxes.as_mut().map(|(host, _)| host);
    let mut daemons: Vec<_> = host.into_iter().chain([&mut runner, &mut server]).collect();
    stay(workspace, &mut daemons)
}

fn ensure_port_is_free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("port {port} is in use: stop what listens there, or choose another with --port N")
        }
        Err(error) => Err(error).with_context(|| format!("listening on port {port}")),
    }
}

/// Waits until `done`, as long as the daemons run.
fn until(
    workspace: &Workspace,
    daemons: &mut [&mut Daemon],
    what: &str,
    done: impl Fn() -> Result<bool>,
) -> Result<()> {
    let started = now();
    while !done()? {
        ensure!(!workspace.stopped(), "interrupted while waiting for {what}");
        ensure_running(daemons)?;
        ensure!(
            started.elapsed() < READY_WITHIN,
            "waited {} s for {what}; {}",
            READY_WITHIN.as_secs(),
            daemons
                .iter()
                .map(|daemon| daemon.last_words())
                .collect::<Vec<_>>()
                .join("\n")
        );
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Stays until someone asks to stop; then stops the daemons, in the order given.
fn stay(workspace: &Workspace, daemons: &mut [&mut Daemon]) -> Result<()> {
    while !workspace.stopped() {
        ensure_running(daemons)?;
        std::thread::sleep(TICK);
    }
    println!("\nstopping");
    daemons.iter_mut().for_each(|daemon| daemon.stop());
    Ok(())
}

fn ensure_running(daemons: &mut [&mut Daemon]) -> Result<()> {
    for daemon in daemons {
        if let Some(why) = daemon.ended()? {
            bail!(why);
        }
    }
    Ok(())
}
