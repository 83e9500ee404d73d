//! What can be asked of a load generator, whatever the way.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use helix_base::TaskGroup;
use helix_tunnel::Hub;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    control, now,
    pattern::Expected,
    ping,
    way::{Kind, Opener, Receiver, Stream, Way},
};

/// Nothing of a benchmark is silent for longer.
pub(crate) const SILENT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Down,
    Up,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Command {
    /// How fast one stream is.
    Bulk {
        way: Way,
        direction: Direction,
        warm_ms: u64,
        ms: u64,
    },
    /// How long 64 bytes take there and back.
    Ping(ping::Plan),
    /// How long it takes until a new stream answers.
    Open { way: Way, ms: u64 },
    /// Opens streams and keeps them.
    Hold {
        way: Way,
        count: usize,
        unread: bool,
    },
    /// Drops what is held.
    Release,
    /// Compares a long transfer byte by byte.
    Exact { way: Way, bytes: u64 },
    /// Who is connected.
    Agents,
}

/// Answers commands on a port.
pub(crate) async fn run(port: u16, hub: Option<Hub<String>>) -> anyhow::Result<()> {
    let tasks = TaskGroup::new();
    let opener = Opener { hub, tasks };
    let mut held = Vec::new();
    control::serve(port, async |command| {
        answer(&opener, &mut held, command).await
    })
    .await
}

async fn answer(
    opener: &Opener,
    held: &mut Vec<Stream>,
    command: Command,
) -> anyhow::Result<Value> {
    match command {
        Command::Bulk {
            way,
            direction,
            warm_ms,
            ms,
        } => bulk(opener, way, direction, millis(warm_ms), millis(ms)).await,
        Command::Ping(plan) => ping::run(opener, &plan).await,
        Command::Open { way, ms } => open(opener, way, millis(ms)).await,
        Command::Hold { way, count, unread } => {
            let kind = if unread { Kind::Down } else { Kind::Hold };
            for _ in 0..count {
                let mut stream = opener.open(way, kind).await?;
                within(stream.receiver.receive()).await?;
                held.push(stream);
            }
            Ok(json!({ "held": held.len() }))
        }
        Command::Release => {
            held.clear();
            Ok(json!({}))
        }
        Command::Exact { way, bytes } => exact(opener, way, bytes).await,
        Command::Agents => {
            let hub = opener.hub.as_ref().context("no tunnels here")?;
            Ok(json!({ "agents": hub.keys().len() }))
        }
    }
}

pub(crate) const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Waits no longer than anything may be silent.
pub(crate) async fn within<T>(wait: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let waited = tokio::time::timeout(SILENT, wait).await;
    waited.unwrap_or_else(|_| bail!("nothing happened for {} s", SILENT.as_secs()))
}

/// Counts the bytes of a transfer.
pub(crate) struct Counter {
    receiver: Receiver,
    up: Option<Vec<u8>>,
    pub(crate) bytes: u64,
}

impl Counter {
    pub(crate) const fn down(receiver: Receiver) -> Self {
        Self {
            receiver,
            up: None,
            bytes: 0,
        }
    }

    fn up(receiver: Receiver) -> Self {
        Self {
            up: Some(Vec::new()),
            ..Self::down(receiver)
        }
    }

    /// Waits for more.
    pub(crate) async fn step(&mut self) -> anyhow::Result<()> {
        let bytes = within(self.receiver.receive()).await?;
        ensure!(!bytes.is_empty(), "the transfer ended early");
        match &mut self.up {
            None => self.bytes += bytes.len() as u64,
            Some(told) => {
                told.extend(bytes);
                let whole = told.len() / 8 * 8;
                if let Some(last) = told[..whole].last_chunk::<8>() {
                    self.bytes = u64::from_le_bytes(*last);
                    told.drain(..whole);
                }
            }
        }
        Ok(())
    }
}

async fn bulk(
    opener: &Opener,
    way: Way,
    direction: Direction,
    warm: Duration,
    measured: Duration,
) -> anyhow::Result<Value> {
    let stream;
    let mut counter = match direction {
        Direction::Down => {
            stream = within(opener.open(way, Kind::Down)).await?;
            Counter::down(stream.receiver)
        }
        Direction::Up => {
            stream = within(opener.open(way, Kind::Up)).await?;
            Counter::up(stream.receiver)
        }
    };
    let start = now();
    let (mut from, mut before) = (None, 0);
    loop {
        counter.step().await?;
        let at = now();
        match from {
            None if at >= start + warm => (from, before) = (Some(at), counter.bytes),
            Some(from) if at >= from + measured => {
                let seconds = (at - from).as_secs_f64();
                let rate = (counter.bytes - before) as f64 / seconds;
                return Ok(json!({"bytes": counter.bytes, "per_second": rate}));
            }
            _ => {}
        }
    }
}

async fn open(opener: &Opener, way: Way, measured: Duration) -> anyhow::Result<Value> {
    let until = now() + measured;
    let mut micros = Vec::new();
    while now() < until || micros.len() < 3 {
        let began = now();
        let mut stream = within(opener.open(way, Kind::Small)).await?;
        let first = within(stream.receiver.receive()).await?;
        ensure!(!first.is_empty(), "no answer on a new stream");
        micros.push(since(began));
    }
    Ok(percentiles(micros))
}

pub(crate) fn since(began: Instant) -> u64 {
    u64::try_from((now() - began).as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn percentiles(mut micros: Vec<u64>) -> Value {
    micros.sort_unstable();
    let at = |percent: usize| {
        let last = micros.len().saturating_sub(1);
        micros
            .get(last * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    json!({"count": micros.len(), "p50_us": at(50), "p99_us": at(99), "max_us": at(100)})
}

async fn exact(opener: &Opener, way: Way, total: u64) -> anyhow::Result<Value> {
    let began = now();
    let mut stream = within(opener.open(way, Kind::Exact(total))).await?;
    let mut expected = Expected::new(total);
    while !expected.is_complete() {
        let bytes = within(stream.receiver.receive()).await?;
        ensure!(!bytes.is_empty(), "the transfer ended early");
        expected.check(bytes)?;
    }
    let seconds = (now() - began).as_secs_f64();
    let rest = within(stream.receiver.receive()).await?.len();
    ensure!(rest == 0, "{rest} bytes too many came");
    Ok(json!({ "seconds": seconds }))
}
