//! An agent's process. It outlives its host's, or does not.

use std::collections::BTreeMap;

use helix_agent::host::{Fact, Tell};
use helix_proto::{
    ThreadId, TurnId,
    agents::{
        Content, EventBody, OptionKind, PermissionAnswer, PermissionOption, StopReason, ToolUpdate,
        TurnEnd,
    },
};
use rand::{RngExt as _, rngs::StdRng};

/// How an agent behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) fails_to_start: f64,
    pub(crate) never_starts: f64,
    pub(crate) crashes: f64,
    pub(crate) hangs: f64,
    pub(crate) ignores_cancel: f64,
    pub(crate) asks: f64,
    pub(crate) does_not_wait: f64,
}

impl Manners {
    pub(crate) const GOOD: Self = Self {
        fails_to_start: 0.0,
        never_starts: 0.0,
        crashes: 0.0,
        hangs: 0.0,
        ignores_cancel: 0.0,
        asks: 0.1,
        does_not_wait: 0.0,
    };
}

#[derive(Debug)]
struct Work {
    turn: TurnId,
    left: u32,
    said: u32,
    waits: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) thread: ThreadId,
    pub(crate) run: u64,
    pub(crate) alive: bool,
    /// Whether its host found it again in the middle of a turn.
    pub(crate) found_again: bool,
    pub(crate) outbox: Vec<Fact>,
    pub(crate) prompts: Vec<TurnId>,
    /// Each request for a permission, and every answer to it.
    pub(crate) answers: BTreeMap<String, Vec<PermissionAnswer>>,
    /// Each turn that it ended itself, and how much it said in it.
    pub(crate) done: BTreeMap<TurnId, (TurnEnd, u32)>,
    ready: bool,
    pub(crate) hung: bool,
    work: Option<Work>,
    words: u32,
}

impl Agent {
    pub(crate) fn new(thread: ThreadId, run: u64) -> Self {
        Self {
            thread,
            run,
            alive: true,
            found_again: false,
            outbox: Vec::new(),
            prompts: Vec::new(),
            answers: BTreeMap::new(),
            done: BTreeMap::new(),
            ready: false,
            hung: false,
            work: None,
            words: 0,
        }
    }

    pub(crate) const fn works(&self) -> bool {
        self.work.is_some()
    }

    fn exits(&mut self, why: &str) {
        self.alive = false;
        self.outbox.push(Fact::Exited(why.to_owned()));
    }

    /// Does the next thing that it would do by itself. False: there is nothing.
    pub(crate) fn step(&mut self, manners: Manners, random: &mut StdRng) -> bool {
        if !self.alive || self.hung {
            return false;
        }
        if !self.ready {
            if random.random_bool(manners.fails_to_start) {
                self.exits("no such program");
            } else if random.random_bool(manners.never_starts) {
                self.hung = true;
            } else {
                self.ready = true;
                let session = format!("s{}", self.run);
                let resumed = random.random_bool(0.8);
                self.outbox.push(Fact::Starting("installing".to_owned()));
                self.outbox.push(Fact::Ready { session, resumed });
            }
            return true;
        }
        if random.random_bool(manners.crashes) {
            self.exits("a fault");
            return true;
        }
        let Some(work) = &mut self.work else {
            return false;
        };
        if random.random_bool(manners.hangs) {
            self.hung = true;
        } else if work.waits.is_some() {
            if random.random_bool(manners.does_not_wait) {
                work.waits = None;
            }
            return false;
        } else if work.left == 0 {
            let end = TurnEnd::Completed {
                stop: StopReason::EndTurn,
            };
            self.ends(end);
        } else if random.random_bool(manners.asks) {
            let key = format!("k{}", self.answers.len());
            self.answers.insert(key.clone(), Vec::new());
            work.waits = Some(key.clone());
            self.outbox.push(asked(key));
        } else {
            work.left -= 1;
            work.said += 1;
            self.words += 1;
            let text = format!("{}.{}.{}", self.run, self.words, work.turn);
            self.outbox.push(Fact::Said(Box::new(EventBody::Message {
                content: Content::text(text),
            })));
        }
        true
    }

    fn ends(&mut self, end: TurnEnd) {
        if let Some(work) = self.work.take() {
            let turn = work.turn;
            self.done.insert(turn, (end.clone(), work.said));
            self.outbox.push(Fact::Done { turn, end });
        }
    }

    pub(crate) fn told(&mut self, tell: Tell, manners: Manners, random: &mut StdRng) {
        if !self.alive {
            return;
        }
        match tell {
            Tell::Prompt { turn } => {
                self.prompts.push(turn);
                self.work = Some(Work {
                    turn,
                    left: random.random_range(0..6),
                    said: 0,
                    waits: None,
                });
            }
            Tell::Cancel => {
                if !self.hung && !random.random_bool(manners.ignores_cancel) {
                    self.ends(TurnEnd::Cancelled);
                }
            }
            Tell::Answer { key, answer } => {
                let open = |work: &mut Work| work.waits == Some(key.clone());
                if self.work.as_mut().is_some_and(open) {
                    self.work.as_mut().unwrap().waits = None;
                }
                // An agent may not ask what it did not ask, but may be answered twice the same.
                self.answers.get_mut(&key).unwrap().push(answer);
            }
            Tell::SetMode { mode } => {
                self.outbox.push(Fact::Said(Box::new(EventBody::Modes {
                    current: mode,
                    available: Vec::new(),
                })));
            }
            Tell::SetModel { .. } => {}
        }
    }
}

fn asked(key: String) -> Fact {
    let option = |id: &str, kind| PermissionOption {
        id: id.to_owned(),
        name: id.to_owned(),
        kind,
    };
    Fact::Asked {
        key,
        call: Box::new(ToolUpdate {
            id: "call".to_owned(),
            title: Some("write hello.txt".to_owned()),
            kind: None,
            status: None,
            content: None,
            locations: None,
            input: None,
            output: None,
        }),
        options: vec![
            option("allow", OptionKind::AllowOnce),
            option("reject", OptionKind::RejectOnce),
        ],
    }
}
