//! The daemon `helix-sandbox`.

mod cli;
mod config;
mod docker_images;
mod images;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser as _;
use helix_base::{Outbound, SystemClock, TaskGroup, daemon::Signals};
use helix_isolation::{
    containers::guest_main,
    namespaces::{enter_own_ids, launch_main},
};
use helix_sandbox::{
    AssistantOptions, Backend, EditorOptions, Host, HostOptions, credential, environment, isolation,
};

use crate::{
    cli::{Cli, Command},
    config::Config,
};

fn main() -> ExitCode {
    // Before anything else: this program also begins each sandbox.
    let began = launch_main(std::env::args_os()).or_else(|| guest_main(std::env::args_os()));
    if let Some(exit_code) = began {
        return exit_code;
    }
    let cli = Cli::parse();
    let ended = config::resolve(&cli.options, cli.command.as_ref()).and_then(|config| {
        if makes_sandboxes(&cli, &config.host)
            && let Err(error) = enter_own_ids(&config.host.data_dir)
        {
            // What cannot be done without is said by what is.
            cli::complain(&anyhow::Error::new(error));
        }
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        runtime.block_on(act(cli, config))
    });
    match ended {
        Ok(exit_code) => exit_code,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether what is to be done has to do with sandboxes of namespaces, or their images.
fn makes_sandboxes(cli: &Cli, options: &HostOptions) -> bool {
    let others = matches!(
        cli.command,
        Some(Command::Join | Command::Agent { .. } | Command::Acp { .. })
    );
    let is_theirs = !others && !cli.options.print_config;
    is_theirs && options.isolation.backend == Backend::Namespaces
}

async fn act(cli: Cli, config: Config) -> anyhow::Result<ExitCode> {
    if cli.options.print_config {
        cli::say(&config.to_toml().context("cannot show the configuration")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    match cli.command {
        None | Some(Command::Run { .. }) => {
            helix_base::telemetry::init(&config.log)?;
            helix_base::limits::raise_open_files();
            run(config.host).await?;
        }
        Some(Command::Agent { api, key, model }) => {
            let home = std::env::var_os("HOME").map_or_else(|| "/tmp".into(), PathBuf::from);
            helix_sandbox::assist(AssistantOptions {
                api,
                key: key.into(),
                model,
                outbound: config.host.outbound,
                folder: home.join(".local/state/helix-agent"),
            })
            .await?;
        }
        Some(Command::Acp { socket }) => {
            helix_sandbox::edit(EditorOptions { socket }).await?;
        }
        Some(Command::Join) => join(&config.host).await?,
        Some(Command::Image(command)) => images::act(command, &config.host).await?,
        Some(Command::DockerImage(command)) => docker_images::act(command, &config.host).await?,
        Some(Command::Check) => return check(&config.host).await,
        Some(Command::Purge { yes }) => purge(&config.host, yes).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(options: HostOptions) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.server.is_some(),
        "no control plane: give --server URL"
    );
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let tasks = TaskGroup::new();
    let env = environment::of_host(&options.outbound);
    let build = async {
        let isolation = isolation::of_options(&options, Arc::new(SystemClock), &tasks).await?;
        isolation::say_what_cannot(options.isolation.backend, &*isolation);
        let builder = Host::builder(options, isolation).env(env);
        anyhow::Ok(builder.build(&tasks).await?)
    };
    let host = tokio::select! {
        host = Box::pin(build) => host?,
        () = signals.next() => return Ok(()),
    };
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = async {
        // Ends too when the sender is gone.
        let _ = stopped.await;
    };
    let mut running = std::pin::pin!(host.run(stop));
    tokio::select! {
        ended = &mut running => anyhow::bail!("{}", ended.err().map_or_else(|| "the host ended".to_owned(), |why| why.to_string())),
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
        () = signals.next() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

async fn join(options: &HostOptions) -> anyhow::Result<()> {
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

async fn check(options: &HostOptions) -> anyhow::Result<ExitCode> {
    let mut works = true;
    for capability in isolation::check(options).await? {
        let (mark, name) = (
            if capability.available { "yes" } else { "no " },
            capability.name,
        );
        cli::say(&format!("{mark} {name:<18} {}", capability.detail))?;
        works &= capability.available || !isolation::is_needed(options.isolation.backend, &name);
    }
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn purge(options: &HostOptions, sure: bool) -> anyhow::Result<()> {
    let folder = options.data_dir.display();
    anyhow::ensure!(
        sure,
        "this deletes every sandbox and every snapshot in {folder} for good: give --yes if you \
         mean it"
    );
    let purged = isolation::purge(options).await?;
    cli::say(&format!(
        "deleted {} sandboxes and {} snapshots; nothing of {folder} is left on this machine but \
         the folder itself",
        purged.sandboxes, purged.snapshots
    ))
}
