//! A chat's turn: pure. Time and happenings go in, events for the log come out.
//!
//! Its life and its deadlines are those of every turn ([`helix_agent::turn`]); what is a chat's
//! own is the answer, which is gathered here and goes out in batches.
//!
//! **Invariants.** Nothing follows an end. The deltas that went out are the
//! answer, without gap or repetition. Every state but an end has a deadline.

use helix_agent::turn::{self, Change, Limits, Stage, Turn};
use helix_proto::{
    TurnId,
    agents::{StopReason, TurnEnd},
    session::{SessionEventBody, TurnState, Usage},
};
use tokio::time::{Duration, Instant};

use crate::options::SessionOptions;

/// Parts of an answer are stored together once there are this many bytes.
const BATCH_BYTES: usize = 16 << 10;

/// What happens to a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// What it waits for changed.
    Waiting(String),
    /// The model begins to answer.
    Opened,
    /// More of the answer.
    Delta(String),
    /// Tokens, as the model counted them.
    Usage(Usage),
    /// The answer is complete.
    Completed,
    /// The user stopped it.
    Cancelled,
    /// It cannot go on, and why.
    Failed(String),
}

/// One turn in flight.
#[derive(Debug)]
pub(super) struct Machine {
    turn: Turn,
    limits: Limits,
    /// The turn's own milliseconds begin here.
    begun: Instant,
    batch: Duration,
    answer_bytes: usize,
    waiting_for: Option<String>,
    answer: String,
    /// How much of the answer went out as deltas.
    told: usize,
    usage: Option<Usage>,
    /// When what was gathered goes out.
    flush_at: Option<Instant>,
}

impl Machine {
    /// A turn that was just begun: its `turn_started` is in the log.
    pub(super) fn new(id: TurnId, options: &SessionOptions, now: Instant) -> Self {
        let limits = Limits {
            who: "the model",
            what: "the answer",
            total: options.turn_timeout,
            silence: options.silence_timeout,
            warning: None,
            ..Limits::default()
        };
        Self {
            turn: Turn::new(id, &limits, 0),
            limits,
            begun: now,
            batch: options.batch,
            answer_bytes: options.answer_bytes,
            waiting_for: None,
            answer: String::new(),
            told: 0,
            usage: None,
            flush_at: None,
        }
    }

    pub(super) const fn state(&self) -> TurnState {
        match self.turn.stage() {
            // A chat is not dispatched and asks for no permission.
            Stage::Queued | Stage::Dispatched => TurnState::Queued,
            Stage::Running | Stage::Awaiting => TurnState::Running,
            Stage::Ended { end } => match end {
                TurnEnd::Completed { .. } => TurnState::Completed,
                TurnEnd::Cancelled => TurnState::Cancelled,
                TurnEnd::Failed { .. } => TurnState::Failed,
            },
        }
    }

    /// The answer so far.
    pub(super) fn answer(&self) -> &str {
        &self.answer
    }

    pub(super) const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub(super) fn error(&self) -> Option<&str> {
        match self.turn.stage() {
            Stage::Ended {
                end: TurnEnd::Failed { reason },
            } => Some(reason),
            _ => None,
        }
    }

    pub(super) fn waiting_for(&self) -> Option<&str> {
        self.waiting_for.as_deref()
    }

    /// Something happened. Returns what to append to the log.
    pub(super) fn on(&mut self, happening: Happening, now: Instant) -> Vec<SessionEventBody> {
        if self.turn.is_over() {
            return Vec::new();
        }
        match happening {
            Happening::Waiting(reason) if self.waiting_for.as_ref() == Some(&reason) => Vec::new(),
            Happening::Waiting(reason) => self.turn_on(turn::Happening::Waits(reason), now),
            Happening::Opened => self.turn_on(turn::Happening::Opened, now),
            Happening::Delta(text) => self.hears(&text, now),
            Happening::Usage(usage) => {
                self.usage = Some(usage);
                self.turn_on(turn::Happening::Heard, now)
            }
            Happening::Completed => {
                let stop = StopReason::EndTurn;
                self.ends(TurnEnd::Completed { stop }, now)
            }
            Happening::Cancelled => self.ends(TurnEnd::Cancelled, now),
            Happening::Failed(reason) => self.ends(TurnEnd::Failed { reason }, now),
        }
    }

    /// Brings the end nearer: the control plane is about to stop.
    pub(super) fn give_up_at(&mut self, at: Instant, reason: &str) {
        self.turn.give_up_at(self.millis(at), reason);
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn next_tick(&self) -> Instant {
        let turn = self.turn.next_tick(&self.limits).unwrap_or_default();
        let turn = self.begun + Duration::from_millis(turn);
        self.flush_at.map_or(turn, |at| at.min(turn))
    }

    /// Time passed. Returns what to append to the log.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<SessionEventBody> {
        let now_ms = self.millis(now);
        let changes = self.turn.tick(&self.limits, now_ms);
        if changes.is_empty() && self.flush_at.is_some_and(|at| now >= at) {
            return self.flush();
        }
        self.tell(changes)
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begun);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn turn_on(&mut self, happening: turn::Happening, now: Instant) -> Vec<SessionEventBody> {
        let now_ms = self.millis(now);
        let changes = self.turn.on(happening, &self.limits, now_ms);
        self.tell(changes)
    }

    /// What the log says of changes.
    fn tell(&mut self, changes: Vec<Change>) -> Vec<SessionEventBody> {
        let turn_id = self.turn.id();
        let mut events = Vec::new();
        for change in changes {
            match change {
                Change::Waits(reason) => {
                    self.waiting_for = Some(reason.clone());
                    events.push(SessionEventBody::TurnWaiting { turn_id, reason });
                }
                Change::Running => {
                    self.waiting_for = None;
                    events.push(SessionEventBody::TurnRunning { turn_id });
                }
                Change::Ended(_) => {
                    events.extend(self.flush());
                    self.waiting_for = None;
                    events.push(SessionEventBody::TurnEnded {
                        turn_id,
                        state: self.state(),
                        error: self.error().map(ToOwned::to_owned),
                        usage: self.usage,
                    });
                }
                // An agent's.
                Change::Dispatched
                | Change::Awaiting
                | Change::Counting { .. }
                | Change::GoesOn => {}
            }
        }
        events
    }

    fn hears(&mut self, text: &str, now: Instant) -> Vec<SessionEventBody> {
        let mut events = self.turn_on(turn::Happening::Opened, now);
        if text.is_empty() {
            return events;
        }
        if self.answer.len() + text.len() > self.answer_bytes {
            let most = self.answer_bytes;
            let reason = format!("the answer is longer than {most} bytes");
            events.extend(self.ends(TurnEnd::Failed { reason }, now));
            return events;
        }
        self.answer.push_str(text);
        if self.answer.len() - self.told >= BATCH_BYTES {
            events.extend(self.flush());
        } else if self.flush_at.is_none() {
            self.flush_at = Some(now + self.batch);
        }
        events
    }

    fn flush(&mut self) -> Vec<SessionEventBody> {
        self.flush_at = None;
        let text = self.answer[self.told..].to_owned();
        self.told = self.answer.len();
        if text.is_empty() {
            return Vec::new();
        }
        vec![SessionEventBody::TurnDelta {
            turn_id: self.turn.id(),
            text,
        }]
    }

    fn ends(&mut self, end: TurnEnd, now: Instant) -> Vec<SessionEventBody> {
        self.turn_on(turn::Happening::Ended(end), now)
    }
}

#[cfg(test)]
mod tests;
