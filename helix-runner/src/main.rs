//! The daemon `helix-runner`.

mod cli;
mod config;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use helix_base::{Outbound, TaskGroup, daemon::Signals};
use helix_runner::{
    Runner, RunnerOptions, Supervisor, credential,
    engine::{SearchPath, llamacpp::managed::Managed},
};

use crate::cli::{Cli, Command, EngineCommand};

fn main() -> ExitCode {
    // Before anything else: this program also supervises the engines it starts.
    let supervisor = match Supervisor::this_program(std::env::args_os()) {
        Ok(supervisor) => supervisor,
        Err(exit_code) => return exit_code,
    };
    let cli = Cli::parse();
    let ended = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(act(cli, supervisor)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn act(cli: Cli, supervisor: Supervisor) -> anyhow::Result<()> {
    let config = config::resolve(&cli.options)?;
    if cli.options.print_config {
        return cli::say(&config.to_toml().context("cannot show the configuration")?);
    }
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => {
            helix_base::telemetry::init(&config.log)?;
            helix_base::limits::raise_open_files();
            run(config.runner, supervisor).await
        }
        Command::Join => join(&config.runner).await,
        Command::Engine(EngineCommand::Install { .. }) => install(&config.runner).await,
    }
}

async fn run(options: RunnerOptions, supervisor: Supervisor) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.server.is_some(),
        "no control plane: give --server URL"
    );
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let tasks = TaskGroup::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let builder = Runner::builder(options, supervisor).search_path(SearchPath::new(&path));
    let runner = tokio::select! {
        runner = builder.build(&tasks) => runner?,
        () = signals.next() => return Ok(()),
    };
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = async {
        // Ends too when the sender is gone.
        let _ = stopped.await;
    };
    let mut running = std::pin::pin!(runner.run(stop));
    tokio::select! {
        ended = &mut running => anyhow::bail!("{}", ended.err().map_or_else(|| "the runner ended".to_owned(), |why| why.to_string())),
        () = signals.next() => {}
    }
    tracing::info!("stopping; a second signal stops at once");
    drop(stopping);
    tokio::select! {
        ended = running => match ended {
            Ok(report) if report.aborted.is_empty() => tracing::info!("stopped"),
            Ok(report) => tracing::warn!(aborted = ?report.aborted, "stopped, some tasks by force"),
            Err(why) => anyhow::bail!(why),
        },
        // Engines end with this process: their supervisors see to that.
        () = signals.next() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

async fn join(options: &RunnerOptions) -> anyhow::Result<()> {
    let server = options
        .server
        .as_ref()
        .context("no control plane: give --server URL")?;
    let kept = credential::kept_at(&options.data_dir);
    if kept.exists() {
        return cli::say(&format!(
            "already registered; remove {} to register anew",
            kept.display()
        ));
    }
    let outbound = Outbound::new(&options.outbound)?;
    credential::resolve(options, server, &outbound).await?;
    cli::say(&format!(
        "registered; the credential is kept in {}",
        kept.display()
    ))
}

async fn install(options: &RunnerOptions) -> anyhow::Result<()> {
    let managed = options.engines.llamacpp.managed.clone();
    let managed = Managed::new(managed, &options.data_dir);
    let tell = |step: &str| drop(cli::say(step));
    let python = managed.install(&tell).await?;
    cli::say(&format!(
        "{} is installed, with {}",
        managed.package(),
        python.display()
    ))
}
