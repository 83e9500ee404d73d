//! The longer things that a driver waits for.

use std::{net::TcpListener, time::Duration};

use helix_base::Retry as _;
use helix_proto::runner::{DeviceMemory, FailureKind};

use super::{Context, Event, Fault};
use crate::{
    engine::{Endpoint, Error, Plan, ProgressSink, Readiness, Stage, Weights},
    process::descendants,
};

/// How often an engine that comes up is asked, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How a piece of work ended.
#[derive(Debug)]
pub(super) enum Done {
    Event(Event),
    Fetched(Weights),
    Planned(Plan),
}

pub(super) async fn fetch(context: Context, sink: ProgressSink) -> Done {
    match context.engine.fetch(&context.job, &sink).await {
        Ok(weights) => Done::Fetched(weights),
        Err(error) => failed(&error),
    }
}

pub(super) async fn plan(context: Context, weights: Weights) -> Done {
    let port = match free_port() {
        Ok(port) => port,
        Err(error) => {
            let message = format!("no free port on loopback: {error}");
            let fault = Fault {
                kind: FailureKind::Crashed,
                message,
                by_chance: true,
            };
            return Done::Event(Event::WorkFailed(fault));
        }
    };
    match context.engine.plan(&context.job, &weights, port).await {
        Ok(plan) => Done::Planned(plan),
        Err(error) => failed(&error),
    }
}

/// Asks a started engine until it is ready, then has it load the model. The
/// machine's deadline bounds this.
pub(super) async fn bring_up(context: Context, endpoint: Endpoint, sink: ProgressSink) -> Done {
    let mut pause = FIRST_PAUSE;
    loop {
        match context.engine.probe(&endpoint).await {
            Ok(Readiness::Ready) => break,
            Ok(Readiness::Loading) => {
                let last = context.log.tail(1).pop();
                sink.tell(
                    Stage::Starting,
                    last.unwrap_or_else(|| "starting the engine".to_owned()),
                    None,
                );
            }
            Err(error) => sink.tell(Stage::Starting, error.to_string(), None),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    match context.engine.load(&context.job, &endpoint, &sink).await {
        Ok(()) => Done::Event(Event::Loaded),
        Err(error) => failed(&error),
    }
}

/// How much memory an engine uses on each device: by the devices' account,
/// else by the engine's own.
pub(super) async fn measure(
    context: Context,
    supervisor: u32,
    endpoint: Option<Endpoint>,
) -> Vec<DeviceMemory> {
    let devices = context.devices.clone();
    let used = tokio::task::spawn_blocking(move || devices.used_by(&descendants(supervisor)));
    let used = used.await.unwrap_or_default();
    if !used.is_empty() || context.job.devices.is_empty() {
        return used;
    }
    let Some(endpoint) = endpoint else {
        return used;
    };
    let Some(bytes) = context.engine.memory(&endpoint).await else {
        return used;
    };
    let each = bytes.div_ceil(context.job.devices.len() as u64);
    let on = |device: &helix_proto::runner::Device| DeviceMemory {
        device: device.id.clone(),
        bytes: each,
    };
    context
        .job
        .devices
        .iter()
        .map(|(device, _)| on(device))
        .collect()
}

fn failed(error: &Error) -> Done {
    tracing::debug!(retry = ?error.retryability(), %error, "work for an instance failed");
    let (kind, message) = (error.failure_kind(), error.to_string());
    Done::Event(Event::WorkFailed(Fault {
        kind,
        message,
        by_chance: false,
    }))
}

/// A port that nobody listens on now. Someone may take it before the engine
/// does: then the engine ends, and is started once more with another.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
