//! What must be true in the end, whatever happened.

use std::collections::{BTreeMap, BTreeSet};

use helix_proto::{
    ThreadId, TurnId,
    agents::{Content, Entry, EventBody, PermissionAnswer, QueuedPrompt, TurnEnd, Waiting},
};

use crate::{agent::Agent, control::Kept, world::World};

/// What a reader makes of a log.
#[derive(Debug, Default)]
struct View {
    queue: Vec<QueuedPrompt>,
    in_flight: Option<TurnId>,
    running: BTreeSet<TurnId>,
    ends: BTreeMap<TurnId, TurnEnd>,
    /// The last event of each thread.
    seqs: BTreeMap<ThreadId, u64>,
    /// What was said, by thread and run of the agent.
    words: BTreeMap<(ThreadId, u64), Vec<u64>>,
    said: BTreeMap<TurnId, u32>,
    open: BTreeSet<(ThreadId, u64)>,
    answers: BTreeMap<(ThreadId, u64), PermissionAnswer>,
    /// What editors wanted, each by its own word.
    wishes: BTreeSet<(ThreadId, String)>,
}

impl View {
    fn read(&mut self, entry: &Entry) {
        match entry {
            Entry::PromptQueued { prompt, position } => {
                let known = self.queue.iter().any(|queued| queued.turn == prompt.turn);
                let ended = self.ends.contains_key(&prompt.turn);
                assert!(!known && !ended, "{} is queued twice", prompt.turn);
                self.wished(prompt);
                self.queue.insert(*position, prompt.clone());
            }
            Entry::PromptEdited { prompt } => {
                let mut queue = self.queue.iter_mut();
                let queued = queue.find(|queued| queued.turn == prompt.turn).unwrap();
                *queued = prompt.clone();
            }
            Entry::PromptMoved { turn, position } => {
                let prompt = self.take(*turn).unwrap();
                self.queue.insert(*position, prompt);
            }
            Entry::TurnDispatched { turn } => {
                assert_eq!(self.in_flight, None, "two turns in flight");
                assert_eq!(self.queue.first().map(|first| first.turn), Some(*turn));
                self.take(*turn);
                self.in_flight = Some(*turn);
            }
            Entry::TurnRunning { turn } => {
                assert_eq!(self.in_flight, Some(*turn));
                self.running.insert(*turn);
            }
            Entry::TurnAwaiting { turn, .. }
            | Entry::TurnWaiting { turn, .. }
            | Entry::TurnGoesOn { turn } => assert_eq!(self.in_flight, Some(*turn)),
            Entry::TurnEnded { turn, end } => self.ended(*turn, end),
            Entry::Agent { thread, event } => {
                let last = self.seqs.entry(*thread).or_default();
                assert!(event.seq > *last, "an event twice, or out of order");
                *last = event.seq;
                self.said(*thread, event.seq, &event.body);
            }
            Entry::PermissionAnswered {
                thread,
                request,
                answer,
            } => {
                let key = (*thread, *request);
                assert!(self.open.remove(&key), "a request is answered twice");
                self.answers.insert(key, answer.clone());
            }
            Entry::QueueHeld { .. }
            | Entry::Cloning { .. }
            | Entry::QueueReleased
            | Entry::ThreadOpened { .. }
            | Entry::ThreadOver { .. } => {}
        }
    }

    /// What an editor wanted is queued once, however often it said so.
    fn wished(&mut self, prompt: &QueuedPrompt) {
        if let (Some(by), [Content::Text { text }]) = (prompt.wanted, &prompt.content[..]) {
            let wish = (by.thread, text.clone());
            assert!(self.wishes.insert(wish), "{text:?} is queued twice");
        }
    }

    fn take(&mut self, turn: TurnId) -> Option<QueuedPrompt> {
        let at = self.queue.iter().position(|queued| queued.turn == turn)?;
        Some(self.queue.remove(at))
    }

    fn ended(&mut self, turn: TurnId, end: &TurnEnd) {
        if self.in_flight == Some(turn) {
            self.in_flight = None;
        } else {
            assert!(self.take(turn).is_some(), "{turn} ends and is nowhere");
        }
        let before = self.ends.insert(turn, end.clone());
        assert_eq!(before, None, "{turn} ends twice");
    }

    fn said(&mut self, thread: ThreadId, seq: u64, body: &EventBody) {
        match body {
            EventBody::Message {
                content: Content::Text { text },
            } => {
                let mut parts = text.split('.');
                let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
                let (run, word) = (number(), number());
                let turn = parts.next().unwrap().parse().unwrap();
                self.words.entry((thread, run)).or_default().push(word);
                // After a host was given up, what it said in the meantime comes late.
                let late = self.ends.contains_key(&turn);
                assert!(
                    self.running.contains(&turn) || late,
                    "a word of {turn} before it runs"
                );
                *self.said.entry(turn).or_default() += 1;
            }
            EventBody::PermissionRequested { .. } => {
                self.open.insert((thread, seq));
            }
            _ => {}
        }
    }
}

/// How often things happened, over many schedules: what never happens is not tested.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u32>);

/// What must have happened.
const HAPPENS: [&str; 22] = [
    "completed",
    "cancelled",
    "the agent ended",
    "the agent was stopped",
    "cannot be started",
    "did not start within",
    "while it handed over",
    "not found again",
    "did not take the prompt",
    "said nothing for",
    "has been away",
    "a conversation was closed",
    "does not have the thread",
    "edited",
    "moved",
    "held",
    "silence was counted down",
    "went on",
    "selected",
    "answered by nobody",
    "an agent went on after its host was restarted",
    "an agent was not read for a while",
];

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn read(&mut self, entry: &Entry) {
        match entry {
            Entry::TurnEnded { end, .. } => match end {
                TurnEnd::Completed { .. } => self.count("completed"),
                TurnEnd::Cancelled => self.count("cancelled"),
                TurnEnd::Failed { reason } => {
                    let known = HAPPENS.iter().find(|known| reason.contains(**known));
                    self.count(known.unwrap_or_else(|| panic!("a reason of its own: {reason}")));
                }
            },
            Entry::PromptEdited { .. } => self.count("edited"),
            Entry::PromptMoved { .. } => self.count("moved"),
            Entry::QueueHeld { .. } => self.count("held"),
            Entry::TurnWaiting {
                waiting: Waiting::Agent,
                ..
            } => self.count("silence was counted down"),
            Entry::TurnGoesOn { .. } => self.count("went on"),
            Entry::PermissionAnswered { answer, .. } => self.count(match answer {
                PermissionAnswer::Selected { .. } => "selected",
                PermissionAnswer::Cancelled => "answered by nobody",
            }),
            _ => {}
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Everything happened.
    pub(crate) fn check(&self) {
        for what in HAPPENS {
            assert!(
                self.0.contains_key(what),
                "it never happened: {what}, of {self:#?}"
            );
        }
    }
}

pub(crate) fn check(world: &World) -> Tally {
    let mut tally = Tally::default();
    for reader in &world.readers {
        let log = &world.control.kept[reader.conversation].log;
        assert_eq!(reader.read, *log, "a reader read something else");
    }
    let agents: Vec<_> = world
        .host
        .past_agents
        .iter()
        .chain(world.host.agents.values())
        .collect();
    prompted_once(&agents);
    for (index, kept) in world.control.kept.iter().enumerate() {
        let mut view = View::default();
        for entry in &kept.log {
            view.read(entry);
            tally.read(entry);
        }
        at_rest(world, kept, &view);
        in_time(world, kept);
        for entry in &kept.log[world.settled_from[index]..] {
            silent(&agents, entry);
        }
        for (_, turn) in world.asked.iter().filter(|(at, _)| *at == index) {
            let end = view.ends.get(turn);
            assert!(end.is_some(), "{turn} was taken and never ended");
        }
        for (turn, end) in &view.ends {
            true_end(world, &agents, &view, *turn, end);
        }
        for ((thread, run), words) in &view.words {
            let all: Vec<_> = (1..=words.len() as u64).collect();
            assert_eq!(*words, all, "of what run {run} of {thread} said");
        }
        decided_once(world, &view);
        answered(&agents, &view);
    }
    for agent in &agents {
        if agent.found_again && !agent.done.is_empty() {
            tally.count("an agent went on after its host was restarted");
        }
    }
    if world.host.stalls > 0 {
        tally.count("an agent was not read for a while");
    }
    for _ in world.control.kept.iter().filter(|kept| kept.over) {
        tally.count("a conversation was closed");
    }
    tally
}

/// Nobody waits for anything, and nothing is kept that the other side has.
fn at_rest(world: &World, kept: &Kept, view: &View) {
    assert!(kept.saved.turn().is_none(), "a turn is stuck: {kept:#?}");
    assert_eq!(kept.saved.queue().count(), 0, "a prompt is stuck");
    assert!(view.queue.is_empty() && view.in_flight.is_none());
    assert!(kept.saved.permissions().is_empty() && view.open.is_empty());
    let over = kept.saved.is_closed() && kept.saved.thread().is_none();
    assert_eq!(kept.over, over, "whether it is over");
    if let Some(thread) = kept.saved.thread() {
        assert_eq!(thread.accepted, thread.last_number, "a command is stuck");
        let saved = world.host.disk[&thread.id].as_ref().unwrap();
        let record = saved.record();
        assert!(
            record.turn.is_none() && record.next.is_none(),
            "a turn is stuck"
        );
        assert!(record.permissions.is_empty(), "a request is left open");
        assert!(record.tells.is_empty(), "the agent was not told");
        let held = saved.held();
        assert_eq!(held.last_seq, thread.acknowledged, "an event is stuck");
        assert_eq!(held.first_seq, held.last_seq + 1, "an event is kept");
    }
    let live: Vec<_> = world.control.kept.iter().collect();
    for (id, saved) in &world.host.disk {
        let known = live
            .iter()
            .any(|kept| kept.saved.thread().is_some_and(|thread| thread.id == *id));
        assert!(known || saved.is_none(), "{id} is kept and unknown");
    }
}

fn prompted_once(agents: &[&Agent]) {
    let mut prompted = BTreeSet::new();
    for turn in agents.iter().flat_map(|agent| &agent.prompts) {
        assert!(
            prompted.insert(*turn),
            "an agent was prompted twice: {turn}"
        );
    }
}

/// A count-down that is told is over when it says, or as soon as there is a control plane.
fn in_time(world: &World, kept: &Kept) {
    let mut counting = None;
    for (entry, at_ms) in kept.log.iter().zip(&kept.at_ms) {
        if let Some(ends_at_ms) = counting {
            let started = world.control.starts.contains(at_ms);
            assert!(*at_ms <= ends_at_ms || started, "{entry:?} came at {at_ms}");
        }
        match entry {
            Entry::TurnWaiting { ends_at_ms, .. } => counting = Some(*ends_at_ms),
            Entry::TurnRunning { .. } | Entry::TurnGoesOn { .. } | Entry::TurnEnded { .. } => {
                counting = None;
            }
            _ => {}
        }
    }
}

/// When nothing breaks, an agent is silent only if it hangs: none waits for a word that was lost.
fn silent(agents: &[&Agent], entry: &Entry) {
    if let Entry::TurnEnded {
        turn,
        end: TurnEnd::Failed { reason },
    } = entry
    {
        assert!(!reason.contains("did not take"), "{turn}: it was not sent");
        if !reason.contains("said nothing for") {
            return;
        }
        let hangs = |agent: &&Agent| agent.hung && agent.prompts.contains(turn);
        assert!(
            agents.iter().any(hangs),
            "{turn}: its agent was left to wait"
        );
    }
}

/// A turn ended as the log says.
fn true_end(world: &World, agents: &[&Agent], view: &View, turn: TurnId, end: &TurnEnd) {
    let done = agents.iter().find_map(|agent| agent.done.get(&turn));
    match end {
        TurnEnd::Completed { .. } => {
            let (agents_end, said) = done.unwrap();
            assert_eq!(agents_end, end, "{turn} was not completed");
            let logged = view.said.get(&turn).copied().unwrap_or_default();
            assert_eq!(logged, *said, "what was said in {turn}");
        }
        TurnEnd::Cancelled => {
            assert!(world.unwanted.contains(&turn), "{turn}: nobody wanted that");
        }
        TurnEnd::Failed { reason } => {
            assert!(!reason.is_empty());
            if reason.contains("the agent ended") {
                let lives = |agent: &&&Agent| agent.alive && agent.prompts.contains(&turn);
                assert!(
                    !agents.iter().any(|agent| lives(&agent)),
                    "{turn}: its agent lives"
                );
            }
        }
    }
}

/// Of those who were told that they answered a request, there is one, and the log says so.
fn decided_once(world: &World, view: &View) {
    let mut decided = BTreeSet::new();
    for (thread, request, answer) in &world.decided {
        if let Some(logged) = view.answers.get(&(*thread, *request)) {
            assert!(
                decided.insert((thread, request)),
                "{request} was decided twice"
            );
            assert_eq!(logged, answer);
        }
    }
}

/// No agent hears two answers to one request, and none waits for one.
fn answered(agents: &[&Agent], view: &View) {
    for agent in agents {
        for (key, answers) in &agent.answers {
            let mut different = answers.clone();
            different.dedup();
            assert!(
                different.len() < 2,
                "{key} of {} was answered {answers:?}",
                agent.thread
            );
        }
    }
    for answer in view.answers.values() {
        if let PermissionAnswer::Selected { option } = answer {
            assert!(option == "allow" || option == "reject");
        }
    }
}
