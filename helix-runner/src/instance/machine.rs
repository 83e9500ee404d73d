//! The life of an instance as a pure state machine: events and the time in,
//! actions out. It neither waits nor starts anything.
//!
//! ```text
//! downloading ─► starting ─► ready ─► draining ─► stopped
//!      │            │ ▲        │          (any) ─► failed
//!      └────────────┘ └────────┘ restart, a bounded number of times
//! ```

use std::time::{Duration, Instant};

use helix_base::Backoff;
use helix_proto::runner::{FailureKind, InstanceState, Progress};
use rand::{SeedableRng as _, rngs::SmallRng};

use super::LifeOptions;
use crate::engine::Stage;

/// How long a killed engine may take to be gone. One that hangs in the kernel
/// cannot be waited for.
const KILLED_WITHIN: Duration = Duration::from_secs(30);

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For programs.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// Starting once more is worth a try although the engine was never ready,
    /// because what hindered it has nothing to do with the model.
    pub by_chance: bool,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The weights are here.
    Fetched,
    /// Work before readiness went on.
    Progress(Stage, Progress),
    /// The engine answers, and the model is loaded.
    Loaded,
    /// Fetching, starting or loading failed.
    WorkFailed(Fault),
    /// A health check was answered well.
    Healthy,
    /// A health check was answered badly, or not at all.
    Unhealthy(String),
    /// The engine ended; why, if nobody asked it to.
    Exited(Fault),
    /// The instance is to stop.
    Stop,
    /// No request is in flight any more.
    Quiet,
    /// Time passed.
    Tick,
}

/// What is to be done for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Bring the weights here; answer with `Fetched` or `WorkFailed`.
    Fetch,
    /// Start the engine and load the model; answer with `Loaded` or
    /// `WorkFailed`, and with `Exited` when the engine ends.
    Launch,
    /// Stop fetching or loading.
    CancelWork,
    /// Ask the engine how it is; answer with `Healthy` or `Unhealthy`.
    Probe,
    /// Take no new requests, and answer with `Quiet` when none is in flight.
    Drain,
    /// Ask the engine to end.
    Terminate,
    /// Kill the engine.
    Kill,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Fetching,
    Starting {
        deadline: Option<Instant>,
    },
    Ready {
        since: Instant,
        probe_at: Option<Instant>,
        failures: u32,
    },
    Waiting {
        until: Instant,
    },
    Draining {
        until: Instant,
    },
    Stopping {
        kill_at: Option<Instant>,
        give_up_at: Instant,
        then: Outcome,
    },
    Stopped,
    Failed(Fault),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Stopped,
    Failed(Fault),
    Restart(Fault),
}

/// An instance's life.
#[derive(Debug)]
pub struct Machine {
    options: LifeOptions,
    ready_timeout: Duration,
    phase: Phase,
    progress: Option<Progress>,
    downloading: bool,
    was_ready: bool,
    restarts: u32,
    backoff: Backoff,
    random: SmallRng,
}

impl Machine {
    /// A new instance, and the first thing to do for it. `seed` spreads the
    /// restarts of instances that crashed together.
    pub fn new(options: LifeOptions, ready_timeout: Duration, seed: u64) -> (Self, Action) {
        let machine = Self {
            options,
            ready_timeout,
            phase: Phase::Fetching,
            progress: None,
            downloading: true,
            was_ready: false,
            restarts: 0,
            backoff: Backoff::new(options.backoff()),
            random: SmallRng::seed_from_u64(seed),
        };
        (machine, Action::Fetch)
    }

    /// Where it is in its life.
    pub const fn state(&self) -> InstanceState {
        match &self.phase {
            Phase::Fetching => InstanceState::Downloading,
            Phase::Starting { .. } if self.downloading => InstanceState::Downloading,
            Phase::Starting { .. } | Phase::Waiting { .. } => InstanceState::Starting,
            Phase::Stopping {
                then: Outcome::Restart(_),
                ..
            } => InstanceState::Starting,
            Phase::Ready { .. } => InstanceState::Ready,
            Phase::Draining { .. } | Phase::Stopping { .. } => InstanceState::Draining,
            Phase::Stopped => InstanceState::Stopped,
            Phase::Failed(_) => InstanceState::Failed,
        }
    }

    /// How far it has come on its way to ready.
    pub fn progress(&self) -> Option<&Progress> {
        matches!(
            self.state(),
            InstanceState::Downloading | InstanceState::Starting
        )
        .then_some(self.progress.as_ref())?
    }

    /// Why it failed, if it did.
    pub const fn fault(&self) -> Option<&Fault> {
        match &self.phase {
            Phase::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    /// How often the engine was started again.
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Starting { deadline } => *deadline,
            Phase::Ready { probe_at, .. } => *probe_at,
            Phase::Waiting { until } | Phase::Draining { until } => Some(*until),
            Phase::Stopping {
                kill_at,
                give_up_at,
                ..
            } => Some(kill_at.unwrap_or(*give_up_at)),
            Phase::Fetching | Phase::Stopped | Phase::Failed(_) => None,
        }
    }

    /// Takes in what happened, and says what to do, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Fetched => self.fetched(now),
            Event::Progress(stage, progress) => self.progressed(stage, progress, now),
            Event::Loaded => self.loaded(now),
            Event::WorkFailed(fault) => self.work_failed(fault, now),
            Event::Healthy => self.healthy(now),
            Event::Unhealthy(why) => self.unhealthy(&why, now),
            Event::Exited(fault) => self.exited(fault, now),
            Event::Stop => self.stop(now),
            Event::Quiet => match self.phase {
                Phase::Draining { .. } => self.end_engine(Outcome::Stopped, now),
                _ => Vec::new(),
            },
            Event::Tick => self.tick(now),
        }
    }

    fn fetched(&mut self, now: Instant) -> Vec<Action> {
        if self.phase != Phase::Fetching {
            return Vec::new();
        }
        self.launch(now)
    }

    fn launch(&mut self, now: Instant) -> Vec<Action> {
        self.downloading = false;
        self.phase = Phase::Starting {
            deadline: Some(now + self.ready_timeout),
        };
        vec![Action::Launch]
    }

    fn progressed(&mut self, stage: Stage, progress: Progress, now: Instant) -> Vec<Action> {
        if let Phase::Starting { deadline } = &mut self.phase {
            self.downloading = stage == Stage::Downloading;
            match stage {
                Stage::Downloading => *deadline = None,
                Stage::Starting => {
                    deadline.get_or_insert(now + self.ready_timeout);
                }
            }
        }
        if matches!(self.phase, Phase::Fetching | Phase::Starting { .. }) {
            self.progress = Some(progress);
        }
        Vec::new()
    }

    fn loaded(&mut self, now: Instant) -> Vec<Action> {
        if matches!(self.phase, Phase::Starting { .. }) {
            let probe_at = Some(now + self.options.probe_interval);
            self.phase = Phase::Ready {
                since: now,
                probe_at,
                failures: 0,
            };
            self.was_ready = true;
            self.progress = None;
        }
        Vec::new()
    }

    fn work_failed(&mut self, fault: Fault, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Fetching => {
                self.phase = Phase::Failed(fault);
                Vec::new()
            }
            Phase::Starting { .. } => self.end_engine(Outcome::Failed(fault), now),
            _ => Vec::new(),
        }
    }

    fn healthy(&mut self, now: Instant) -> Vec<Action> {
        if let Phase::Ready {
            since,
            probe_at,
            failures,
        } = &mut self.phase
        {
            *failures = 0;
            *probe_at = Some(now + self.options.probe_interval);
            if now.saturating_duration_since(*since) >= self.options.proven_after {
                self.backoff.succeeded();
            }
        }
        Vec::new()
    }

    fn unhealthy(&mut self, why: &str, now: Instant) -> Vec<Action> {
        let Phase::Ready {
            probe_at, failures, ..
        } = &mut self.phase
        else {
            return Vec::new();
        };
        *failures += 1;
        if *failures < self.options.probe_failures {
            *probe_at = Some(now + self.options.probe_interval);
            return Vec::new();
        }
        let message = format!(
            "the engine stopped answering its health check {failures} times in a row: {why}"
        );
        let fault = Fault {
            kind: FailureKind::Unhealthy,
            message,
            by_chance: false,
        };
        self.end_engine(Outcome::Restart(fault), now)
    }

    fn exited(&mut self, fault: Fault, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Starting { .. } => {
                actions.push(Action::CancelWork);
                if self.was_ready || fault.by_chance {
                    self.restart_or_fail(fault, now);
                } else {
                    self.phase = Phase::Failed(fault);
                }
            }
            Phase::Ready { since, .. } => {
                if now.saturating_duration_since(since) >= self.options.proven_after {
                    self.backoff.succeeded();
                }
                self.restart_or_fail(fault, now);
            }
            Phase::Stopping {
                then: Outcome::Failed(first),
                ..
            } => self.phase = Phase::Failed(first),
            Phase::Stopping {
                then: Outcome::Restart(first),
                ..
            } => self.restart_or_fail(first, now),
            Phase::Draining { .. }
            | Phase::Stopping {
                then: Outcome::Stopped,
                ..
            } => {}
            other @ (Phase::Fetching
            | Phase::Waiting { .. }
            | Phase::Stopped
            | Phase::Failed(_)) => {
                self.phase = other;
            }
        }
        actions
    }

    /// Memory that ran out once will run out again, so that is for the
    /// scheduler to learn from rather than to be tried again.
    fn restart_or_fail(&mut self, fault: Fault, now: Instant) {
        if fault.kind == FailureKind::OutOfMemory
            || self.backoff.attempts() >= self.options.max_restarts
        {
            self.phase = Phase::Failed(fault);
            return;
        }
        let delay = self.backoff.next_delay(&mut self.random);
        self.restarts += 1;
        let (attempt, max) = (self.backoff.attempts(), self.options.max_restarts);
        let step = format!("starting again ({attempt} of {max}): {}", fault.message);
        self.progress = Some(Progress {
            step,
            done_bytes: None,
            total_bytes: None,
        });
        self.downloading = false;
        self.phase = Phase::Waiting { until: now + delay };
    }

    fn stop(&mut self, now: Instant) -> Vec<Action> {
        match &mut self.phase {
            Phase::Fetching => {
                self.phase = Phase::Stopped;
                vec![Action::CancelWork]
            }
            Phase::Waiting { .. } => {
                self.phase = Phase::Stopped;
                Vec::new()
            }
            Phase::Starting { .. } => self.end_engine(Outcome::Stopped, now),
            Phase::Ready { .. } => {
                self.phase = Phase::Draining {
                    until: now + self.options.drain_timeout,
                };
                vec![Action::Drain]
            }
            Phase::Stopping { then, .. } => {
                if matches!(then, Outcome::Restart(_)) {
                    *then = Outcome::Stopped;
                }
                Vec::new()
            }
            Phase::Draining { .. } | Phase::Stopped | Phase::Failed(_) => Vec::new(),
        }
    }

    fn end_engine(&mut self, then: Outcome, now: Instant) -> Vec<Action> {
        let kill_at = now + self.options.stop_grace;
        self.phase = Phase::Stopping {
            kill_at: Some(kill_at),
            give_up_at: kill_at + KILLED_WITHIN,
            then,
        };
        vec![Action::CancelWork, Action::Terminate]
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        if self.wake_at().is_none_or(|due| due > now) {
            return Vec::new();
        }
        match &mut self.phase {
            Phase::Starting { .. } => {
                let seconds = self.ready_timeout.as_secs();
                let last = self
                    .progress
                    .as_ref()
                    .map_or("starting", |progress| &progress.step);
                let message = format!(
                    "not ready within {seconds} s (last step: {last}); raise the model's ready_timeout_ms if it needs longer"
                );
                let fault = Fault {
                    kind: FailureKind::ReadyTimeout,
                    message,
                    by_chance: false,
                };
                self.end_engine(Outcome::Failed(fault), now)
            }
            Phase::Ready { probe_at, .. } => {
                *probe_at = None;
                vec![Action::Probe]
            }
            Phase::Waiting { .. } => self.launch(now),
            Phase::Draining { .. } => self.end_engine(Outcome::Stopped, now),
            Phase::Stopping { kill_at, .. } if kill_at.is_some() => {
                *kill_at = None;
                vec![Action::Kill]
            }
            Phase::Stopping { .. } => {
                let message = "the engine is still there 30 s after it was killed; the machine may need a restart".to_owned();
                self.phase = Phase::Failed(Fault {
                    kind: FailureKind::Crashed,
                    message,
                    by_chance: false,
                });
                Vec::new()
            }
            Phase::Fetching | Phase::Stopped | Phase::Failed(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
