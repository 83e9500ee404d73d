//! The state machine: `(state, event, now) → (state, decisions)`.

mod explain;
mod instances;
mod memory;
mod pass;
mod place;
mod plans;
mod requests;
mod runners;
mod starts;
mod view;

use std::collections::{BTreeMap, VecDeque};

use helix_proto::{
    InstanceId, ModelId, RequestId, RunnerId, TypedId as _,
    runner::{Failure, FailureKind},
};

use crate::{
    decision::{Action, Decision},
    event::{DeviceClass, Event, LearnedNeed, ModelSpec, RequestSpec},
    fleet::{Instance, Runner},
    options::Options,
};

pub use view::{InstanceView, Stage};

/// Decides which request goes to which instance, and which instances there are.
///
/// # Contract
///
/// - Every request given by [`Event::RequestQueued`] gets exactly one end: one
///   [`Action::Reject`], or a [`Action::Dispatch`] whose end the driver reports
///   (after [`crate::Outcome::LostBeforeResponse`] a request is queued again).
/// - The driver reports the end of every dispatched request once, also when its
///   runner or instance is gone.
/// - Bytes set aside on a device never exceed what it can give: its size, less
///   the headroom, less what other programs were last seen to use. (A running
///   instance that is measured to use more than was set aside for it is the one
///   thing that can break this, from outside.)
/// - An instance with requests in flight is never stopped to make room.
/// - `now_ms` should come from a clock that does not jump; a time before one
///   already seen counts as that one.
/// - The same events at the same times give the same decisions.
#[derive(Debug, Clone)]
pub struct Scheduler {
    options: Options,
    seed: u64,
    counter: u64,
    now_ms: u64,
    first_event_at_ms: Option<u64>,
    runners: BTreeMap<RunnerId, Runner>,
    instances: BTreeMap<InstanceId, Instance>,
    models: BTreeMap<ModelId, Model>,
    waiting: BTreeMap<RequestId, Waiting>,
    running: BTreeMap<RequestId, Running>,
    failures: BTreeMap<(ModelId, RunnerId), Failures>,
    out: Vec<Decision>,
    history: VecDeque<(u64, Decision)>,
}

/// The place of a request in the queue: smaller goes first. The first number is
/// when it came, later by one step of aging for each priority below the highest;
/// the second is the order of arrival.
type QueueKey = (u64, u64);

#[derive(Debug, Clone)]
struct Model {
    spec: ModelSpec,
    learned: BTreeMap<DeviceClass, LearnedNeed>,
    /// Until when someone wants an instance though no request waits.
    prewarm_until_ms: Option<u64>,
    waiting: BTreeMap<QueueKey, RequestId>,
}

#[derive(Debug, Clone)]
struct Waiting {
    spec: RequestSpec,
    key: QueueKey,
    queued_at_ms: u64,
    /// It was dispatched before, and lost.
    lost_before: bool,
}

#[derive(Debug, Clone)]
struct Running {
    request: Waiting,
    instance: InstanceId,
    runner: RunnerId,
    started_at_ms: u64,
}

/// Failed starts of a model on a runner, in a row.
#[derive(Debug, Clone)]
struct Failures {
    count: u32,
    next_try_at_ms: u64,
    last: Failure,
}

impl Failures {
    /// Whether waiting requests should not wait for another attempt here.
    const fn is_exhausted(&self, limit: u32) -> bool {
        self.count >= limit || is_lasting(self.last.kind)
    }
}

/// Whether a failure of this kind stays until a person does something.
const fn is_lasting(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::EngineMissing | FailureKind::ModelMissing | FailureKind::Unsupported
    )
}

impl Scheduler {
    /// A scheduler that knows nothing yet. The seed should be random: it keeps
    /// the instance ids of two schedulers apart.
    pub const fn new(options: Options, seed: u64) -> Self {
        Self {
            options,
            seed,
            counter: 0,
            now_ms: 0,
            first_event_at_ms: None,
            runners: BTreeMap::new(),
            instances: BTreeMap::new(),
            models: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            failures: BTreeMap::new(),
            out: Vec::new(),
            history: VecDeque::new(),
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, event: Event, now_ms: u64) -> Vec<Decision> {
        self.now_ms = self.now_ms.max(now_ms);
        self.first_event_at_ms.get_or_insert(self.now_ms);
        self.apply(event);
        self.pass();
        std::mem::take(&mut self.out)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::RunnerUp {
                runner,
                info,
                draining,
            } => self.runner_up(runner, &info, draining),
            Event::RunnerDown { runner } => self.runner_down(runner),
            Event::RunnerAway { runner } => self.runner_away(runner),
            Event::RunnerBack { runner } => self.runner_back(runner),
            Event::RunnerRemoved { runner } => self.runner_removed(runner),
            Event::RunnerDraining { runner } => self.set_draining(runner, true),
            Event::RunnerResumed { runner } => self.set_draining(runner, false),
            Event::DevicesMeasured { runner, devices } => self.measured(runner, &devices),
            Event::InstanceReported { runner, status } => self.instance_reported(runner, &status),
            Event::StartRefused { instance, failure } => self.instance_failed(instance, failure),
            Event::InstanceGone { instance } => self.instance_gone(instance),
            Event::ModelPut(spec) => self.model_put(*spec),
            Event::ModelRemoved { model } => self.model_removed(model),
            Event::Prewarm { model } => self.prewarm(model),
            Event::StopInstance { instance } => self.stop_requested(instance),
            Event::RequestQueued(spec) => self.request_queued(spec),
            Event::RequestCancelled { request } => self.request_cancelled(request),
            Event::RequestFinished { request, outcome } => self.request_finished(request, outcome),
            Event::Tick => {}
        }
    }

    /// What was decided lately, oldest first, with the time of each.
    pub fn decisions(&self) -> impl Iterator<Item = &(u64, Decision)> {
        self.history.iter()
    }

    fn decide(&mut self, action: Action, reason: impl Into<String>) {
        let decision = Decision {
            action,
            reason: reason.into(),
        };
        if self.history.len() >= self.options.decisions_kept {
            self.history.pop_front();
        }
        if self.options.decisions_kept > 0 {
            self.history.push_back((self.now_ms, decision.clone()));
        }
        self.out.push(decision);
    }

    /// A number that was not given before.
    const fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn next_instance_id(&mut self) -> InstanceId {
        let number = self.next_number();
        let random = u128::from(split_mix(self.seed ^ split_mix(number))) << 16;
        InstanceId::from_parts(self.now_ms, random | u128::from(number & 0xffff))
    }

    fn model_name(&self, model: ModelId) -> String {
        self.models
            .get(&model)
            .map_or_else(|| model.to_string(), |model| model.spec.name.clone())
    }

    fn runner_name(&self, runner: RunnerId) -> String {
        self.runners
            .get(&runner)
            .map_or_else(|| runner.to_string(), |runner| runner.name.clone())
    }
}

/// The mixing function of SplitMix64 (Steele, Lea, Flood, *Fast splittable
/// pseudorandom number generators*, 2014).
const fn split_mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
