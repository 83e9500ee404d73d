//! What must hold at every step, and at the end.

use helix_scheduler::{Action, RejectReason, Stage, StopReason};

use super::{RequestState, World};

impl World {
    /// A decision, before it is carried out.
    pub(super) fn check(&mut self, action: &Action, reason: &str) {
        let at = format!(
            "seed {} at {}: {action:?}: {reason}",
            self.seed, self.now_ms
        );
        match action {
            Action::StartInstance {
                instance,
                runner,
                model,
                devices,
            } => {
                let runner = &self.runners[self.index(*runner)];
                assert!(runner.takes_work(), "{at}");
                assert!(!runner.instances.contains_key(instance), "{at}");
                assert_eq!(
                    devices.len(),
                    self.models[model].spec.devices as usize,
                    "{at}"
                );
                for memory in devices {
                    self.check_device(runner.id, &memory.device, &at);
                }
                self.check_instances(*model, &at);
            }
            Action::StopInstance {
                instance,
                why: StopReason::Evicted { .. },
                runner,
            } => {
                assert!(!self.runners[self.index(*runner)].away, "{at}");
                let in_flight = self.requests.values().any(|state| {
                    matches!(state, RequestState::InFlight { instance: on, .. } if on == instance)
                });
                assert!(!in_flight, "evicted at work: {at}");
            }
            Action::Dispatch {
                request,
                instance,
                runner,
            } => {
                let state = self.requests[request];
                assert!(
                    matches!(state, RequestState::Waiting { .. }),
                    "{state:?}: {at}"
                );
                let runner = &self.runners[self.index(*runner)];
                assert!(runner.takes_work(), "{at}");
                let view = self
                    .scheduler
                    .instance(*instance)
                    .expect("a known instance");
                assert_eq!((view.stage, view.runner), (Stage::Ready, runner.id), "{at}");
                assert!(
                    view.in_flight <= self.models[&view.model].spec.parallel,
                    "{at}"
                );
                self.note_wait(*request);
            }
            Action::Reject { request, why } => {
                let RequestState::Waiting { deadline_at_ms } = self.requests[request] else {
                    panic!("answered twice: {at}");
                };
                if matches!(why, RejectReason::TimedOut { .. }) {
                    assert!(deadline_at_ms <= self.now_ms, "{at}");
                }
                assert!(!why.to_string().is_empty(), "{at}");
            }
            Action::StopInstance { runner, why, .. } => {
                let runner = &self.runners[self.index(*runner)];
                assert!(!runner.away || *why == StopReason::Requested, "{at}");
            }
            Action::RecordNeed { .. } => {}
        }
    }

    /// The books and the truth: neither has more on a device than there is.
    fn check_device(&self, runner: helix_proto::RunnerId, device: &str, at: &str) {
        let sim = &self.runners[self.index(runner)];
        let (_, total, foreign) = sim
            .devices
            .iter()
            .find(|(id, ..)| id == device)
            .expect("a known device");
        let reserved = self.scheduler.reserved_bytes(runner, device);
        let believed = self
            .scheduler
            .foreign_bytes_on(runner, device)
            .expect("a measured device");
        let headroom = crate::world::GIB / 2;
        assert!(
            reserved + believed + headroom <= *total,
            "over-committed: {at}"
        );
        assert!(
            believed >= *foreign,
            "other programs' memory was forgotten: {at}"
        );
        assert!(
            sim.used_on(device) + foreign <= *total,
            "really over-committed: {at}"
        );
    }

    fn check_instances(&self, model: helix_proto::ModelId, at: &str) {
        let adopted = !self.calm;
        let count = self
            .scheduler
            .instances()
            .filter(|i| i.model == model)
            .count();
        let most = self.models[&model].spec.max_instances as usize;
        assert!(count <= most || adopted, "{count} instances: {at}");
    }

    fn note_wait(&mut self, request: helix_proto::RequestId) {
        let queue = self.scheduler.queue();
        if let Some(running) = queue.running.iter().find(|running| running.id == request) {
            let waited = running.started_at_ms - running.queued_at_ms;
            self.longest_wait_ms = self.longest_wait_ms.max(waited);
        }
    }

    /// The scheduler and the world agree on who waits and who is in flight, and
    /// there is a reason for each that waits.
    pub(super) fn check_counts(&self) {
        let count = |which: fn(&RequestState) -> bool| {
            self.requests.values().filter(|state| which(state)).count()
        };
        let waiting = count(|state| matches!(state, RequestState::Waiting { .. }));
        let running = count(|state| matches!(state, RequestState::InFlight { .. }));
        let at = format!("seed {} at {}", self.seed, self.now_ms);
        assert_eq!(
            (self.scheduler.waiting(), self.scheduler.running()),
            (waiting, running),
            "{at}"
        );
        if let Some(id) = self.scheduler.waiting_ids().next() {
            assert!(self.scheduler.explain(id).is_some(), "{at}");
        }
    }

    pub(super) fn check_end(&self) {
        let open: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, s)| !matches!(s, RequestState::Completed | RequestState::Ended))
            .collect();
        assert!(
            open.is_empty(),
            "seed {}: never answered: {open:?}",
            self.seed
        );
        for instance in self.scheduler.instances() {
            assert_eq!(
                instance.in_flight, 0,
                "seed {}: a place was leaked",
                self.seed
            );
            // Nobody waits; only a prewarmed model may still wait for room.
            let plan = instance.stage == Stage::Planned && self.calm;
            assert!(!plan, "seed {}: a plan was left", self.seed);
        }
    }
}
