//! The contract of [`Engine`] as a kit of checks, one for each bullet, to be run
//! on every engine, and on one that breaks a bullet and must fail.

mod checks;
mod up;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use helix_base::{OutboundOptions, SecretString};
use helix_proto::{
    InstanceId, TypedId as _,
    model::ModelSource,
    runner::{Device, StartInstance},
};
use rand::RngExt as _;

use crate::{
    engine::{Engine, Job},
    process::Supervisor,
};

/// An engine under test, and what it needs to be tested with.
#[derive(Debug)]
pub struct Subject {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Supervises its processes.
    pub supervisor: Supervisor,
    /// The devices that `works` names.
    pub devices: Vec<Device>,
    /// A model that works.
    pub works: StartInstance,
    /// A source that this engine takes and that leads nowhere.
    pub missing: ModelSource,
    /// A source that is there, and that cannot be loaded.
    pub broken: Option<ModelSource>,
    /// A question, and what must be in the answer.
    pub question: (String, String),
    /// A page of the engine, and what is on it while it works on a request.
    pub busy: Option<(String, String)>,
    /// How long the engine may take to come up.
    pub ready_within: Duration,
    /// How long its process may take to end once asked.
    pub ends_within: Duration,
}

impl Subject {
    fn job(&self, source: &ModelSource) -> Job {
        let start = StartInstance {
            source: source.clone(),
            ..self.works.clone()
        };
        let set_aside = |device: &Device| {
            let wanted = start
                .devices
                .iter()
                .find(|wanted| wanted.device == device.id);
            wanted.map(|wanted| (device.clone(), wanted.bytes))
        };
        let devices = self.devices.iter().filter_map(set_aside).collect();
        let key = SecretString::from(format!("{:032x}", rand::rng().random::<u128>()));
        Job {
            id: InstanceId::from_parts(0, 1),
            start,
            devices,
            key,
        }
    }
}

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the contract says.
    pub bullet: &'static str,
    /// What was seen instead, if anything.
    pub result: Result<(), String>,
}

/// How all checks went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of the contract.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// The bullets that do not hold.
    pub fn broken(&self) -> Vec<&'static str> {
        let broken = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.result.is_err());
        broken.map(|outcome| outcome.bullet).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Outcome { bullet, result } in &self.outcomes {
            match result {
                Ok(()) => writeln!(f, "ok      {bullet}")?,
                Err(why) => writeln!(f, "BROKEN  {bullet}: {why}")?,
            }
        }
        Ok(())
    }
}

type Check =
    for<'a> fn(&'a Subject) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

macro_rules! checks {
    ($($bullet:literal => $check:ident,)*) => {
        &[$(($bullet, |subject| Box::pin(checks::$check(subject)))),*]
    };
}

/// The bullets of the contract.
const CHECKS: &[(&str, Check)] = checks! {
    "detect says what it found or what to do" => detect,
    "a source of another kind is unsupported" => other_sources,
    "what is not there is a missing model" => missing,
    "fetch is idempotent and may be dropped" => fetch_twice,
    "a plan has no effect and is the same each time" => plan_twice,
    "nothing there yet is loading" => nothing_there,
    "once ready the model answers by its name" => answers,
    "a dropped request stops costing work" => dropped_request,
    "a process ends when asked and hinders nothing" => ends_and_starts_again,
    "what cannot be loaded is never ready" => broken_model,
};

/// Runs all checks.
pub async fn run(subject: &Subject) -> Report {
    let mut outcomes = Vec::new();
    for (bullet, check) in CHECKS {
        outcomes.push(Outcome {
            bullet,
            result: check(subject).await,
        });
    }
    Report { outcomes }
}

fn client() -> Result<reqwest::Client, String> {
    let outbound = helix_base::Outbound::new(&OutboundOptions::default());
    outbound
        .map(|outbound| outbound.http().clone())
        .map_err(|error| error.to_string())
}
