//! Instances: what runners say about them, and how they end.

use helix_proto::{
    InstanceId, RunnerId,
    runner::{Failure, FailureKind, InstanceState, InstanceStatus, Progress},
};

use super::Scheduler;
use crate::{
    decision::{Action, StopReason},
    fleet::Phase,
    wait::bytes,
};

impl Scheduler {
    pub(super) fn instance_reported(&mut self, runner: RunnerId, status: &InstanceStatus) {
        let Some(instance) = self.instances.get_mut(&status.id) else {
            self.unexpected(runner, status);
            return;
        };
        if instance.runner != runner {
            return;
        }
        for memory in &status.peak {
            let peak = instance.peak.entry(memory.device.clone()).or_default();
            *peak = memory.bytes.max(*peak);
        }
        instance.progress = status.progress.as_ref().map(progress_text);
        self.learn_peak(status.id);
        match status.state {
            InstanceState::Downloading | InstanceState::Starting => self.is_starting(status.id),
            InstanceState::Ready => self.is_ready(status.id),
            InstanceState::Draining => self.is_stopping(status.id),
            InstanceState::Stopped => self.has_stopped(status.id),
            InstanceState::Failed => {
                let failure = status.failure.clone().unwrap_or_else(unexplained);
                self.instance_failed(status.id, failure);
            }
        }
    }

    /// An instance that was given up, or that nobody asked for: it is counted
    /// until it has ended, and told to.
    fn unexpected(&mut self, runner: RunnerId, status: &InstanceStatus) {
        if status.state.is_terminal() || !self.runners.contains_key(&runner) {
            return;
        }
        self.adopt(runner, status);
        self.tell_stop(status.id, StopReason::Unexpected);
    }

    fn is_starting(&mut self, id: InstanceId) {
        let now_ms = self.now_ms;
        if let Some(instance) = self.instances.get_mut(&id)
            && matches!(instance.phase, Phase::Starting { .. } | Phase::Ready)
        {
            let told_at_ms = match instance.phase {
                Phase::Starting { told_at_ms, .. } => told_at_ms,
                _ => now_ms,
            };
            instance.phase = Phase::Starting {
                told_at_ms,
                acknowledged: true,
            };
        }
    }

    fn is_ready(&mut self, id: InstanceId) {
        let now_ms = self.now_ms;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.suspect_until_ms = 0;
            if matches!(instance.phase, Phase::Starting { .. }) {
                instance.phase = Phase::Ready;
                instance.ready_at_ms = now_ms;
                instance.last_used_ms = now_ms;
            }
        }
    }

    fn is_stopping(&mut self, id: InstanceId) {
        let told_at_ms = self.now_ms;
        if let Some(instance) = self.instances.get_mut(&id)
            && !instance.is_stopping()
        {
            // Not by our word: the runner is shutting down.
            let why = StopReason::RunnerDraining;
            instance.phase = Phase::Stopping { told_at_ms, why };
        }
    }

    fn has_stopped(&mut self, id: InstanceId) {
        let starting = self
            .instances
            .get(&id)
            .is_some_and(|instance| matches!(instance.phase, Phase::Starting { .. }));
        if starting {
            let message = "the runner stopped it before it was ready".to_owned();
            let failure = Failure {
                kind: FailureKind::Crashed,
                message,
                log: Vec::new(),
            };
            self.instance_failed(id, failure);
        } else {
            self.forget(id);
        }
    }

    pub(super) fn instance_gone(&mut self, id: InstanceId) {
        if self
            .instances
            .get(&id)
            .is_some_and(|instance| !instance.is_planned())
        {
            self.has_stopped(id);
        }
    }

    pub(super) fn instance_failed(&mut self, id: InstanceId, failure: Failure) {
        let Some(instance) = self.forget(id) else {
            return;
        };
        if instance.is_stopping() {
            return;
        }
        if failure.kind == FailureKind::OutOfMemory {
            self.learn_out_of_memory(&instance);
        }
        self.note_failure(instance.model, instance.runner, failure);
    }

    pub(super) fn stop_requested(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        if instance.is_planned() {
            self.cancel_plan(id);
        } else if !instance.is_stopping() {
            self.tell_stop(id, StopReason::Requested);
        }
    }

    /// Forgets an instance that is no more. Its room is free.
    pub(super) fn forget(&mut self, id: InstanceId) -> Option<crate::fleet::Instance> {
        self.instances.remove(&id)
    }

    /// Tells the runner to stop an instance, whatever it does.
    pub(super) fn tell_stop(&mut self, id: InstanceId, why: StopReason) {
        let now_ms = self.now_ms;
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        instance.retire.get_or_insert_with(|| why.clone());
        instance.phase = Phase::Stopping {
            told_at_ms: now_ms,
            why: why.clone(),
        };
        let (runner, model) = (instance.runner, instance.model);
        let reason = format!("{}: {why}", self.model_name(model));
        self.decide(
            Action::StopInstance {
                instance: id,
                runner,
                why,
            },
            reason,
        );
    }
}

fn progress_text(progress: &Progress) -> String {
    match (progress.done_bytes, progress.total_bytes) {
        (Some(done), Some(total)) => {
            format!("{}, {} of {}", progress.step, bytes(done), bytes(total))
        }
        (Some(done), None) => format!("{}, {}", progress.step, bytes(done)),
        _ => progress.step.clone(),
    }
}

fn unexplained() -> Failure {
    let message = "the runner gave no reason".to_owned();
    Failure {
        kind: FailureKind::Crashed,
        message,
        log: Vec::new(),
    }
}
