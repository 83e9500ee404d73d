//! Every way through a network, in turns.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::rig::{Lane, Network, Ours, Resume, Rig, Target, tcp};
use crate::bench::{programs::cpu_seconds, report::median};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    DownRate,
    UpRate,
    DownCpu,
    UpCpu,
    IdleP50,
    IdleP99,
    BesideP50,
    BesideP99,
    OtherLaneP50,
    OtherLaneP99,
    OpenP50,
    OpenP99,
}

/// What each round measured.
#[derive(Debug, Default)]
pub(super) struct Samples {
    samples: BTreeMap<(Target, Figure), Vec<f64>>,
}

impl Samples {
    pub(super) fn push(&mut self, target: Target, figure: Figure, value: f64) {
        self.samples
            .entry((target, figure))
            .or_default()
            .push(value);
    }

    /// The median over all rounds.
    pub(super) fn median(&self, target: Target, figure: Figure) -> Option<f64> {
        median(self.samples.get(&(target, figure))?.clone()).ok()
    }

    /// The median of the quotients of each round.
    pub(super) fn ratio(&self, ours: (Target, Figure), peer: (Target, Figure)) -> Option<f64> {
        let (ours, peer) = (self.samples.get(&ours)?, self.samples.get(&peer)?);
        let quotients = ours.iter().zip(peer).map(|(ours, peer)| ours / peer);
        median(quotients.collect()).ok()
    }
}

#[derive(Debug, Deserialize)]
struct Bulk {
    bytes: f64,
    per_second: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Times {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
}

/// How long everything runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    warm_ms: u64,
    bulk_ms: u64,
    ping_ms: u64,
    beside_ms: u64,
    open_ms: u64,
    /// Behind a slow line, pings do not wait for each other: there would be too few.
    every_ms: Option<u64>,
}

impl Lengths {
    pub(super) fn of(network: Network, seconds: f64) -> Self {
        // A command line's seconds are few, and not negative.
        let ms = |share: f64| (seconds * share * 1_000.0) as u64;
        if network == Network::Slow {
            Self {
                warm_ms: 1_000,
                bulk_ms: ms(2.0),
                ping_ms: ms(1.5),
                beside_ms: ms(2.0),
                open_ms: ms(1.5),
                every_ms: Some(10),
            }
        } else {
            Self {
                warm_ms: 300,
                bulk_ms: ms(1.0),
                ping_ms: ms(0.5),
                beside_ms: ms(1.0),
                open_ms: ms(0.5),
                every_ms: None,
            }
        }
    }
}

impl Lengths {
    /// The command for a transfer.
    pub(super) fn bulk(&self, way: &Value, direction: &str) -> Value {
        let Self {
            warm_ms, bulk_ms, ..
        } = self;
        json!({"do": "bulk", "way": way, "direction": direction, "warm_ms": warm_ms, "ms": bulk_ms})
    }
}

/// What is measured in turns.
pub(super) struct Turns<'a> {
    rig: Rig<'a>,
    ours: Ours,
    direct: u16,
    rathole: super::rathole::Rathole,
    lengths: Lengths,
}

impl<'a> Turns<'a> {
    pub(super) fn start(mut rig: Rig<'a>, network: Network, seconds: f64) -> Result<Self> {
        let direct = rig.direct(network)?;
        let rathole = rig.rathole(network)?;
        let (ours, _) = rig.ours(network, Resume::Yes)?;
        Ok(Self {
            rig,
            ours,
            direct,
            rathole,
            lengths: Lengths::of(network, seconds),
        })
    }

    /// Everything once.
    pub(super) fn round(&mut self, network: Network, samples: &mut Samples) -> Result<()> {
        for target in [
            Target::DirectTcp,
            Target::Rathole,
            Target::Forwarder,
            Target::Embedded,
            Target::DirectHttp,
        ] {
            self.measure(network, target, samples)
                .with_context(|| format!("measuring {target:?} on {network:?}"))?;
        }
        Ok(())
    }

    fn way(&self, target: Target, lane: Lane) -> Value {
        match target {
            Target::DirectTcp => tcp(self.direct),
            Target::Rathole => tcp(self.rathole.port),
            _ => self.ours.way(target, lane),
        }
    }

    fn processes(&self, target: Target) -> Vec<u32> {
        match target {
            Target::DirectTcp => Vec::new(),
            Target::Rathole => vec![self.rathole.server, self.rathole.client],
            _ => vec![self.ours.server, self.ours.agent],
        }
    }

    /// Our server is the load generator of whatever is embedded in it.
    fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        target: Target,
        command: &Value,
    ) -> Result<T> {
        match target {
            Target::DirectHttp | Target::Embedded => self.ours.control.ask(command),
            _ => self.rig.load.ask(command),
        }
    }

    fn measure(&mut self, network: Network, target: Target, samples: &mut Samples) -> Result<()> {
        let way = self.way(target, Lane::Control);
        let lengths = self.lengths;
        // Beyond what one request costs, HTTP/1.1 says little about a slow line.
        if target != Target::DirectHttp || network == Network::Loopback {
            self.bulk(
                target,
                &way,
                "down",
                (Figure::DownRate, Figure::DownCpu),
                samples,
            )?;
            self.bulk(target, &way, "up", (Figure::UpRate, Figure::UpCpu), samples)?;
        }
        if target != Target::DirectHttp {
            let mut ping = json!({"do": "ping", "way": way, "ms": lengths.ping_ms, "every_ms": lengths.every_ms});
            let figures = (Figure::IdleP50, Figure::IdleP99);
            self.times(target, &ping, figures, samples)?;
            ping["ms"] = lengths.beside_ms.into();
            ping["warm_ms"] = lengths.warm_ms.into();
            ping["beside"] = way.clone();
            let figures = (Figure::BesideP50, Figure::BesideP99);
            self.times(target, &ping, figures, samples)?;
            if matches!(target, Target::Forwarder | Target::Embedded) {
                ping["beside"] = self.way(target, Lane::Bulk);
                let figures = (Figure::OtherLaneP50, Figure::OtherLaneP99);
                self.times(target, &ping, figures, samples)?;
            }
        }
        let open = json!({"do": "open", "way": way, "ms": lengths.open_ms});
        self.times(target, &open, (Figure::OpenP50, Figure::OpenP99), samples)
    }

    fn bulk(
        &mut self,
        target: Target,
        way: &Value,
        direction: &str,
        (rate, cpu): (Figure, Figure),
        samples: &mut Samples,
    ) -> Result<()> {
        let command = self.lengths.bulk(way, direction);
        let processes = self.processes(target);
        let before = total_cpu(&processes)?;
        let Bulk { bytes, per_second } = self.ask(target, &command)?;
        let used = total_cpu(&processes)? - before;
        samples.push(target, rate, per_second * 8.0 / 1e9);
        if !processes.is_empty() {
            samples.push(target, cpu, used / (bytes / 1e9));
        }
        Ok(())
    }

    fn times(
        &mut self,
        target: Target,
        command: &Value,
        (p50, p99): (Figure, Figure),
        samples: &mut Samples,
    ) -> Result<()> {
        let times: Times = self.ask(target, command)?;
        samples.push(target, p50, times.p50_us);
        samples.push(target, p99, times.p99_us);
        Ok(())
    }

    pub(super) fn stop(mut self) {
        self.rig.programs.stop();
    }
}

/// One transfer, and the seconds that some processes computed per gigabyte of it.
pub(super) fn cpu_per_gigabyte(
    control: &mut super::control::Control,
    processes: &[u32],
    command: &Value,
) -> Result<f64> {
    let before = total_cpu(processes)?;
    let Bulk { bytes, .. } = control.ask(command)?;
    Ok((total_cpu(processes)? - before) / (bytes / 1e9))
}

fn total_cpu(processes: &[u32]) -> Result<f64> {
    processes.iter().map(|id| cpu_seconds(*id)).sum()
}
