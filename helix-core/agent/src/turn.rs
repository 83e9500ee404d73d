//! One turn's life, whoever answers: a model (a chat) or an agent in a sandbox. Happenings and
//! the time go in, changes come out.
//!
//! ```text
//! queued ──► dispatched ──► running ◄──► awaiting a permission
//!    │            │            │                 │
//!    └────────────┴────────────┴─────────────────┴──► completed, cancelled, failed(reason)
//! ```
//!
//! A chat has no `dispatched` and no permissions.
//!
//! **Invariants.** Nothing follows an end, and there is one. Every stage but an end and the
//! queue has a deadline, save a permission, whose own deadline is the conversation's.
//!
//! Times are milliseconds on any scale that the caller likes, as long as it is always the same
//! one and does not run backwards.

use std::time::Duration;

use helix_proto::{
    TurnId,
    agents::{TurnEnd, Waiting},
};
use serde::{Deserialize, Serialize};

/// How long a turn may wait for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Who answers, in reasons: "the agent".
    pub who: &'static str,
    /// What is waited for, in reasons: "the turn".
    pub what: &'static str,
    /// In all, from the beginning.
    pub total: Duration,
    /// From the dispatch until the agent has the prompt.
    pub start: Duration,
    /// In the middle, without a sign of life.
    pub silence: Duration,
    /// How long before the end of a silence it is told that it will end; not told if none.
    pub warning: Option<Duration>,
    /// From a cancel until the end of the turn.
    pub cancel: Duration,
    /// Without the sandbox's host.
    pub away: Duration,
}

impl Default for Limits {
    /// For agents: they run programs that take long, and install themselves first.
    fn default() -> Self {
        Self {
            who: "the agent",
            what: "the turn",
            total: Duration::from_secs(24 * 3_600),
            start: Duration::from_secs(15 * 60),
            silence: Duration::from_secs(15 * 60),
            warning: Some(Duration::from_secs(10 * 60)),
            cancel: Duration::from_secs(60),
            away: Duration::from_secs(15 * 60),
        }
    }
}

/// Where a turn is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// It waits for its place.
    Queued,
    /// The host was told.
    Dispatched,
    /// It is being answered.
    Running,
    /// The agent waits for a permission.
    Awaiting,
    /// It is over.
    Ended {
        /// How.
        end: TurnEnd,
    },
}

/// What happens to a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// What it waits for in the queue changed.
    Waits(String),
    /// It was sent to its host.
    Dispatched,
    /// Somebody answers.
    Opened,
    /// A sign of life.
    Heard,
    /// The agent asks for a permission.
    Asked,
    /// No permission is asked for any more.
    Answered,
    /// Somebody wants it to end, and was promised that it does.
    Cancelling,
    /// The host's connection broke.
    HostAway,
    /// The host is back.
    HostBack,
    /// It is over.
    Ended(TurnEnd),
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What it waits for in the queue.
    Waits(String),
    /// It is dispatched.
    Dispatched,
    /// It is running, or runs again.
    Running,
    /// The agent waits for a permission.
    Awaiting,
    /// A count-down is on.
    Counting {
        /// What for.
        waiting: Waiting,
        /// When the turn ends.
        ends_at_ms: u64,
    },
    /// The count-down is off.
    GoesOn,
    /// It is over.
    Ended(TurnEnd),
}

/// A turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    id: TurnId,
    stage: Stage,
    /// When it is given up, and why.
    give_up: (u64, String),
    /// When what the stage waits for is given up.
    start_by_ms: Option<u64>,
    cancel_by_ms: Option<u64>,
    away_until_ms: Option<u64>,
    /// The count-down that is on.
    counting: Option<Waiting>,
    /// When somebody last said something. Not stored: it would be written with every word.
    #[serde(skip)]
    heard_at_ms: u64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn said(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 300 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

impl Turn {
    /// A turn that begins now.
    pub fn new(id: TurnId, limits: &Limits, now_ms: u64) -> Self {
        let give_up = format!("{} took too long in all", limits.what);
        Self {
            id,
            stage: Stage::Queued,
            give_up: (now_ms.saturating_add(millis(limits.total)), give_up),
            start_by_ms: None,
            cancel_by_ms: None,
            away_until_ms: None,
            counting: None,
            heard_at_ms: now_ms,
        }
    }

    /// Its id.
    pub const fn id(&self) -> TurnId {
        self.id
    }

    /// Where it is.
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. })
    }

    /// Whether somebody was promised that it ends.
    pub const fn is_being_cancelled(&self) -> bool {
        self.cancel_by_ms.is_some()
    }

    /// Whether it goes on without a host.
    pub const fn is_without_host(&self) -> bool {
        self.away_until_ms.is_some()
    }

    /// A turn that was read from where it is stored: a silence begins anew.
    pub const fn resume(&mut self, now_ms: u64) {
        self.heard_at_ms = now_ms;
    }

    /// Whether what is stored of the two is the same.
    pub fn is_stored_as(&self, other: &Self) -> bool {
        let heard_at_ms = self.heard_at_ms;
        let other = Self {
            heard_at_ms,
            ..other.clone()
        };
        *self == other
    }

    /// Brings the end nearer.
    pub fn give_up_at(&mut self, at_ms: u64, reason: &str) {
        if at_ms < self.give_up.0 {
            self.give_up = (at_ms, reason.to_owned());
        }
    }

    /// Something happened.
    pub fn on(&mut self, happening: Happening, limits: &Limits, now_ms: u64) -> Vec<Change> {
        if self.is_over() {
            return Vec::new();
        }
        match happening {
            Happening::Waits(reason) => match self.stage {
                Stage::Queued => vec![Change::Waits(reason)],
                _ => Vec::new(),
            },
            Happening::Dispatched => self.dispatched(limits, now_ms),
            Happening::Opened => self.opened(now_ms),
            Happening::Heard => self.heard(now_ms),
            Happening::Asked => self.asked(now_ms),
            Happening::Answered => self.answered(now_ms),
            Happening::Cancelling => self.cancelling(limits, now_ms),
            Happening::HostAway => self.host_away(limits, now_ms),
            Happening::HostBack => self.host_back(limits, now_ms),
            Happening::Ended(end) => self.ends(end),
        }
    }

    /// When [`Self::tick`] has something to do; none once it is over.
    pub fn next_tick(&self, limits: &Limits) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        let silent = self.silent_at(limits);
        let warned = limits
            .warning
            .filter(|_| self.counting.is_none())
            .and_then(|before| Some(silent?.saturating_sub(millis(before))));
        let (deadline, _) = self.deadline(limits);
        Some(warned.map_or(deadline, |at| at.min(deadline)))
    }

    /// Time passed.
    pub fn tick(&mut self, limits: &Limits, now_ms: u64) -> Vec<Change> {
        if self.is_over() {
            return Vec::new();
        }
        let (at_ms, end) = self.deadline(limits);
        if now_ms >= at_ms {
            return self.ends(end);
        }
        if let (Some(before), Some(ends_at_ms)) = (limits.warning, self.silent_at(limits))
            && self.counting.is_none()
            && now_ms >= ends_at_ms.saturating_sub(millis(before))
        {
            return self.counts(Waiting::Agent, ends_at_ms);
        }
        Vec::new()
    }

    /// When a silence ends the turn, if one can.
    fn silent_at(&self, limits: &Limits) -> Option<u64> {
        let waits = self.away_until_ms.is_some() || self.cancel_by_ms.is_some();
        (self.stage == Stage::Running && !waits)
            .then(|| self.heard_at_ms.saturating_add(millis(limits.silence)))
    }

    /// The next deadline, and how the turn ends then.
    fn deadline(&self, limits: &Limits) -> (u64, TurnEnd) {
        let failed = |reason| TurnEnd::Failed { reason };
        let mut next = (self.give_up.0, failed(self.give_up.1.clone()));
        let mut sooner = |at: Option<u64>, end: &dyn Fn() -> TurnEnd| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, end());
            }
        };
        sooner(self.cancel_by_ms, &|| TurnEnd::Cancelled);
        sooner(self.away_until_ms, &|| {
            let reason = format!("the sandbox's host has been away for {}", said(limits.away));
            failed(reason)
        });
        let present = self.away_until_ms.is_none();
        sooner(self.start_by_ms.filter(|_| present), &|| {
            let reason = format!(
                "{} did not take the prompt within {}",
                limits.who,
                said(limits.start)
            );
            failed(reason)
        });
        sooner(self.silent_at(limits), &|| {
            failed(format!(
                "{} said nothing for {}",
                limits.who,
                said(limits.silence)
            ))
        });
        next
    }

    fn dispatched(&mut self, limits: &Limits, now_ms: u64) -> Vec<Change> {
        if self.stage != Stage::Queued {
            return Vec::new();
        }
        self.stage = Stage::Dispatched;
        let ends_at_ms = now_ms.saturating_add(millis(limits.start));
        self.start_by_ms = Some(ends_at_ms);
        let mut changes = vec![Change::Dispatched];
        changes.extend(self.counts(Waiting::Start, ends_at_ms));
        changes
    }

    fn opened(&mut self, now_ms: u64) -> Vec<Change> {
        self.heard_at_ms = now_ms;
        if !matches!(self.stage, Stage::Queued | Stage::Dispatched) {
            return Vec::new();
        }
        self.start_by_ms = None;
        self.runs()
    }

    fn runs(&mut self) -> Vec<Change> {
        self.stage = Stage::Running;
        self.counting = self
            .counting
            .filter(|waiting| matches!(waiting, Waiting::Host | Waiting::Cancel));
        vec![Change::Running]
    }

    fn heard(&mut self, now_ms: u64) -> Vec<Change> {
        self.heard_at_ms = now_ms;
        if self.counting != Some(Waiting::Agent) {
            return Vec::new();
        }
        self.counting = None;
        vec![Change::GoesOn]
    }

    fn asked(&mut self, now_ms: u64) -> Vec<Change> {
        let mut changes = self.opened(now_ms);
        changes.extend(self.heard(now_ms));
        if self.stage == Stage::Running {
            self.stage = Stage::Awaiting;
            changes.push(Change::Awaiting);
        }
        changes
    }

    fn answered(&mut self, now_ms: u64) -> Vec<Change> {
        self.heard_at_ms = now_ms;
        if self.stage == Stage::Awaiting {
            self.runs()
        } else {
            Vec::new()
        }
    }

    fn cancelling(&mut self, limits: &Limits, now_ms: u64) -> Vec<Change> {
        if self.cancel_by_ms.is_some() {
            return Vec::new();
        }
        let ends_at_ms = now_ms.saturating_add(millis(limits.cancel));
        self.cancel_by_ms = Some(ends_at_ms);
        self.counts(Waiting::Cancel, ends_at_ms)
    }

    fn host_away(&mut self, limits: &Limits, now_ms: u64) -> Vec<Change> {
        if self.away_until_ms.is_some() {
            return Vec::new();
        }
        let ends_at_ms = now_ms.saturating_add(millis(limits.away));
        self.away_until_ms = Some(ends_at_ms);
        if self.cancel_by_ms.is_some() {
            return Vec::new();
        }
        self.counts(Waiting::Host, ends_at_ms)
    }

    fn host_back(&mut self, limits: &Limits, now_ms: u64) -> Vec<Change> {
        if self.away_until_ms.take().is_none() {
            return Vec::new();
        }
        self.heard_at_ms = now_ms;
        if self.cancel_by_ms.is_some() {
            return Vec::new();
        }
        if self.stage == Stage::Dispatched {
            let ends_at_ms = now_ms.saturating_add(millis(limits.start));
            self.start_by_ms = Some(ends_at_ms);
            return self.counts(Waiting::Start, ends_at_ms);
        }
        self.counting = None;
        vec![Change::GoesOn]
    }

    fn counts(&mut self, waiting: Waiting, ends_at_ms: u64) -> Vec<Change> {
        self.counting = Some(waiting);
        vec![Change::Counting {
            waiting,
            ends_at_ms,
        }]
    }

    fn ends(&mut self, end: TurnEnd) -> Vec<Change> {
        self.stage = Stage::Ended { end: end.clone() };
        self.counting = None;
        vec![Change::Ended(end)]
    }
}

#[cfg(test)]
mod tests;
