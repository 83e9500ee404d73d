//! The driver of a sandbox host, with its disk and the agents beside it.

use std::collections::{BTreeMap, VecDeque};

use helix_agent::{
    Step,
    host::{Change, Effect, Fact, Input, Limits, Saved, Steps, Threads},
};
use helix_proto::{
    ThreadId,
    agents::{Down, Up, Wanted},
};
use rand::{RngExt as _, rngs::StdRng};

use crate::{
    agent::{Agent, Manners},
    network::Network,
    world::Fuse,
};

/// What is said to the machine without being read from the agent.
#[derive(Debug)]
struct Said {
    thread: ThreadId,
    run: u64,
    fact: Fact,
}

/// Where the agent's output is read.
#[derive(Debug)]
struct Reading {
    run: u64,
    next: usize,
    on: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) up: bool,
    pub(crate) disk: BTreeMap<ThreadId, Option<Saved>>,
    pub(crate) agents: BTreeMap<ThreadId, Agent>,
    pub(crate) past_agents: Vec<Agent>,
    pub(crate) connection: Option<usize>,
    threads: Threads,
    said: VecDeque<Said>,
    /// How often an agent was not read any more.
    pub(crate) stalls: u32,
    /// What is said once time has passed.
    late: Vec<Said>,
    reading: BTreeMap<ThreadId, Reading>,
    /// What editors were told of what they wanted.
    noted: BTreeMap<(ThreadId, String), u64>,
}

/// What the host needs around it.
pub(crate) struct Around<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) fuse: &'a mut Fuse,
    pub(crate) random: &'a mut StdRng,
    pub(crate) manners: Manners,
    pub(crate) agents_survive: f64,
    pub(crate) now_ms: u64,
}

/// Bytes of events that are kept when the agent is not read any more.
const FULL: usize = 1_200;
/// What may come on top: what was read last, and what the host itself has to say.
const ON_TOP: usize = 1_500;

pub(crate) fn limits() -> Limits {
    Limits {
        // Small, so that the window and the end of reading are met.
        window: 600,
        full: FULL,
        ..Limits::default()
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            up: true,
            threads: Threads::restore(None, limits(), 0).0,
            ..Self::default()
        }
    }

    pub(crate) fn crash(&mut self, around: &mut Around<'_>) {
        self.up = false;
        self.threads = Threads::default();
        self.said.clear();
        self.late.clear();
        self.reading.clear();
        self.hang_up(around);
        let Around {
            random,
            agents_survive,
            ..
        } = around;
        for agent in self.agents.values_mut() {
            agent.alive &= random.random_bool(*agents_survive);
        }
    }

    pub(crate) fn hang_up(&mut self, around: &mut Around<'_>) {
        if let Some(at) = self.connection.take() {
            around.network.cut(at, around.random);
        }
    }

    pub(crate) fn start(&mut self, around: &mut Around<'_>) {
        self.up = true;
        let saved: Vec<Saved> = self.disk.values().flatten().cloned().collect();
        let saved = if around.network.writes {
            serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap()
        } else {
            saved
        };
        let (threads, steps) = Threads::restore(saved, limits(), around.now_ms);
        self.threads = threads;
        self.all(steps, around);
    }

    /// Dials, and says hello.
    pub(crate) fn dial(&mut self, around: &mut Around<'_>) -> usize {
        let at = around.network.dial();
        self.connection = Some(at);
        self.send(self.threads.hello(), around);
        at
    }

    pub(crate) fn lost_connection(&mut self, around: &mut Around<'_>) {
        self.hang_up(around);
        let steps = self.threads.disconnected(around.now_ms);
        self.all(steps, around);
    }

    pub(crate) fn receive(&mut self, down: Down, around: &mut Around<'_>) {
        let (steps, fits) = self.threads.hears(down, around.now_ms);
        self.all(steps, around);
        if fits.is_err() && self.up {
            self.lost_connection(around);
        }
    }

    pub(crate) fn ids(&self) -> Vec<ThreadId> {
        self.threads.ids().collect()
    }

    pub(crate) fn next_tick(&self) -> Option<u64> {
        self.threads.next_tick()
    }

    pub(crate) fn tick(&mut self, around: &mut Around<'_>) {
        let steps = self.threads.tick(around.now_ms);
        self.all(steps, around);
        self.said.extend(self.late.drain(..));
    }

    fn tell(&mut self, id: ThreadId, input: Input, around: &mut Around<'_>) {
        match self.threads.on(id, input, around.now_ms) {
            Ok(steps) => self.all(steps, around),
            Err(_) => self.lost_connection(around),
        }
    }

    fn all(&mut self, steps: Steps, around: &mut Around<'_>) {
        for (id, step) in steps {
            if self.up {
                self.carry_out(id, step, around);
            }
        }
    }

    /// An editor wants something, perhaps once more.
    pub(crate) fn editor(
        &mut self,
        id: ThreadId,
        key: String,
        wanted: Wanted,
        around: &mut Around<'_>,
    ) {
        self.tell(id, Input::Wanted { key, wanted }, around);
    }

    /// Something of what is to be read is read. False: there is nothing.
    pub(crate) fn listen(&mut self, around: &mut Around<'_>) -> bool {
        if !self.up {
            return false;
        }
        let readable: Vec<_> = self
            .reading
            .iter()
            .filter(|(id, reading)| {
                let agent = self.agents.get(id);
                let more = agent.is_some_and(|agent| {
                    agent.run == reading.run && agent.outbox.len() > reading.next
                });
                reading.on && more
            })
            .map(|(id, _)| *id)
            .collect();
        // That the agent was told something, or found, comes before what it says afterwards.
        let first = |said: &Said| matches!(said.fact, Fact::Told(_) | Fact::Found);
        let told = self.said.iter().any(first);
        let own = !self.said.is_empty();
        if own && (told || readable.is_empty() || around.random.random_bool(0.5)) {
            let Said { thread, run, fact } = self.said.pop_front().unwrap();
            let position = None;
            self.tell(
                thread,
                Input::Agent {
                    run,
                    position,
                    fact,
                },
                around,
            );
            return true;
        }
        if readable.is_empty() {
            return false;
        }
        let id = readable[around.random.random_range(0..readable.len())];
        let reading = self.reading.get_mut(&id).unwrap();
        let fact = self.agents[&id].outbox[reading.next].clone();
        reading.next += 1;
        let (run, position) = (reading.run, Some(reading.next as u64));
        self.tell(
            id,
            Input::Agent {
                run,
                position,
                fact,
            },
            around,
        );
        true
    }

    fn send(&mut self, up: Up, around: &mut Around<'_>) {
        if let Some(at) = self.connection {
            around.network.send_up(at, up, around.random);
        }
    }

    fn carry_out(&mut self, id: ThreadId, step: Step<Change, Effect>, around: &mut Around<'_>) {
        if step.is_empty() {
            return;
        }
        if around.fuse.burns() {
            return self.crash(around);
        }
        let kept = self.disk.entry(id).or_default();
        for change in &step.changes {
            Saved::apply(kept, change);
        }
        if let Some(thread) = self.threads.get(id) {
            let bytes = kept.as_ref().map_or(0, Saved::unacknowledged_bytes);
            assert!(bytes < FULL + ON_TOP, "{bytes} bytes of events are kept");
            assert_eq!(
                kept.as_ref(),
                thread.saved(),
                "what is stored is what is known"
            );
        }
        for effect in step.effects {
            if around.fuse.burns() {
                return self.crash(around);
            }
            self.effect(id, effect, around);
        }
    }

    fn effect(&mut self, id: ThreadId, effect: Effect, around: &mut Around<'_>) {
        match effect {
            Effect::Send(up) => self.send(up, around),
            Effect::Start { run, .. } => {
                if let Some(before) = self.agents.insert(id, Agent::new(id, run)) {
                    self.past_agents.push(before);
                }
                self.reads(id, run, 0);
            }
            Effect::Find { run, position } => {
                let agent = self.agents.get(&id);
                let found = agent.is_some_and(|agent| agent.run == run && agent.alive);
                if around.random.random_bool(0.1) {
                    // It takes too long.
                    return;
                }
                let fact = if found {
                    Fact::Found
                } else {
                    Fact::Exited("it is gone".to_owned())
                };
                self.said.push_back(Said {
                    thread: id,
                    run,
                    fact,
                });
                if found {
                    let agent = self.agents.get_mut(&id).unwrap();
                    agent.found_again |= agent.works();
                    self.reads(id, run, usize::try_from(position).unwrap());
                }
            }
            Effect::Tell {
                run, number, tell, ..
            } => {
                let agent = self.agents.get_mut(&id);
                if let Some(agent) = agent.filter(|agent| agent.run == run && agent.alive) {
                    agent.told(tell, around.manners, around.random);
                    let fact = Fact::Told(number);
                    self.said.push_back(Said {
                        thread: id,
                        run,
                        fact,
                    });
                }
            }
            Effect::Stop { run } => {
                let said = Said {
                    thread: id,
                    run,
                    fact: Fact::Exited("stopped".to_owned()),
                };
                if around.random.random_bool(0.1) {
                    // It does not stop while anybody waits for that.
                    self.late.push(said);
                    return;
                }
                if let Some(agent) = self.agents.get_mut(&id).filter(|agent| agent.run == run) {
                    agent.alive = false;
                }
                self.said.push_back(said);
            }
            Effect::Read { run, on } => {
                self.stalls += u32::from(!on);
                if let Some(reading) = self.reading.get_mut(&id).filter(|now| now.run == run) {
                    reading.on = on;
                }
            }
            Effect::Noted { key, seq } => {
                let before = self.noted.insert((id, key), seq);
                assert!(
                    before.is_none_or(|before| before == seq),
                    "a wish of two events"
                );
            }
            Effect::Refused { .. } => {}
            Effect::Removed => {
                self.reading.remove(&id);
            }
        }
    }

    fn reads(&mut self, id: ThreadId, run: u64, next: usize) {
        let on = true;
        self.reading.insert(id, Reading { run, next, on });
    }
}
