//! Everything together, and what happens to it.

use std::collections::BTreeSet;

use helix_agent::control::{Act, Refusal};
use helix_proto::{
    ThreadId, TurnId, TypedId as _,
    agents::{Content, Entry, PermissionAnswer, Wanted},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    agent::Manners,
    control::{self, Control},
    host::{self, Host},
    network::{Faults, Network},
};

const SECOND: u64 = 1_000;

/// Kills whoever comes to its end: it burns at each thing that host or control plane stores or
/// does.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    left: Option<u32>,
}

impl Fuse {
    pub(crate) fn burns(&mut self) -> bool {
        match &mut self.left {
            None => false,
            Some(0) => {
                self.left = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

/// Somebody who reads a log, now and then.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) conversation: usize,
    pub(crate) read: Vec<Entry>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: StdRng,
    pub(crate) network: Network,
    pub(crate) host: Host,
    pub(crate) control: Control,
    pub(crate) readers: Vec<Reader>,
    /// Turns that somebody wanted to end.
    pub(crate) unwanted: BTreeSet<TurnId>,
    /// Counts what editors wanted.
    wishes: u32,
    /// Requests that somebody was told they answered, and how.
    pub(crate) decided: Vec<(ThreadId, u64, PermissionAnswer)>,
    /// Prompts that were taken, by conversation.
    pub(crate) asked: Vec<(usize, TurnId)>,
    /// Where each log was when nothing broke any more.
    pub(crate) settled_from: Vec<usize>,
    fuse: Fuse,
    manners: Manners,
    agents_survive: f64,
    now_ms: u64,
    turns: u64,
    tell: bool,
}

macro_rules! host {
    ($world:ident, $host:ident, $around:ident => $does:expr) => {{
        let World {
            host: $host,
            network,
            fuse,
            random,
            ..
        } = $world;
        let $around = &mut host::Around {
            network,
            fuse,
            random,
            manners: $world.manners,
            agents_survive: $world.agents_survive,
            now_ms: $world.now_ms,
        };
        $does
    }};
}

macro_rules! control {
    ($world:ident, $control:ident, $around:ident => $does:expr) => {{
        let World {
            control: $control,
            network,
            fuse,
            random,
            ..
        } = $world;
        let $around = &mut control::Around {
            network,
            fuse,
            random,
            now_ms: $world.now_ms,
        };
        $does
    }};
}

impl World {
    pub(crate) fn new(seed: u64, tell: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let conversations = random.random_range(1..3);
        let mut often = |most: f64| {
            if random.random_bool(0.5) {
                random.random_range(0.0..most)
            } else {
                0.0
            }
        };
        let manners = Manners {
            fails_to_start: often(0.3),
            never_starts: often(0.2),
            crashes: often(0.05),
            hangs: often(0.05),
            ignores_cancel: often(0.5),
            asks: often(0.5),
            does_not_wait: often(0.3),
        };
        let faults = Faults {
            double: often(0.2),
            swap: often(0.1),
        };
        let agents_survive = [0.0, 0.5, 1.0][random.random_range(0..3)];
        let network = Network {
            faults,
            writes: seed.is_multiple_of(16),
            ..Network::default()
        };
        let mut readers = Vec::new();
        for conversation in 0..conversations {
            readers.extend((0..2).map(|_| Reader {
                conversation,
                ..Reader::default()
            }));
        }
        Self {
            random,
            network,
            host: Host::new(),
            control: Control::new(conversations),
            readers,
            unwanted: BTreeSet::new(),
            wishes: 0,
            decided: Vec::new(),
            asked: Vec::new(),
            settled_from: Vec::new(),
            fuse: Fuse::default(),
            manners,
            agents_survive,
            now_ms: 1_000_000,
            turns: 0,
            tell,
        }
    }

    #[expect(
        clippy::print_stderr,
        reason = "one schedule is told when it is asked for"
    )]
    fn say(&self, what: impl FnOnce() -> String) {
        if self.tell {
            eprintln!("{:>9} {}", self.now_ms, what());
        }
    }

    /// Everything goes wrong that can.
    pub(crate) fn live(&mut self) {
        for _ in 0..self.random.random_range(20..200) {
            self.step();
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..1_000) {
            0..12 => {
                self.say(|| "a fuse burns".to_owned());
                self.fuse.left = Some(self.random.random_range(0..14));
            }
            12..20 => self.cut(),
            20..24 => {
                self.say(|| "the host is killed".to_owned());
                host!(self, host, around => host.crash(around));
            }
            24..28 => {
                self.say(|| "the control plane is killed".to_owned());
                control!(self, control, around => control.crash(around));
            }
            28..45 => self.restart(),
            45..100 => self.connect(),
            100..150 => self.notice(),
            150..310 => {
                self.deliver_up();
            }
            310..470 => {
                self.deliver_down();
            }
            470..620 => {
                self.agents_work();
            }
            620..790 => {
                self.host_listens();
            }
            790..890 => self.people(),
            890..900 => self.editor(),
            900..930 => self.readers_read(),
            930..995 => {
                let passes = self.random.random_range(0..5 * SECOND);
                self.pass(passes);
            }
            _ => {
                let passes = self.random.random_range(0..20 * 60 * SECOND);
                self.pass(passes);
            }
        }
    }

    fn cut(&mut self) {
        if let Some(at) = self.host.connection {
            self.say(|| "the connection breaks".to_owned());
            self.network.cut(at, &mut self.random);
        }
    }

    fn restart(&mut self) {
        if !self.host.up {
            self.say(|| "the host starts".to_owned());
            host!(self, host, around => host.start(around));
        } else if !self.control.up {
            self.say(|| "the control plane starts".to_owned());
            control!(self, control, around => control.start(around));
        }
    }

    fn connect(&mut self) {
        if self.host.up && self.control.up && self.host.connection.is_none() {
            self.say(|| "the host dials".to_owned());
            let at = host!(self, host, around => host.dial(around));
            control!(self, control, around => control.accept(at, around));
        }
    }

    /// Each side notices that its connection is broken.
    fn notice(&mut self) {
        let broken = |network: &Network, at: Option<usize>| {
            at.is_some_and(|at| network.connections[at].broken)
        };
        if self.host.up && broken(&self.network, self.host.connection) {
            host!(self, host, around => host.lost_connection(around));
        }
        if self.control.up && broken(&self.network, self.control.connection) {
            control!(self, control, around => control.lost_connection(around));
        }
    }

    fn deliver_up(&mut self) -> bool {
        let Some(at) = self.control.connection.filter(|_| self.control.up) else {
            return false;
        };
        let Some(message) = self.network.connections[at].up.pop_front() else {
            return false;
        };
        self.say(|| format!("up   {message:?}"));
        control!(self, control, around => control.receive(message, around));
        true
    }

    fn deliver_down(&mut self) -> bool {
        let Some(at) = self.host.connection.filter(|_| self.host.up) else {
            return false;
        };
        let Some(message) = self.network.connections[at].down.pop_front() else {
            return false;
        };
        self.say(|| format!("down {message:?}"));
        host!(self, host, around => host.receive(message, around));
        true
    }

    fn agents_work(&mut self) -> bool {
        let mut worked = false;
        for agent in self.host.agents.values_mut() {
            worked |= agent.step(self.manners, &mut self.random);
        }
        worked
    }

    fn host_listens(&mut self) -> bool {
        host!(self, host, around => host.listen(around))
    }

    fn turn(&mut self) -> TurnId {
        self.turns += 1;
        TurnId::from_parts(2, u128::from(self.turns))
    }

    fn act(&mut self, index: usize, act: Act) -> Option<Result<(), Refusal>> {
        self.say(|| format!("act  {index} {act:?}"));
        if let Act::Cancel { turn } = &act {
            self.unwanted.insert(*turn);
        }
        let ends_flight = matches!(act, Act::Interrupt | Act::Steer { .. } | Act::Close);
        if ends_flight {
            let saved = &self.control.kept[index].saved;
            self.unwanted.extend(saved.turn().map(|turn| turn.id()));
            if act == Act::Close {
                self.unwanted
                    .extend(saved.queue().map(|queued| queued.turn));
            }
        }
        let asks = match &act {
            Act::Prompt { turn, .. } | Act::Steer { turn, .. } => Some(*turn),
            _ => None,
        };
        let done = control!(self, control, around => control.act(index, act, around));
        if let (Some(Ok(())), Some(turn)) = (done, asks) {
            self.asked.push((index, turn));
        }
        done
    }

    fn people(&mut self) {
        let index = self.random.random_range(0..self.control.kept.len());
        let saved = &self.control.kept[index].saved;
        let queued: Vec<_> = saved.queue().map(|queued| queued.turn).collect();
        let in_flight = saved.turn().map(|turn| turn.id());
        let request = saved.permissions().keys().next().copied();
        let some = queued.first().copied().or(in_flight);
        let content = vec![Content::text("do")];
        let restart = self.random.random();
        let act = match (self.random.random_range(0..100), some, request) {
            (0..35, ..) => Act::Prompt {
                turn: self.turn(),
                content,
            },
            (35..38, ..) => Act::Steer {
                turn: self.turn(),
                content,
            },
            (38..42, Some(turn), _) => Act::Edit { turn, content },
            (42..46, Some(turn), _) => Act::Move {
                turn,
                position: self.random.random_range(0..4),
            },
            (46..52, Some(turn), _) => Act::Cancel { turn },
            (52..58, ..) => in_flight.map_or(Act::Interrupt, |turn| Act::Cancel { turn }),
            (58..62, ..) => Act::Interrupt,
            (62..72, ..) => Act::Release,
            (72..90, _, Some(request)) => return self.two_answer(index, request),
            (90..93, ..) => Act::SetMode {
                mode: "plan".to_owned(),
            },
            (93..95, ..) => Act::Stop { restart },
            (95, ..) => Act::Close,
            (96, ..) => Act::Renew {
                resumes: restart,
                reason: "another was chosen".to_owned(),
            },
            _ => Act::KeepWaiting,
        };
        self.act(index, act);
    }

    /// Two people answer one request, each differently.
    fn two_answer(&mut self, index: usize, request: u64) {
        let Some(thread) = self.control.kept[index]
            .saved
            .thread()
            .map(|thread| thread.id)
        else {
            return;
        };
        for option in ["allow", "reject"] {
            let option = option.to_owned();
            let answer = PermissionAnswer::Selected { option };
            let act = Act::Answer {
                thread,
                request,
                answer: answer.clone(),
            };
            if self.act(index, act) == Some(Ok(())) {
                self.decided.push((thread, request, answer));
            }
        }
    }

    fn editor(&mut self) {
        let ids = self.host.ids();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.random.random_range(0..ids.len())];
        // Every other time an editor does not know whether it was heard, and says it again.
        if self.wishes == 0 || self.random.random() {
            self.wishes += 1;
        }
        let key = format!("wish {}", self.wishes);
        let content = vec![Content::text(&key)];
        let wanted = Wanted::Prompt { content };
        host!(self, host, around => host.editor(id, key, wanted, around));
    }

    fn readers_read(&mut self) {
        for reader in &mut self.readers {
            let log = &self.control.kept[reader.conversation].log;
            let after = reader.read.len();
            let most = self.random.random_range(0..=log.len() - after);
            reader.read.extend_from_slice(&log[after..after + most]);
        }
    }

    /// Time passes, and whoever asked to be told of a moment is.
    fn pass(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        let mut ticks = 0;
        while let Some((at, host)) = self.next_tick().filter(|(at, _)| *at <= until) {
            ticks += 1;
            assert!(
                ticks < 10_000,
                "somebody wants to be told of {at} again and again"
            );
            self.now_ms = self.now_ms.max(at);
            if host {
                host!(self, host, around => host.tick(around));
            } else {
                control!(self, control, around => control.tick(around));
            }
        }
        self.now_ms = until;
    }

    fn next_tick(&self) -> Option<(u64, bool)> {
        let host = self.host.next_tick().filter(|_| self.host.up);
        let control = self.control.next_tick().filter(|_| self.control.up);
        let host = host.map(|at| (at, true));
        host.into_iter().chain(control.map(|at| (at, false))).min()
    }

    /// Nothing breaks any more, and everybody does what is to be done: within a bound, all is
    /// over.
    pub(crate) fn settle(&mut self) {
        self.say(|| "nothing breaks any more".to_owned());
        self.fuse = Fuse::default();
        self.network.faults = Faults::default();
        self.manners = Manners::GOOD;
        self.cut();
        while !self.host.up || !self.control.up {
            self.restart();
        }
        let logs = self.control.kept.iter().map(|kept| kept.log.len());
        self.settled_from = logs.collect();
        for _ in 0..2_000 {
            self.notice();
            self.connect();
            self.work();
            if self.people_decide() {
                continue;
            }
            let quiet = self
                .network
                .connections
                .last()
                .is_none_or(|last| last.up.is_empty() && last.down.is_empty());
            match self.next_tick() {
                None if quiet => return self.last_word(),
                None => {}
                Some((at, _)) => self.pass(at.saturating_sub(self.now_ms)),
            }
        }
        panic!("it does not come to rest: {self:#?}");
    }

    /// Everything is done that can be without time passing.
    fn work(&mut self) {
        for _ in 0..20_000 {
            let mut busy = self.deliver_up() | self.deliver_down();
            busy |= self.agents_work() | self.host_listens();
            if !busy {
                return;
            }
        }
        panic!("there is always something to do: {self:#?}");
    }

    /// Whatever waits for people is decided. False: nothing does.
    fn people_decide(&mut self) -> bool {
        let mut decided = false;
        for index in 0..self.control.kept.len() {
            let saved = &self.control.kept[index].saved;
            let held = saved.held().is_some();
            if let Some(request) = saved.permissions().keys().next().copied() {
                self.two_answer(index, request);
                decided = true;
            }
            if held {
                self.act(index, Act::Release);
                decided = true;
            }
        }
        decided
    }

    fn last_word(&mut self) {
        for reader in &mut self.readers {
            let log = &self.control.kept[reader.conversation].log;
            reader.read.extend_from_slice(&log[reader.read.len()..]);
        }
    }
}
