//! The machine of a thread on its host.
//!
//! **Invariants.** A command is carried out once. At most one turn is in flight, and each that
//! was prompted ends once. Events have numbers without gaps, and are kept until acknowledged.
//! An agent is not read faster than its events are acknowledged. Every wait has an end.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use helix_proto::{
    ThreadId,
    agents::{AgentPhase, Content, Event, EventBody, MAX_NAME, Numbered, Open, Up, Wanted},
};

use super::{
    agent::{Fact, Tell},
    saved::{Agent, Change, Record, Saved},
};
use crate::{Gap, Step};

mod commands;
mod editors;
mod process;
mod turns;

/// Bounds of a thread on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For the agent's start, its installation included.
    pub start: Duration,
    /// From the word to stop until the agent does not run any more.
    pub stop: Duration,
    /// From a cancel until the agent is stopped for not heeding it.
    pub cancel: Duration,
    /// Until an agent that ran before the host was restarted is found again.
    pub find: Duration,
    /// Bytes of events that may be on their way to the control plane.
    pub window: usize,
    /// Bytes of events that are kept when the agent is not read any more.
    pub full: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10 * 60),
            stop: Duration::from_secs(10),
            cancel: Duration::from_secs(20),
            find: Duration::from_secs(10),
            window: 2 << 20,
            full: 16 << 20,
        }
    }
}

/// Requests for a permission that are open at most.
const PERMISSIONS: usize = 64;

/// What a thread is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A connection was welcomed, and the control plane has stored events up to here.
    Connected {
        /// The last of them.
        acknowledged: u64,
    },
    /// The connection is gone.
    Disconnected,
    /// A command came.
    Command(Numbered),
    /// The control plane has stored events up to here.
    Acknowledged {
        /// The last of them.
        through: u64,
    },
    /// The control plane does not know the thread any more.
    Forget,
    /// An editor in the sandbox wants something. Told by [`Effect::Noted`] or
    /// [`Effect::Refused`].
    Wanted {
        /// The editor's own word for this wish. The same one again is the same wish, as long as
        /// it is among the last 64 of the thread.
        key: String,
        /// What.
        wanted: Wanted,
    },
    /// Something about the agent's process.
    Agent {
        /// Which process.
        run: u64,
        /// Where in what the process says this is, if it said it: larger than all before.
        /// What was read up to here is not read again after a restart of the host.
        position: Option<u64>,
        /// What.
        fact: Fact,
    },
    /// Time passed.
    Tick,
}

/// What a thread wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this on the connection there is.
    Send(Up),
    /// Start the agent as [`Record::open`] says; with this session, if there was one. Told by
    /// [`Fact::Starting`], and [`Fact::Ready`] or [`Fact::Exited`].
    Start {
        /// The process' number.
        run: u64,
        /// The session to go on with.
        session: Option<String>,
    },
    /// Find the agent that was started before the host was restarted, and read what it said
    /// after `position`. Told by [`Fact::Found`] or [`Fact::Exited`].
    Find {
        /// The process' number.
        run: u64,
        /// Where to read on.
        position: u64,
    },
    /// Tell the agent something. Told by [`Fact::Told`], with the same number.
    Tell {
        /// The process' number.
        run: u64,
        /// The number of what it is told. An agent that was found again may be told again.
        number: u64,
        /// What.
        tell: Tell,
        /// With [`Tell::Prompt`]: what it is asked.
        content: Vec<Content>,
    },
    /// Stop the agent and everything that it started, by force if it must be. Told by
    /// [`Fact::Exited`].
    Stop {
        /// The process' number.
        run: u64,
    },
    /// Read nothing more of what the agent says, or read on.
    Read {
        /// The process' number.
        run: u64,
        /// Whether to read.
        on: bool,
    },
    /// Tell whoever wanted it that it is stored, and will be decided by the control plane.
    Noted {
        /// The editor's word for it.
        key: String,
        /// The sequence number of the event that says so.
        seq: u64,
    },
    /// Tell whoever wanted it that it is not done.
    Refused {
        /// The editor's word for it.
        key: String,
        /// Why, for people.
        reason: String,
    },
    /// The thread is over and forgotten.
    Removed,
}

/// A thread on its host.
#[derive(Debug)]
pub struct Thread {
    saved: Option<Saved>,
    record: Record,
    limits: Limits,
    now_ms: u64,
    /// With a connection: the last event that was sent on it.
    sent: Option<u64>,
    /// While an agent is looked for: until when.
    find_by_ms: Option<u64>,
    reading: bool,
    /// The record changed and is not among the step's changes yet.
    dirty: bool,
    step: Step<Change, Effect>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Thread {
    /// A thread that begins with its first command, which is taken by this. It has no connection
    /// until it is told of one, with nothing acknowledged.
    pub fn open(
        thread: ThreadId,
        open: Open,
        limits: Limits,
        now_ms: u64,
    ) -> (Self, Step<Change, Effect>) {
        let record = Record {
            thread,
            session: open.resume.clone(),
            open,
            accepted: 1,
            agent: Agent::Stopped,
            run: 0,
            position: 0,
            turn: None,
            next: None,
            permissions: BTreeMap::new(),
            wishes: VecDeque::new(),
            tells: BTreeMap::new(),
            last_tell: 0,
            restarts: false,
            closing: false,
            closed: false,
            forgotten: false,
        };
        let mut this = Self::new(None, record, limits, now_ms);
        this.dirty = true;
        this.save_record();
        this.start();
        let step = this.finish();
        (this, step)
    }

    /// A thread as it was stored, after the host was started anew.
    pub fn restore(saved: Saved, limits: Limits, now_ms: u64) -> (Self, Step<Change, Effect>) {
        let record = saved.record().clone();
        let mut this = Self::new(Some(saved), record, limits, now_ms);
        if this.record.agent != Agent::Stopped {
            this.find_by_ms = Some(now_ms.saturating_add(millis(this.limits.find)));
            let Record { run, position, .. } = this.record;
            this.effect(Effect::Find { run, position });
        } else if this.record.forgotten {
            this.remove();
        }
        let step = this.finish();
        (this, step)
    }

    fn new(saved: Option<Saved>, record: Record, limits: Limits, now_ms: u64) -> Self {
        Self {
            saved,
            record,
            limits,
            now_ms,
            sent: None,
            find_by_ms: None,
            reading: true,
            dirty: false,
            step: Step::default(),
        }
    }

    /// What is kept of it; none once it is over and forgotten.
    pub const fn saved(&self) -> Option<&Saved> {
        self.saved.as_ref()
    }

    /// Something came, or time passed.
    ///
    /// # Errors
    /// A number that does not fit. Nothing was done; the connection is to be closed.
    pub fn on(&mut self, input: Input, now_ms: u64) -> Result<Step<Change, Effect>, Gap> {
        self.now_ms = now_ms;
        if self.saved.is_none() {
            return Ok(Step::default());
        }
        match input {
            Input::Connected { acknowledged } => self.connected(acknowledged)?,
            Input::Disconnected => self.sent = None,
            Input::Command(command) => self.command(command)?,
            Input::Acknowledged { through } => self.acknowledged(through)?,
            Input::Forget => self.forget(),
            Input::Wanted { key, wanted } => self.wanted(key, wanted),
            Input::Agent {
                run,
                position,
                fact,
            } => self.agent(run, position, fact),
            Input::Tick => self.tick(),
        }
        Ok(self.finish())
    }

    /// When to tell that time passed.
    pub fn next_tick(&self) -> Option<u64> {
        let process = match self.record.agent {
            Agent::Starting { by_ms } | Agent::Stopping { by_ms } => Some(by_ms),
            Agent::Ready => self.record.turn.as_ref().and_then(|turn| turn.cancel_by_ms),
            Agent::Stopped => None,
        };
        self.find_by_ms.or(process)
    }

    fn connected(&mut self, acknowledged: u64) -> Result<(), Gap> {
        let kept_from = self.journal_acknowledged();
        if acknowledged < kept_from {
            return Err(Gap {
                got: acknowledged,
                expected: kept_from,
            });
        }
        self.acknowledged(acknowledged)?;
        self.sent = Some(acknowledged);
        self.accepted();
        Ok(())
    }

    fn acknowledged(&mut self, through: u64) -> Result<(), Gap> {
        let last_seq = self.last_seq();
        if through > last_seq {
            return Err(Gap {
                got: through,
                expected: last_seq,
            });
        }
        if through > self.journal_acknowledged() {
            self.change(Change::Forget { through });
            self.sent = self.sent.map(|sent| sent.max(through));
        }
        if self.record.closed && through == last_seq {
            self.remove();
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.sent = None;
        self.record.forgotten = true;
        self.dirty = true;
        match self.record.agent {
            Agent::Stopped => self.remove(),
            _ => self.stop(),
        }
    }

    fn remove(&mut self) {
        self.dirty = false;
        self.change(Change::Remove);
        self.effect(Effect::Removed);
    }

    fn journal_acknowledged(&self) -> u64 {
        self.saved
            .as_ref()
            .map_or(0, |saved| saved.journal.acknowledged())
    }

    fn last_seq(&self) -> u64 {
        self.saved
            .as_ref()
            .map_or(0, |saved| saved.journal.last_seq())
    }

    fn change(&mut self, change: Change) {
        Saved::apply(&mut self.saved, &change);
        self.step.changes.push(change);
    }

    fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }

    /// Appends an event, and answers its number. One beyond the bounds is replaced by a notice
    /// that says so.
    fn append(&mut self, body: EventBody) -> u64 {
        let body = match body.check() {
            Ok(()) => body,
            Err(error) => EventBody::Notice {
                text: format!("the agent said something that was left out: {error}"),
            },
        };
        let seq = self.last_seq() + 1;
        let at_ms = self.now_ms;
        self.change(Change::Append(Event { seq, at_ms, body }));
        seq
    }

    fn phase(&mut self, phase: AgentPhase, detail: &str) {
        let detail = cut(detail);
        self.append(EventBody::Agent { phase, detail });
    }

    fn accepted(&mut self) {
        if self.sent.is_some() {
            self.effect(Effect::Send(Up::Accepted {
                thread: self.record.thread,
                through: self.record.accepted,
            }));
        }
    }

    fn save_record(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.change(Change::Record(Box::new(self.record.clone())));
        }
    }

    /// Sends what may be sent, and says whether the agent is read on.
    fn finish(&mut self) -> Step<Change, Effect> {
        self.save_record();
        let thread = self.record.thread;
        if let (Some(sent), Some(saved)) = (&mut self.sent, &self.saved) {
            loop {
                let events = saved.journal.after(*sent, self.limits.window);
                let Some(last) = events.last() else { break };
                *sent = last.seq;
                let events = Up::Events { thread, events };
                self.step.effects.push(Effect::Send(events));
            }
        }
        let bytes = self.saved.as_ref().map_or(0, |saved| saved.journal.bytes());
        let full = self.limits.full;
        let on = if self.reading {
            bytes < full
        } else {
            bytes < full / 2
        };
        if on != self.reading && self.record.agent != Agent::Stopped && self.saved.is_some() {
            self.reading = on;
            let run = self.record.run;
            self.effect(Effect::Read { run, on });
        }
        std::mem::take(&mut self.step)
    }
}

/// Text for people, bounded.
fn cut(text: &str) -> String {
    const MOST: usize = 16 * MAX_NAME;
    text[..text.floor_char_boundary(MOST)].to_owned()
}

#[cfg(test)]
mod tests;
