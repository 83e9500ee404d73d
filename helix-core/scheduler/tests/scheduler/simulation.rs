//! A simulated world: runners that load, crash, are cut off, reboot and drain,
//! clients that come, leave and wait, a control plane that restarts. Each seed
//! is one schedule; the rules that must hold always are checked at every step.

mod checks;
mod runners;

use std::collections::BTreeMap;

use helix_proto::{InstanceId, ModelId, RequestId, RunnerId, queue::Priority};
use helix_scheduler::{
    Action, Decision, Event, LearnedNeed, ModelSpec, Options, Outcome, RequestSpec, Scheduler,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::world::*;
use runners::SimRunner;

/// New requests and trouble come until then.
const STORM_MS: u64 = 90_000;

/// By then everything has ended: the longest deadline, and time to spare.
const END_MS: u64 = STORM_MS + 400_000;

const START_MS: u64 = 1_000_000;

/// What happens in the world, apart from what the scheduler decides.
#[derive(Debug, Clone)]
enum Happening {
    Request,
    Cancel,
    Finish {
        request: RequestId,
        attempt: u32,
        outcome: Outcome,
    },
    Start {
        runner: usize,
        session: u32,
        instance: InstanceId,
        model: ModelId,
        bytes: Vec<(String, u64)>,
    },
    Stop {
        runner: usize,
        session: u32,
        instance: InstanceId,
    },
    Loaded {
        runner: usize,
        instance: InstanceId,
    },
    Ended {
        runner: usize,
        instance: InstanceId,
    },
    Crash {
        runner: usize,
    },
    Measure {
        runner: usize,
    },
    Cut {
        runner: usize,
    },
    /// The connection breaks, and the tunnel waits for the next one.
    Falter {
        runner: usize,
    },
    Recover {
        runner: usize,
        session: u32,
    },
    Connect {
        runner: usize,
        session: u32,
    },
    Drain {
        runner: usize,
    },
    Resume {
        runner: usize,
    },
    Restart,
    Prewarm,
    AdminStop,
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestState {
    Waiting {
        deadline_at_ms: u64,
    },
    InFlight {
        instance: InstanceId,
        runner: RunnerId,
        attempt: u32,
    },
    Completed,
    Ended,
}

struct SimModel {
    spec: ModelSpec,
    /// What an instance really uses on each device.
    real_bytes: u64,
    /// How many of a hundred loads fail.
    crashes: u32,
}

struct World {
    seed: u64,
    random: StdRng,
    now_ms: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    scheduler: Scheduler,
    models: BTreeMap<ModelId, SimModel>,
    runners: Vec<SimRunner>,
    requests: BTreeMap<RequestId, RequestState>,
    learned: BTreeMap<ModelId, Vec<(helix_scheduler::DeviceClass, LearnedNeed)>>,
    /// Nothing goes wrong, and there is room for every model.
    calm: bool,
    longest_wait_ms: u64,
}

impl World {
    fn new(seed: u64, calm: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let runners: Vec<_> = (0..random.random_range(1..4))
            .map(|n| SimRunner::new(n, calm, &mut random))
            .collect();
        let models = (0..random.random_range(1..6))
            .map(|number| sim_model(number, calm, &mut random))
            .map(|model| (model.spec.id, model))
            .collect();
        let mut world = Self {
            seed,
            random,
            now_ms: START_MS,
            order: 0,
            agenda: BTreeMap::new(),
            scheduler: scheduler(seed, calm),
            models,
            runners,
            requests: BTreeMap::new(),
            learned: BTreeMap::new(),
            calm,
            longest_wait_ms: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.put_models();
        for runner in 0..self.runners.len() {
            self.later(0, 2_000, Happening::Connect { runner, session: 0 });
        }
        self.later(0, 100, Happening::Tick);
        let requests = self.random.random_range(5..80);
        for _ in 0..requests {
            self.later(0, STORM_MS, Happening::Request);
        }
        if self.calm {
            return;
        }
        for _ in 0..self.random.random_range(0..12) {
            let runner = self.random.random_range(0..self.runners.len());
            let happening = match self.random.random_range(0..11) {
                0 | 1 => Happening::Cancel,
                2 | 3 => Happening::Cut { runner },
                4 => Happening::Crash { runner },
                5 => Happening::Drain { runner },
                6 => Happening::Restart,
                7 => Happening::Prewarm,
                8 | 9 => Happening::Falter { runner },
                _ => Happening::AdminStop,
            };
            self.later(0, STORM_MS, happening);
        }
    }

    /// Puts something on the agenda, between so and so long from now.
    fn later(&mut self, from_ms: u64, to_ms: u64, happening: Happening) {
        let at = self.now_ms + self.random.random_range(from_ms..=to_ms);
        self.order += 1;
        self.agenda.insert((at, self.order), happening);
    }

    fn run(mut self) -> Self {
        while let Some(((at, _), happening)) = self.agenda.pop_first() {
            let settled = at > START_MS + STORM_MS && self.is_settled();
            if settled || at > START_MS + END_MS {
                break;
            }
            self.now_ms = at;
            self.happen(happening);
            self.check_counts();
        }
        self.check_end();
        self
    }

    /// Whether nothing is left to be answered.
    fn is_settled(&self) -> bool {
        let ended = |s: &RequestState| matches!(s, RequestState::Completed | RequestState::Ended);
        self.requests.values().all(ended)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Request => self.new_request(),
            Happening::Cancel => self.cancel_one(),
            Happening::Finish {
                request,
                attempt,
                outcome,
            } => self.finish(request, attempt, outcome),
            Happening::Restart => self.restart(),
            Happening::Prewarm => {
                let model = self.any_model();
                self.tell(Event::Prewarm { model });
            }
            Happening::AdminStop => {
                let any = self
                    .scheduler
                    .instances()
                    .next()
                    .map(|instance| instance.id);
                if let Some(instance) = any {
                    self.tell(Event::StopInstance { instance });
                }
            }
            Happening::Tick => {
                self.tell(Event::Tick);
                self.later(250, 250, Happening::Tick);
            }
            of_runner => self.happen_to_runner(of_runner),
        }
    }

    fn tell(&mut self, event: Event) {
        let decisions = self.scheduler.handle(event, self.now_ms);
        for Decision { action, reason } in decisions {
            self.check(&action, &reason);
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::StartInstance {
                instance,
                runner,
                model,
                devices,
            } => {
                let runner = self.index(runner);
                let session = self.runners[runner].session;
                let bytes = devices.into_iter().map(|d| (d.device, d.bytes)).collect();
                let start = Happening::Start {
                    runner,
                    session,
                    instance,
                    model,
                    bytes,
                };
                self.later(0, 50, start);
            }
            Action::StopInstance {
                instance, runner, ..
            } => {
                let runner = self.index(runner);
                let session = self.runners[runner].session;
                self.later(
                    0,
                    50,
                    Happening::Stop {
                        runner,
                        session,
                        instance,
                    },
                );
            }
            Action::Dispatch {
                request,
                instance,
                runner,
            } => {
                self.dispatched(request, instance, runner);
            }
            Action::Reject { request, .. } => {
                self.requests.insert(request, RequestState::Ended);
            }
            Action::RecordNeed {
                model, class, need, ..
            } => {
                self.learned.entry(model).or_default().push((class, need));
            }
        }
    }

    fn dispatched(&mut self, request: RequestId, instance: InstanceId, runner: RunnerId) {
        self.order += 1;
        let attempt = self.order as u32;
        self.requests.insert(
            request,
            RequestState::InFlight {
                instance,
                runner,
                attempt,
            },
        );
        let there = self.runners[self.index(runner)].is_ready(instance);
        let outcome = match self.random.random_range(0..20) {
            _ if !there => Outcome::LostBeforeResponse,
            0 if !self.calm => Outcome::Failed,
            1 if !self.calm => Outcome::LostBeforeResponse,
            2 if !self.calm => Outcome::Cancelled,
            _ => Outcome::Completed,
        };
        self.later(
            20,
            4_000,
            Happening::Finish {
                request,
                attempt,
                outcome,
            },
        );
    }

    fn new_request(&mut self) {
        let id = request(self.requests.len() as u64);
        let priority = match self.random.random_range(0..3) {
            0 => Priority::Low,
            1 => Priority::Normal,
            _ => Priority::High,
        };
        let patience = if self.calm {
            END_MS
        } else {
            self.random.random_range(1_000..120_000)
        };
        let deadline_at_ms = self.now_ms + patience;
        self.requests
            .insert(id, RequestState::Waiting { deadline_at_ms });
        let model = self.any_model();
        let spec = RequestSpec {
            id,
            model,
            user: None,
            priority,
            deadline_at_ms,
        };
        self.tell(Event::RequestQueued(spec));
    }

    fn cancel_one(&mut self) {
        let open = self.requests.iter().find(|(_, state)| {
            matches!(
                state,
                RequestState::Waiting { .. } | RequestState::InFlight { .. }
            )
        });
        let Some((&id, &state)) = open else { return };
        if matches!(state, RequestState::InFlight { .. }) {
            self.requests.insert(id, RequestState::Ended);
        }
        self.tell(Event::RequestCancelled { request: id });
        assert_eq!(
            self.requests[&id],
            RequestState::Ended,
            "seed {}",
            self.seed
        );
    }

    fn finish(&mut self, request: RequestId, of_attempt: u32, outcome: Outcome) {
        let Some(RequestState::InFlight { attempt, .. }) = self.requests.get(&request) else {
            return;
        };
        if *attempt != of_attempt {
            return;
        }
        let state = match outcome {
            Outcome::LostBeforeResponse => RequestState::Waiting { deadline_at_ms: 0 },
            Outcome::Completed => RequestState::Completed,
            Outcome::Failed | Outcome::Cancelled => RequestState::Ended,
        };
        self.requests.insert(request, state);
        self.tell(Event::RequestFinished { request, outcome });
    }

    /// The control plane dies, with all requests, and comes back knowing models
    /// and what was learned, but neither runners nor instances.
    fn restart(&mut self) {
        for state in self.requests.values_mut() {
            *state = RequestState::Ended;
        }
        self.order += 1;
        self.scheduler = scheduler(self.seed ^ self.order, self.calm);
        self.put_models();
        for runner in 0..self.runners.len() {
            self.disconnect(runner);
            let session = self.runners[runner].session;
            self.later(100, 3_000, Happening::Connect { runner, session });
        }
    }

    fn put_models(&mut self) {
        let specs: Vec<_> = self
            .models
            .values()
            .map(|model| {
                let learned = self
                    .learned
                    .get(&model.spec.id)
                    .into_iter()
                    .flatten()
                    .cloned();
                ModelSpec {
                    learned: learned.collect(),
                    ..model.spec.clone()
                }
            })
            .collect();
        for spec in specs {
            self.tell(Event::ModelPut(Box::new(spec)));
        }
    }

    fn any_model(&mut self) -> ModelId {
        let index = self.random.random_range(0..self.models.len());
        self.models
            .keys()
            .copied()
            .nth(index)
            .expect("there are models")
    }

    fn index(&self, id: RunnerId) -> usize {
        self.runners
            .iter()
            .position(|runner| runner.id == id)
            .expect("a known runner")
    }
}

fn scheduler(seed: u64, calm: bool) -> Scheduler {
    let options = Options {
        headroom_bytes: GIB / 2,
        hold_ms: 5_000,
        patience_ms: 2_000,
        queue_capacity: if calm { 1_000 } else { 40 },
        ..options()
    };
    Scheduler::new(options, seed)
}

fn sim_model(number: u64, calm: bool, random: &mut StdRng) -> SimModel {
    let need = random.random_range(1..20);
    let devices = if calm || random.random_range(0..4) > 0 {
        1
    } else {
        2
    };
    let mut spec = ModelSpec {
        parallel: random.random_range(1..4),
        max_instances: random.random_range(1..4),
        devices,
        ..spec(number, need)
    };
    let mut real_bytes = need * GIB;
    if !calm {
        // Estimates are off in both directions, or there is none.
        real_bytes = real_bytes * random.random_range(50..150) / 100;
        if random.random_range(0..6) == 0 {
            spec.need = None;
        }
        if random.random_range(0..3) == 0 {
            spec.idle_timeout_ms = Some(random.random_range(1_000..30_000));
        }
    }
    let crashes = if calm {
        0
    } else {
        [0, 0, 10, 100][random.random_range(0..4)]
    };
    SimModel {
        spec,
        real_bytes,
        crashes,
    }
}

/// How many schedules to run: a few at each test run, as many as wanted with
/// `HELIX_SCHEDULES=100000`.
fn schedules(usual: u64) -> u64 {
    std::env::var("HELIX_SCHEDULES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(usual)
}

#[test]
fn no_schedule_loses_a_request_answers_one_twice_or_over_commits_a_device() {
    let (mut completed, mut all) = (0, 0);
    for seed in 0..schedules(150) {
        let world = World::new(seed, false).run();
        all += world.requests.len();
        completed += world
            .requests
            .values()
            .filter(|state| **state == RequestState::Completed)
            .count();
    }
    // The storm does not just reject everything.
    assert!(completed * 3 > all, "{completed} of {all}");
}

#[test]
fn when_nothing_fails_every_request_is_answered_and_none_waits_without_bound() {
    let mut longest = 0;
    for seed in 0..schedules(50) {
        let world = World::new(seed, true).run();
        let unanswered = world
            .requests
            .values()
            .filter(|state| **state != RequestState::Completed)
            .count();
        assert_eq!(unanswered, 0, "seed {seed}");
        longest = longest.max(world.longest_wait_ms);
    }
    // At most 80 requests of at most four seconds, if need be one at a time.
    assert!(longest < 320_000, "{longest} ms");
}

#[test]
fn the_same_events_give_the_same_decisions() {
    let run = || {
        let world = World::new(42, false).run();
        world.scheduler.decisions().cloned().collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
