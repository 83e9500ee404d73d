//! Simulated runners: what they do with commands, and what happens to them.

use std::collections::BTreeMap;

use helix_proto::{
    InstanceId, ModelId, RunnerId,
    model::EngineKind,
    runner::{Device, DeviceMemory, FailureKind, InstanceState, InstanceStatus, RunnerInfo},
};
use helix_scheduler::{Event, Outcome};
use rand::{RngExt as _, rngs::StdRng};

use super::{Happening, RequestState, START_MS, STORM_MS, World};
use crate::world::*;

pub(super) struct SimRunner {
    pub(super) id: RunnerId,
    number: u64,
    boot: u32,
    /// Goes up with each connection and cut: commands of before are lost.
    pub(super) session: u32,
    pub(super) connected: bool,
    /// Its connection is being replaced.
    pub(super) away: bool,
    /// What it says meanwhile, which arrives when it is back.
    unheard: Vec<Event>,
    pub(super) draining: bool,
    /// Id, size, and what other programs use.
    pub(super) devices: Vec<(String, u64, u64)>,
    pub(super) instances: BTreeMap<InstanceId, SimInstance>,
}

pub(super) struct SimInstance {
    model: ModelId,
    state: InstanceState,
    bytes: Vec<(String, u64)>,
    /// What it uses on each device now.
    pub(super) used: u64,
}

impl SimInstance {
    /// What it may use on each device.
    fn given(&self) -> u64 {
        self.bytes
            .iter()
            .map(|(_, bytes)| *bytes)
            .min()
            .unwrap_or(0)
    }
}

impl SimRunner {
    pub(super) fn new(number: u64, calm: bool, random: &mut StdRng) -> Self {
        let count = random.random_range(1..4);
        let devices = (0..count)
            .map(|index| {
                let total = if calm { 24 } else { random.random_range(8..40) };
                let foreign = if calm { 0 } else { random.random_range(0..6) };
                (format!("gpu-{index}"), total * GIB, foreign * GIB)
            })
            .collect();
        Self {
            id: runner(number),
            number,
            boot: 0,
            session: 0,
            connected: false,
            away: false,
            unheard: Vec::new(),
            draining: false,
            devices,
            instances: BTreeMap::new(),
        }
    }

    pub(super) const fn takes_work(&self) -> bool {
        self.connected && !self.away && !self.draining
    }

    pub(super) fn is_ready(&self, instance: InstanceId) -> bool {
        self.connected
            && self
                .instances
                .get(&instance)
                .is_some_and(|i| i.state == InstanceState::Ready)
    }

    pub(super) fn used_on(&self, device: &str) -> u64 {
        let here = |i: &&SimInstance| i.bytes.iter().any(|(id, _)| id == device);
        self.instances
            .values()
            .filter(here)
            .map(|instance| instance.used)
            .sum()
    }

    fn measure(&self) -> Vec<Device> {
        self.devices
            .iter()
            .map(|(id, total, foreign)| {
                let free = total.saturating_sub(foreign + self.used_on(id));
                Device {
                    total_bytes: *total,
                    free_bytes: free,
                    ..gpu(id, 0, 0)
                }
            })
            .collect()
    }

    fn status(&self, id: InstanceId, state: InstanceState, peak: u64) -> InstanceStatus {
        let instance = &self.instances[&id];
        let memory = |bytes: u64, device: &String| DeviceMemory {
            device: device.clone(),
            bytes,
        };
        let reserved = instance
            .bytes
            .iter()
            .map(|(d, bytes)| memory(*bytes, d))
            .collect();
        let mut status = status(id, instance.model, state, reserved);
        if peak > 0 {
            status.peak = instance
                .bytes
                .iter()
                .map(|(d, _)| memory(peak, d))
                .collect();
        }
        status
    }

    fn info(&self) -> RunnerInfo {
        let mut info = info(self.number, self.measure(), &[EngineKind::LlamaCpp]);
        info.boot_id = self.boot.to_string();
        info.instances = self
            .instances
            .iter()
            .map(|(id, i)| self.status(*id, i.state, i.used))
            .collect();
        info
    }
}

impl World {
    pub(super) fn happen_to_runner(&mut self, happening: Happening) {
        match happening {
            Happening::Start {
                runner,
                session,
                instance,
                model,
                bytes,
            } => {
                if self.runners[runner].away {
                    let again = Happening::Start {
                        runner,
                        session,
                        instance,
                        model,
                        bytes,
                    };
                    self.later(100, 100, again);
                } else if self.runners[runner].session == session {
                    self.start(runner, instance, model, bytes);
                }
            }
            Happening::Stop {
                runner,
                session,
                instance,
            } => {
                if self.runners[runner].away {
                    let again = Happening::Stop {
                        runner,
                        session,
                        instance,
                    };
                    self.later(100, 100, again);
                } else if self.runners[runner].session == session {
                    self.stop(runner, instance);
                }
            }
            Happening::Loaded { runner, instance } => self.loaded(runner, instance),
            Happening::Ended { runner, instance } => {
                if self.runners[runner].instances.contains_key(&instance) {
                    self.report(runner, instance, InstanceState::Stopped, None);
                    self.remove(runner, instance);
                }
            }
            Happening::Crash { runner } => {
                let any = self.runners[runner].instances.keys().next().copied();
                if let Some(instance) = any {
                    self.fail(runner, instance, FailureKind::Crashed);
                }
            }
            Happening::Measure { runner } => self.measure(runner),
            Happening::Cut { runner } => self.cut(runner),
            Happening::Falter { runner } => self.falter(runner),
            Happening::Recover { runner, session } => {
                if self.runners[runner].session == session {
                    self.recover(runner);
                }
            }
            Happening::Connect { runner, session } => {
                if self.runners[runner].session == session {
                    self.connect(runner);
                }
            }
            Happening::Drain { runner } => self.drain(runner, true),
            Happening::Resume { runner } => self.drain(runner, false),
            other => unreachable!("{other:?}"),
        }
    }

    fn drain(&mut self, index: usize, draining: bool) {
        let runner = self.runners[index].id;
        self.runners[index].draining = draining;
        if draining {
            self.tell(Event::RunnerDraining { runner });
            self.later(1_000, 20_000, Happening::Resume { runner: index });
        } else {
            self.tell(Event::RunnerResumed { runner });
        }
    }

    fn start(&mut self, index: usize, id: InstanceId, model: ModelId, bytes: Vec<(String, u64)>) {
        let state = InstanceState::Starting;
        let instance = SimInstance {
            model,
            state,
            bytes,
            used: 0,
        };
        self.runners[index].instances.insert(id, instance);
        self.report(index, id, state, None);
        self.use_some(index, id);
        self.later(
            200,
            3_000,
            Happening::Loaded {
                runner: index,
                instance: id,
            },
        );
    }

    /// While it loads it uses part of what it will, and never more than it was
    /// given: then it runs out of memory.
    fn use_some(&mut self, index: usize, id: InstanceId) {
        let percent = self.random.random_range(0..=100);
        let Some(instance) = self.runners[index].instances.get_mut(&id) else {
            return;
        };
        let given = instance.given();
        let real = self.models[&instance.model].real_bytes.min(given);
        instance.used = if instance.state == InstanceState::Ready {
            real
        } else {
            real / 100 * percent
        };
    }

    fn loaded(&mut self, index: usize, id: InstanceId) {
        let Some(instance) = self.runners[index].instances.get(&id) else {
            return;
        };
        if instance.state != InstanceState::Starting {
            return;
        }
        let model = &self.models[&instance.model];
        let given = instance.given();
        if self.random.random_range(0..100) < model.crashes {
            self.fail(index, id, FailureKind::Crashed);
        } else if model.real_bytes > given {
            self.fail(index, id, FailureKind::OutOfMemory);
        } else {
            if let Some(instance) = self.runners[index].instances.get_mut(&id) {
                instance.state = InstanceState::Ready;
            }
            self.use_some(index, id);
            self.report(index, id, InstanceState::Ready, None);
        }
    }

    /// Drains, then stops. As on a real runner the engine may take its time.
    fn stop(&mut self, index: usize, instance: InstanceId) {
        match self.runners[index].instances.get_mut(&instance) {
            None => self.tell(Event::InstanceGone { instance }),
            Some(known) => {
                known.state = InstanceState::Draining;
                self.report(index, instance, InstanceState::Draining, None);
                self.later(
                    10,
                    6_000,
                    Happening::Ended {
                        runner: index,
                        instance,
                    },
                );
            }
        }
    }

    fn fail(&mut self, index: usize, id: InstanceId, kind: FailureKind) {
        self.report(index, id, InstanceState::Failed, Some(kind));
        self.remove(index, id);
    }

    /// The instance is no more; what was in flight on it breaks off.
    fn remove(&mut self, index: usize, id: InstanceId) {
        self.runners[index].instances.remove(&id);
        self.break_off(|instance, _| instance == id);
    }

    fn break_off(&mut self, which: impl Fn(InstanceId, RunnerId) -> bool) {
        let broken: Vec<_> = self
            .requests
            .iter()
            .filter_map(|(id, state)| match state {
                RequestState::InFlight {
                    instance,
                    runner,
                    attempt,
                } if which(*instance, *runner) => Some((*id, *attempt)),
                _ => None,
            })
            .collect();
        for (request, attempt) in broken {
            let lost = self.random.random_range(0..2) == 0;
            let outcome = if lost {
                Outcome::LostBeforeResponse
            } else {
                Outcome::Failed
            };
            self.later(
                0,
                500,
                Happening::Finish {
                    request,
                    attempt,
                    outcome,
                },
            );
        }
    }

    fn report(
        &mut self,
        index: usize,
        id: InstanceId,
        state: InstanceState,
        kind: Option<FailureKind>,
    ) {
        let runner = &self.runners[index];
        if !runner.connected {
            return;
        }
        let mut status = runner.status(id, state, runner.instances[&id].used);
        status.failure = kind.map(|kind| failure(kind, "as it was to be"));
        let event = Event::InstanceReported {
            runner: runner.id,
            status: Box::new(status),
        };
        self.say(index, event);
    }

    fn say(&mut self, index: usize, event: Event) {
        if self.runners[index].away {
            self.runners[index].unheard.push(event);
        } else {
            self.tell(event);
        }
    }

    fn measure(&mut self, index: usize) {
        if !self.runners[index].connected {
            return;
        }
        let ids: Vec<_> = self.runners[index].instances.keys().copied().collect();
        for id in ids {
            let state = self.runners[index].instances[&id].state;
            if state == InstanceState::Starting {
                self.use_some(index, id);
            }
            self.report(index, id, state, None);
        }
        let runner = &self.runners[index];
        let event = Event::DevicesMeasured {
            runner: runner.id,
            devices: runner.measure(),
        };
        self.say(index, event);
        self.later(3_000, 3_000, Happening::Measure { runner: index });
    }

    pub(super) fn disconnect(&mut self, index: usize) {
        let runner = &mut self.runners[index];
        (runner.connected, runner.away) = (false, false);
        runner.unheard.clear();
        runner.session += 1;
    }

    /// The connection breaks and is replaced in time, or the tunnel is cut then.
    fn falter(&mut self, index: usize) {
        if !self.runners[index].connected || self.runners[index].away {
            return;
        }
        self.runners[index].away = true;
        let runner = self.runners[index].id;
        self.tell(Event::RunnerAway { runner });
        let session = self.runners[index].session;
        let back = Happening::Recover {
            runner: index,
            session,
        };
        match self.random.random_range(0..4) {
            0 => self.later(1_000, 20_000, Happening::Cut { runner: index }),
            _ => self.later(50, 20_000, back),
        }
    }

    fn recover(&mut self, index: usize) {
        let runner = &mut self.runners[index];
        if !std::mem::take(&mut runner.away) {
            return;
        }
        let (runner, unheard) = (runner.id, std::mem::take(&mut runner.unheard));
        self.tell(Event::RunnerBack { runner });
        for event in unheard {
            self.tell(event);
        }
    }

    /// The tunnel is cut; sometimes since the machine reboots.
    fn cut(&mut self, index: usize) {
        if !self.runners[index].connected {
            return;
        }
        self.disconnect(index);
        let id = self.runners[index].id;
        self.tell(Event::RunnerDown { runner: id });
        self.break_off(|_, runner| runner == id);
        if self.random.random_range(0..3) == 0 {
            self.runners[index].boot += 1;
            self.runners[index].instances.clear();
        }
        let session = self.runners[index].session;
        self.later(
            200,
            15_000,
            Happening::Connect {
                runner: index,
                session,
            },
        );
    }

    fn connect(&mut self, index: usize) {
        let settled = self.now_ms > START_MS + STORM_MS;
        let runner = &mut self.runners[index];
        runner.connected = true;
        runner.session += 1;
        runner.draining &= !settled;
        let (id, draining, info) = (runner.id, runner.draining, Box::new(runner.info()));
        self.tell(Event::RunnerUp {
            runner: id,
            info,
            draining,
        });
        self.later(1_000, 3_000, Happening::Measure { runner: index });
    }
}
