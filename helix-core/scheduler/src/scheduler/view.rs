//! The state, for people to look at.

use helix_proto::{
    InstanceId, ModelId, RequestId, RunnerId,
    queue::{Queue, QueuedRequest, RunningRequest},
    runner::DeviceMemory,
};

use super::Scheduler;
use crate::{
    decision::StopReason,
    fleet::{Instance, Phase},
};

/// An instance as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// Its model.
    pub model: ModelId,
    /// Its runner.
    pub runner: RunnerId,
    /// Where it is in its life.
    pub stage: Stage,
    /// Set when it takes nothing new.
    pub ending: Option<StopReason>,
    /// Requests in flight on it.
    pub in_flight: u32,
    /// What is set aside for it.
    pub reserved: Vec<DeviceMemory>,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Others have to end before it is started.
    Planned,
    /// The runner was told to start it.
    Starting,
    /// It answers requests.
    Ready,
    /// The runner was told to stop it.
    Stopping,
}

impl Scheduler {
    /// The queue in the order in which it would be served, and what is in
    /// flight, oldest first.
    pub fn queue(&self) -> Queue {
        let mut waiting: Vec<_> = self
            .models
            .values()
            .flat_map(|model| {
                let requests = model.waiting.iter().enumerate();
                requests.filter_map(|(ahead, (key, id))| {
                    let request = self.waiting.get(id)?;
                    let reason = self.why_waiting(model, ahead).to_string();
                    Some((*key, request, model.spec.name.clone(), reason))
                })
            })
            .collect();
        waiting.sort_by_key(|(key, ..)| *key);
        let mut running: Vec<_> = self.running.values().collect();
        running.sort_by_key(|running| (running.started_at_ms, running.request.spec.id));
        Queue {
            waiting: waiting
                .into_iter()
                .map(|(_, request, model, reason)| QueuedRequest {
                    id: request.spec.id,
                    model,
                    user_id: request.spec.user,
                    priority: request.spec.priority,
                    queued_at_ms: request.queued_at_ms,
                    deadline_at_ms: request.spec.deadline_at_ms,
                    reason,
                })
                .collect(),
            running: running
                .into_iter()
                .map(|running| RunningRequest {
                    id: running.request.spec.id,
                    model: self.model_name(running.request.spec.model),
                    user_id: running.request.spec.user,
                    queued_at_ms: running.request.queued_at_ms,
                    started_at_ms: running.started_at_ms,
                    runner_id: running.runner,
                    instance_id: running.instance,
                })
                .collect(),
            capacity: self.options.queue_capacity,
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The requests that wait, in no useful order.
    pub fn waiting_ids(&self) -> impl Iterator<Item = RequestId> {
        self.waiting.keys().copied()
    }

    /// How many requests are in flight.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Every instance that has not ended.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView> {
        self.instances.values().map(view)
    }

    /// One instance, if it has not ended.
    pub fn instance(&self, id: InstanceId) -> Option<InstanceView> {
        self.instances.get(&id).map(view)
    }

    /// Bytes set aside on a device of a runner for instances that were started.
    pub fn reserved_bytes(&self, runner: RunnerId, device: &str) -> u64 {
        self.started_bytes(runner, device)
    }

    /// What other programs used on a device when it was last measured.
    pub fn foreign_bytes_on(&self, runner: RunnerId, device: &str) -> Option<u64> {
        Some(self.runners.get(&runner)?.device(device)?.foreign_bytes)
    }
}

fn view(instance: &Instance) -> InstanceView {
    InstanceView {
        id: instance.id,
        model: instance.model,
        runner: instance.runner,
        stage: match instance.phase {
            Phase::Planned { .. } => Stage::Planned,
            Phase::Starting { .. } => Stage::Starting,
            Phase::Ready => Stage::Ready,
            Phase::Stopping { .. } => Stage::Stopping,
        },
        ending: Scheduler::ending(instance),
        in_flight: instance.in_flight,
        reserved: instance.devices.clone(),
    }
}
