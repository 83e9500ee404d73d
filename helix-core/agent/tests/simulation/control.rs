//! The driver of the control plane, with its database.

use helix_agent::{
    Step,
    control::{Act, Change, Conversation, Effect, Limits, Refusal, Saved},
};
use helix_proto::{
    SandboxId, ThreadId, TypedId as _,
    agents::{AgentSpec, Down, Entry, Held, Open, Up, VERSION},
};
use rand::rngs::StdRng;

use crate::{network::Network, world::Fuse};

/// A conversation: what is stored, and the machine while the control plane is up.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) saved: Saved,
    pub(crate) log: Vec<Entry>,
    /// When each entry was stored.
    pub(crate) at_ms: Vec<u64>,
    pub(crate) over: bool,
    machine: Option<Conversation>,
}

#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) up: bool,
    pub(crate) kept: Vec<Kept>,
    pub(crate) connection: Option<usize>,
    /// When it was started anew.
    pub(crate) starts: Vec<u64>,
    greeted: bool,
    threads: u64,
}

/// What the control plane needs around it.
pub(crate) struct Around<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) fuse: &'a mut Fuse,
    pub(crate) random: &'a mut StdRng,
    pub(crate) now_ms: u64,
}

fn open(number: u64) -> Open {
    Open {
        sandbox: SandboxId::from_parts(1, 1),
        agent: AgentSpec {
            name: format!("agent {number}"),
            command: vec!["agent".to_owned()],
            install: Vec::new(),
            environment: Vec::new(),
            directory: "/".to_owned(),
        },
        resume: None,
    }
}

impl Control {
    pub(crate) fn new(conversations: usize) -> Self {
        let kept = |_| Kept {
            machine: Some(Conversation::new(Limits::default())),
            ..Kept::default()
        };
        Self {
            up: true,
            kept: (0..conversations).map(kept).collect(),
            connection: None,
            starts: Vec::new(),
            greeted: false,
            threads: 0,
        }
    }

    pub(crate) fn crash(&mut self, around: &mut Around<'_>) {
        self.up = false;
        for kept in &mut self.kept {
            kept.machine = None;
        }
        self.hang_up(around);
    }

    pub(crate) fn hang_up(&mut self, around: &mut Around<'_>) {
        self.greeted = false;
        if let Some(at) = self.connection.take() {
            around.network.cut(at, around.random);
        }
    }

    pub(crate) fn start(&mut self, around: &mut Around<'_>) {
        self.up = true;
        self.starts.push(around.now_ms);
        for index in 0..self.kept.len() {
            let saved = self.kept[index].saved.clone();
            let saved = if around.network.writes {
                serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap()
            } else {
                saved
            };
            let (machine, step) = Conversation::restore(saved, Limits::default(), around.now_ms);
            self.kept[index].machine = Some(machine);
            self.carry_out(index, step, around);
            if !self.up {
                return;
            }
        }
    }

    /// A host dialled. A connection that there was is superseded.
    pub(crate) fn accept(&mut self, at: usize, around: &mut Around<'_>) {
        self.lost_connection(around);
        if self.up {
            self.connection = Some(at);
        }
    }

    pub(crate) fn lost_connection(&mut self, around: &mut Around<'_>) {
        self.hang_up(around);
        for index in 0..self.kept.len() {
            self.with(index, around, |machine, now| machine.disconnected(now));
        }
    }

    pub(crate) fn receive(&mut self, up: Up, around: &mut Around<'_>) {
        match up {
            Up::Hello { threads, .. } => self.greet(&threads, around),
            _ if !self.greeted => panic!("something came before hello"),
            Up::Events { thread, events } => match self.conversation(thread) {
                None => self.send(Down::Forget { thread }, around),
                Some(index) => self.may_fail(index, around, |machine, now| {
                    machine.events(thread, events, now)
                }),
            },
            Up::Accepted { thread, through } => {
                if let Some(index) = self.conversation(thread) {
                    self.may_fail(index, around, |machine, now| {
                        machine.accepted(thread, through, now)
                    });
                }
            }
            Up::Unknown { thread } => {
                if let Some(index) = self.conversation(thread) {
                    self.with(index, around, |machine, now| machine.unknown(thread, now));
                }
            }
            // Readers of logs are no business of the machines.
            Up::Follow { .. } | Up::Unfollow { .. } => panic!("nobody reads by the host"),
        }
    }

    fn greet(&mut self, held: &[Held], around: &mut Around<'_>) {
        let mut threads = Vec::new();
        let mut steps = Vec::new();
        for (index, kept) in self.kept.iter_mut().enumerate() {
            let machine = kept.machine.as_mut().unwrap();
            let thread = machine.known().map(|known| known.thread);
            let has = held.iter().find(|held| Some(held.thread) == thread);
            steps.push((index, machine.connected(has.copied(), around.now_ms)));
            if has.is_some() {
                threads.extend(machine.known());
            }
        }
        let known = |held: &Held| threads.iter().any(|known| known.thread == held.thread);
        let forget = held
            .iter()
            .filter(|held| !known(held))
            .map(|held| held.thread)
            .collect();
        self.greeted = true;
        let welcome = Down::Welcome {
            version: VERSION,
            threads,
            forget,
        };
        self.send(welcome, around);
        for (index, step) in steps {
            if self.up {
                self.carry_out(index, step, around);
            }
        }
    }

    fn conversation(&self, thread: ThreadId) -> Option<usize> {
        let is = |kept: &Kept| kept.saved.thread().is_some_and(|known| known.id == thread);
        self.kept.iter().position(is)
    }

    pub(crate) fn act(
        &mut self,
        index: usize,
        act: Act,
        around: &mut Around<'_>,
    ) -> Option<Result<(), Refusal>> {
        if !self.up {
            return None;
        }
        let machine = self.kept[index].machine.as_mut().unwrap();
        match machine.act(act, around.now_ms) {
            Err(refusal) => Some(Err(refusal)),
            Ok(step) => {
                self.carry_out(index, step, around);
                self.up.then_some(Ok(()))
            }
        }
    }

    pub(crate) fn next_tick(&self) -> Option<u64> {
        let machines = self.kept.iter().filter_map(|kept| kept.machine.as_ref());
        machines.filter_map(Conversation::next_tick).min()
    }

    pub(crate) fn tick(&mut self, around: &mut Around<'_>) {
        for index in 0..self.kept.len() {
            self.with(index, around, |machine, now| machine.tick(now));
        }
    }

    fn with(
        &mut self,
        index: usize,
        around: &mut Around<'_>,
        on: impl FnOnce(&mut Conversation, u64) -> Step<Change, Effect>,
    ) {
        if !self.up {
            return;
        }
        let machine = self.kept[index].machine.as_mut().unwrap();
        let step = on(machine, around.now_ms);
        self.carry_out(index, step, around);
    }

    fn may_fail(
        &mut self,
        index: usize,
        around: &mut Around<'_>,
        on: impl FnOnce(&mut Conversation, u64) -> Result<Step<Change, Effect>, helix_agent::Gap>,
    ) {
        let machine = self.kept[index].machine.as_mut().unwrap();
        match on(machine, around.now_ms) {
            Ok(step) => self.carry_out(index, step, around),
            Err(_) => self.lost_connection(around),
        }
    }

    fn send(&mut self, down: Down, around: &mut Around<'_>) {
        if let Some(at) = self.connection.filter(|_| self.greeted) {
            around.network.send_down(at, down, around.random);
        }
    }

    fn carry_out(&mut self, index: usize, step: Step<Change, Effect>, around: &mut Around<'_>) {
        if step.is_empty() {
            return;
        }
        if around.fuse.burns() {
            return self.crash(around);
        }
        let kept = &mut self.kept[index];
        for change in step.changes {
            kept.saved.apply(&change);
            if let Change::Log { entry } = change {
                kept.log.push(*entry);
                kept.at_ms.push(around.now_ms);
            }
        }
        let (stored, machine) = (&kept.saved, kept.machine.as_ref().unwrap().saved());
        let same = match (stored.turn(), machine.turn()) {
            (Some(stored), Some(known)) => stored.is_stored_as(known),
            (None, None) => true,
            _ => false,
        };
        assert!(same, "what is stored is what is known");
        for effect in step.effects {
            if around.fuse.burns() {
                return self.crash(around);
            }
            match effect {
                Effect::Send(down) => self.send(down, around),
                Effect::NeedsThread => {
                    self.threads += 1;
                    let number = self.threads;
                    let id = ThreadId::from_parts(1, u128::from(number) << 32);
                    self.with(index, around, |machine, now| {
                        machine.open(id, open(number), now)
                    });
                    if !self.up {
                        return;
                    }
                }
                Effect::Over => self.kept[index].over = true,
            }
        }
    }
}
