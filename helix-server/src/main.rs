//! The daemon `helix-server`.

mod cli;
mod config;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use helix_server::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    let flags = cli::Flags::parse();
    let ended = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(act(&flags));
            // A password that is just being hashed keeps nobody waiting.
            runtime.shutdown_timeout(Duration::from_millis(100));
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn act(flags: &cli::Flags) -> anyhow::Result<()> {
    let options = config::resolve(flags, std::env::vars())?;
    if flags.print_config {
        return cli::say(&config::to_toml(&options)?);
    }
    helix_base::telemetry::init(&options.log)?;
    helix_base::limits::raise_open_files();
    if let Some(cli::Command::Secrets(cli::SecretsCommand::Rekey)) = flags.command {
        let renewed = helix_server::seal::renew(&options).await?;
        return cli::say(&format!(
            "sealed {} secrets anew; {} keys are not needed any more",
            renewed.sealed, renewed.retired
        ));
    }
    let mut signals = Signals::new()?;
    let server = tokio::select! {
        server = Server::build(options) => server.context("the control plane cannot start")?,
        () = signals.next() => return Ok(()),
    };
    let app = server.app();
    let url = &app.foundation().public_url;
    tracing::info!(listening = %app.foundation().listening, %url, "ready");
    cli::say(&format!("ready {url}"))?;
    if let Some(link) = app.setup_link() {
        cli::say(&format!(
            "Nobody has an account yet. Make the first administrator, once, at\n  {link}"
        ))?;
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut running = std::pin::pin!(server.run(async {
        // Ends too when the sender is gone.
        let _ = stopped.await;
    }));
    tokio::select! {
        report = &mut running => anyhow::bail!("the control plane ended by itself: {report:?}"),
        () = signals.next() => {}
    }
    tracing::info!("stopping; a second signal stops at once");
    drop(stop);
    tokio::select! {
        report = running => match report.aborted.as_slice() {
            [] => tracing::info!("stopped"),
            aborted => tracing::warn!(?aborted, "stopped, some tasks by force"),
        },
        () = signals.next() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
