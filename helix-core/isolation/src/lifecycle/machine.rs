//! The machine itself.

use std::time::Duration;

use helix_proto::sandbox::{SandboxEnd, SandboxEndKind, SandboxPhase, SandboxState};

use super::{Action, At, Deadlines, Event, Goal, Life, Timeouts, Work};

/// Waits before a stop or a removal that failed is tried again: the first, and the longest.
const RETRY_MS: (u64, u64) = (1_000, 60_000);

/// The life of one sandbox.
#[derive(Debug, Clone)]
pub struct Machine {
    deadlines: Deadlines,
    timeouts: Timeouts,
    life: Life,
    at: At,
    halted: bool,
    work: Option<Underway>,
    /// Its first process has ended; what is left of it must be cleaned up.
    dead: bool,
    failures: u32,
    retry_at: Option<u64>,
    trouble: Option<(Work, SandboxEnd)>,
}

#[derive(Debug, Clone, Copy)]
struct Underway {
    work: Work,
    phase: Option<SandboxPhase>,
    allowed: Duration,
    until: u64,
}

impl Machine {
    /// A sandbox that is new, or was found where `at` says. Answers what to do first.
    pub fn new(
        deadlines: Deadlines,
        timeouts: Timeouts,
        life: Life,
        at: At,
        now: u64,
    ) -> (Self, Vec<Action>) {
        let mut machine = Self {
            deadlines,
            timeouts,
            life,
            at,
            halted: false,
            work: None,
            dead: false,
            failures: 0,
            retry_at: None,
            trouble: None,
        };
        machine.reconcile();
        let mut actions = Vec::new();
        machine.tick(now, &mut actions);
        machine.plan(now, &mut actions);
        (machine, actions)
    }

    /// What was wanted may be impossible now that the host was away.
    fn reconcile(&mut self) {
        if self.life.goal == Goal::Deleted {
            return;
        }
        if self.life.made && self.at == At::Nothing {
            let why = "its files are no longer on the host; delete it";
            self.fail(end(SandboxEndKind::Internal, why));
        } else if self.life.goal == Goal::Paused && self.at == At::Stopped {
            let why = "it was paused when its host went down: what it had in memory is lost, its \
                       files are kept";
            self.life.goal = Goal::Stopped;
            self.life.end = Some(end(SandboxEndKind::HostRestarted, why));
        }
    }

    /// Takes what happened, and answers what to do, in this order.
    pub fn handle(&mut self, event: Event, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wanted(goal) => self.wanted(goal, now),
            Event::Phase(phase) => self.phase_begins(phase, now),
            Event::Done(result) => self.done(result, now),
            Event::Ended(why) => self.ended(why, &mut actions),
            Event::Used(at) => self.life.used_at_ms = self.life.used_at_ms.max(at),
            Event::Timeouts(timeouts) => {
                self.timeouts = timeouts;
                self.tick(now, &mut actions);
            }
            Event::Halt => self.halted = true,
            Event::Tick => self.tick(now, &mut actions),
        }
        self.plan(now, &mut actions);
        actions
    }

    fn wanted(&mut self, goal: Goal, now: u64) {
        if self.life.goal == Goal::Deleted {
            return;
        }
        self.trouble = None;
        self.life.goal = goal;
        self.life.used_at_ms = self.life.used_at_ms.max(now);
        match goal {
            Goal::Running | Goal::Paused => {
                self.life.failed = false;
                self.life.end = None;
            }
            Goal::Stopped if self.life.end.is_none() => {
                self.life.end = Some(end(SandboxEndKind::Requested, "it was stopped on request"));
            }
            Goal::Stopped => {}
            Goal::Deleted => self.retry_at = None,
        }
    }

    fn phase_begins(&mut self, phase: SandboxPhase, now: u64) {
        if let Some(underway) = &mut self.work {
            underway.phase = Some(phase);
            underway.allowed = self.deadlines.of_phase(phase);
            underway.until = now.saturating_add(millis(underway.allowed));
        }
    }

    fn done(&mut self, result: Result<(), SandboxEnd>, now: u64) {
        let Some(Underway { work, .. }) = self.work.take() else {
            return;
        };
        match result {
            Ok(()) => self.succeeded(work, now),
            Err(why) => self.went_wrong(work, why, now),
        }
    }

    fn succeeded(&mut self, work: Work, now: u64) {
        self.failures = 0;
        self.retry_at = None;
        self.trouble = None;
        match work {
            Work::Create => {
                self.at = At::Stopped;
                self.life.made = true;
            }
            Work::Start => {
                self.at = At::Running;
                self.life.used_at_ms = self.life.used_at_ms.max(now);
            }
            Work::Pause => self.at = At::Paused,
            Work::Resume => self.at = At::Running,
            Work::Stop => {
                self.at = At::Stopped;
                self.dead = false;
            }
            Work::Remove => self.at = At::Gone,
        }
    }

    fn went_wrong(&mut self, work: Work, why: SandboxEnd, now: u64) {
        self.trouble = Some((work, why.clone()));
        match work {
            Work::Create | Work::Start if self.life.goal != Goal::Deleted => self.fail(why),
            Work::Create | Work::Start => {}
            // It is as it was.
            Work::Pause if self.life.goal == Goal::Paused => self.life.goal = Goal::Running,
            Work::Resume if self.life.goal == Goal::Running => self.life.goal = Goal::Paused,
            Work::Pause | Work::Resume => {}
            Work::Stop | Work::Remove => {
                let wait = RETRY_MS.0.saturating_mul(1 << self.failures.min(16));
                self.failures += 1;
                self.retry_at = Some(now.saturating_add(wait.min(RETRY_MS.1)));
            }
        }
    }

    fn fail(&mut self, why: SandboxEnd) {
        self.life.goal = Goal::Stopped;
        self.life.failed = true;
        self.life.end = Some(why);
    }

    fn ended(&mut self, why: SandboxEnd, actions: &mut Vec<Action>) {
        let ending = self.under_way(&[Work::Stop, Work::Remove]);
        if !matches!(self.at, At::Running | At::Paused) || self.dead || ending {
            return;
        }
        self.abandon(actions);
        self.dead = true;
        if matches!(self.life.goal, Goal::Running | Goal::Paused) {
            self.fail(why);
        }
    }

    fn tick(&mut self, now: u64, actions: &mut Vec<Action>) {
        if let Some(late) = self.work.filter(|underway| now >= underway.until) {
            actions.push(Action::Abandon);
            self.done(Err(too_late(late)), now);
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
        }
        if !matches!(self.life.goal, Goal::Running | Goal::Paused) {
            return;
        }
        if self.timeouts.expires_at_ms.is_some_and(|at| now >= at) {
            self.life.goal = Goal::Stopped;
            let why = "its time to live was over";
            self.life.end = Some(end(SandboxEndKind::Expired, why));
        } else if self.idle_at().is_some_and(|at| now >= at) {
            self.life.goal = Goal::Stopped;
            let idle = self.timeouts.idle_ms.unwrap_or_default();
            let why = format!("nobody used it for {} s", idle / 1000);
            self.life.end = Some(end(SandboxEndKind::Idle, &why));
        }
    }

    fn idle_at(&self) -> Option<u64> {
        let lives = matches!(self.at, At::Running | At::Paused);
        let idle = self.timeouts.idle_ms.filter(|_| lives)?;
        Some(self.life.used_at_ms.saturating_add(idle))
    }

    /// What is worked towards.
    fn goal(&self) -> Goal {
        let lives = matches!(self.life.goal, Goal::Running | Goal::Paused);
        if self.halted && lives {
            Goal::Stopped
        } else {
            self.life.goal
        }
    }

    fn next(&self) -> Option<Work> {
        match (self.at, self.goal()) {
            (At::Gone, _) => None,
            (_, Goal::Deleted) => Some(Work::Remove),
            (At::Running | At::Paused, _) if self.dead => Some(Work::Stop),
            (At::Nothing, Goal::Running | Goal::Paused) => Some(Work::Create),
            (At::Stopped, Goal::Running | Goal::Paused) => Some(Work::Start),
            (At::Running, Goal::Paused) => Some(Work::Pause),
            (At::Paused, Goal::Running) => Some(Work::Resume),
            (At::Running | At::Paused, Goal::Stopped) => Some(Work::Stop),
            (At::Nothing | At::Stopped, Goal::Stopped)
            | (At::Running, Goal::Running)
            | (At::Paused, Goal::Paused) => None,
        }
    }

    fn plan(&mut self, now: u64, actions: &mut Vec<Action>) {
        let ends = matches!(self.goal(), Goal::Stopped | Goal::Deleted);
        if ends && !self.under_way(&[Work::Stop, Work::Remove]) {
            self.abandon(actions);
        }
        if self.work.is_some() || self.retry_at.is_some() {
            return;
        }
        let Some(work) = self.next() else { return };
        let allowed = self.deadlines.of_work(work);
        self.work = Some(Underway {
            work,
            phase: match work {
                Work::Create => Some(SandboxPhase::Filesystem),
                Work::Start => Some(SandboxPhase::Isolation),
                _ => None,
            },
            allowed,
            until: now.saturating_add(millis(allowed)),
        });
        actions.push(Action::Begin(work));
    }

    /// A dropped create or start leaves nothing; all other work leaves things as they were.
    fn abandon(&mut self, actions: &mut Vec<Action>) {
        if self.work.take().is_some() {
            actions.push(Action::Abandon);
        }
    }

    fn under_way(&self, which: &[Work]) -> bool {
        self.work
            .is_some_and(|underway| which.contains(&underway.work))
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    pub fn wake_at(&self) -> Option<u64> {
        let lives = matches!(self.life.goal, Goal::Running | Goal::Paused);
        let expires = self.timeouts.expires_at_ms.filter(|_| lives);
        let until = self.work.map(|underway| underway.until);
        let idle = self.idle_at().filter(|_| lives);
        [until, self.retry_at, expires, idle]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether it may be wanted so now.
    ///
    /// # Errors
    ///
    /// Says why not, and what to do.
    pub fn check(&self, goal: Goal, now: u64) -> Result<(), &'static str> {
        let state = self.state();
        let lives = matches!(state, SandboxState::Running | SandboxState::Paused);
        match goal {
            Goal::Deleted => Ok(()),
            _ if state == SandboxState::Deleted => Err("it is being deleted"),
            Goal::Stopped => Ok(()),
            Goal::Paused if !lives => Err("it does not run, so it cannot be paused"),
            Goal::Running if self.life.made && self.at == At::Nothing => {
                Err("its files are no longer on the host; delete it")
            }
            Goal::Running if self.timeouts.expires_at_ms.is_some_and(|at| now >= at) => {
                Err("its time to live is over; fork it or take a snapshot to go on")
            }
            Goal::Running | Goal::Paused => Ok(()),
        }
    }

    /// Where it is, for people and programs.
    pub fn state(&self) -> SandboxState {
        if self.at == At::Gone || self.life.goal == Goal::Deleted {
            return SandboxState::Deleted;
        }
        match self.at {
            _ if self.life.failed => SandboxState::Failed,
            At::Running => SandboxState::Running,
            At::Paused => SandboxState::Paused,
            _ if self.goal() == Goal::Stopped => SandboxState::Stopped,
            _ => SandboxState::Creating,
        }
    }

    /// What is being done, while it is being made.
    pub fn phase(&self) -> Option<SandboxPhase> {
        let creating = self.state() == SandboxState::Creating;
        self.work.filter(|_| creating)?.phase
    }

    /// Why it stopped or failed.
    pub fn end(&self) -> Option<SandboxEnd> {
        let halted = self.halted && self.state() == SandboxState::Stopped;
        let halt = || {
            let why = "its host was stopped; it goes on when the host is started again";
            end(SandboxEndKind::HostRestarted, why)
        };
        self.life.end.clone().or_else(|| halted.then(halt))
    }

    /// Where it is.
    pub const fn at(&self) -> At {
        self.at
    }

    /// The work under way.
    pub fn work(&self) -> Option<Work> {
        self.work.map(|underway| underway.work)
    }

    /// What failed last, since something was wanted or succeeded.
    pub const fn trouble(&self) -> Option<&(Work, SandboxEnd)> {
        self.trouble.as_ref()
    }

    /// Whether nothing is left to do before something happens.
    pub fn is_settled(&self) -> bool {
        self.work.is_none() && self.retry_at.is_none()
    }

    /// What must outlive the process.
    pub const fn life(&self) -> &Life {
        &self.life
    }
}

fn too_late(late: Underway) -> SandboxEnd {
    let seconds = late.allowed.as_secs_f64();
    let what = match late.phase {
        Some(SandboxPhase::Placing | SandboxPhase::Filesystem) => "its file system was not made",
        Some(SandboxPhase::Isolation) => "its namespaces, network and limits were not made",
        Some(SandboxPhase::Guest) => "what runs inside did not answer",
        Some(SandboxPhase::Docker) => "its Docker daemon did not answer",
        None => match late.work {
            Work::Pause => "it was not paused",
            Work::Resume => "it was not resumed",
            Work::Stop => "its processes did not end",
            _ => "it was not removed",
        },
    };
    end(
        SandboxEndKind::Timeout,
        &format!("{what} within {seconds} s"),
    )
}

fn end(kind: SandboxEndKind, message: &str) -> SandboxEnd {
    SandboxEnd {
        kind,
        message: message.to_owned(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
