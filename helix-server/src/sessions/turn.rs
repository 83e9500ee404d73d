//! The turn machine: pure. Time and happenings go in, events for the log come out.
//!
//! ```text
//! queued ──► running ──► completed
//!    └──────────┴──────► cancelled, failed
//! ```
//!
//! **Invariants.** Nothing follows an end. The deltas that went out are the
//! answer, without gap or repetition. Every state but an end has a deadline.

use helix_proto::{
    TurnId,
    session::{SessionEventBody, TurnState, Usage},
};
use tokio::time::Instant;

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
    id: TurnId,
    options: SessionOptions,
    state: TurnState,
    waiting_for: Option<String>,
    answer: String,
    /// How much of the answer went out as deltas.
    told: usize,
    usage: Option<Usage>,
    error: Option<String>,
    /// When what was gathered goes out.
    flush_at: Option<Instant>,
    /// When the model last said something.
    heard_at: Instant,
    /// When the turn is given up, and why.
    give_up: (Instant, &'static str),
}

impl Machine {
    /// A turn that was just begun: its `turn_started` is in the log.
    pub(super) fn new(id: TurnId, options: SessionOptions, now: Instant) -> Self {
        let give_up = (
            now + options.turn_timeout,
            "the answer took too long in all",
        );
        Self {
            id,
            options,
            state: TurnState::Queued,
            waiting_for: None,
            answer: String::new(),
            told: 0,
            usage: None,
            error: None,
            flush_at: None,
            heard_at: now,
            give_up,
        }
    }

    pub(super) const fn state(&self) -> TurnState {
        self.state
    }

    /// The answer so far.
    pub(super) fn answer(&self) -> &str {
        &self.answer
    }

    pub(super) const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn waiting_for(&self) -> Option<&str> {
        self.waiting_for.as_deref()
    }

    /// Something happened. Returns what to append to the log.
    pub(super) fn on(&mut self, happening: Happening, now: Instant) -> Vec<SessionEventBody> {
        if self.state.is_terminal() {
            return Vec::new();
        }
        match happening {
            Happening::Waiting(reason) => self.waits(reason),
            Happening::Opened => self.opens(now),
            Happening::Delta(text) => self.hears(&text, now),
            Happening::Usage(usage) => {
                self.heard_at = now;
                self.usage = Some(usage);
                Vec::new()
            }
            Happening::Completed => self.ends(TurnState::Completed, None),
            Happening::Cancelled => self.ends(TurnState::Cancelled, None),
            Happening::Failed(reason) => self.ends(TurnState::Failed, Some(reason)),
        }
    }

    /// Brings the end nearer: the control plane is about to stop.
    pub(super) fn give_up_at(&mut self, at: Instant, reason: &'static str) {
        if at < self.give_up.0 {
            self.give_up = (at, reason);
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn next_tick(&self) -> Instant {
        let silent_at = (self.state == TurnState::Running)
            .then(|| self.heard_at + self.options.silence_timeout);
        [self.flush_at, silent_at]
            .into_iter()
            .flatten()
            .fold(self.give_up.0, Instant::min)
    }

    /// Time passed. Returns what to append to the log.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<SessionEventBody> {
        if self.state.is_terminal() {
            return Vec::new();
        }
        if now >= self.give_up.0 {
            return self.ends(TurnState::Failed, Some(self.give_up.1.to_owned()));
        }
        if self.state == TurnState::Running && now >= self.heard_at + self.options.silence_timeout {
            let seconds = self.options.silence_timeout.as_secs();
            return self.ends(
                TurnState::Failed,
                Some(format!("the model said nothing for {seconds} s")),
            );
        }
        if self.flush_at.is_some_and(|at| now >= at) {
            return self.flush();
        }
        Vec::new()
    }

    fn waits(&mut self, reason: String) -> Vec<SessionEventBody> {
        if self.state != TurnState::Queued || self.waiting_for.as_deref() == Some(&reason) {
            return Vec::new();
        }
        self.waiting_for = Some(reason.clone());
        vec![SessionEventBody::TurnWaiting {
            turn_id: self.id,
            reason,
        }]
    }

    fn opens(&mut self, now: Instant) -> Vec<SessionEventBody> {
        self.heard_at = now;
        if self.state == TurnState::Running {
            return Vec::new();
        }
        self.state = TurnState::Running;
        self.waiting_for = None;
        vec![SessionEventBody::TurnRunning { turn_id: self.id }]
    }

    fn hears(&mut self, text: &str, now: Instant) -> Vec<SessionEventBody> {
        let mut events = self.opens(now);
        if text.is_empty() {
            return events;
        }
        if self.answer.len() + text.len() > self.options.answer_bytes {
            let most = self.options.answer_bytes;
            let reason = format!("the answer is longer than {most} bytes");
            events.extend(self.ends(TurnState::Failed, Some(reason)));
            return events;
        }
        self.answer.push_str(text);
        if self.answer.len() - self.told >= BATCH_BYTES {
            events.extend(self.flush());
        } else if self.flush_at.is_none() {
            self.flush_at = Some(now + self.options.batch);
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
            turn_id: self.id,
            text,
        }]
    }

    fn ends(&mut self, state: TurnState, error: Option<String>) -> Vec<SessionEventBody> {
        let mut events = self.flush();
        self.state = state;
        self.waiting_for = None;
        self.error.clone_from(&error);
        let usage = self.usage;
        events.push(SessionEventBody::TurnEnded {
            turn_id: self.id,
            state,
            error,
            usage,
        });
        events
    }
}

#[cfg(test)]
mod tests;
