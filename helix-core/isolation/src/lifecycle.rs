//! Where a sandbox is in its life: a pure state machine.
//!
//! [`Machine`] is told what somebody wants and what happened, with the time as an argument,
//! and answers which [`Work`] to begin or to abandon. It does one thing at a time, bounds
//! everything that it does, and works towards what is wanted until it is so or has failed.
//! Times are milliseconds since the Unix epoch.

mod machine;
#[cfg(test)]
mod tests;

use std::time::Duration;

use helix_base::millis;
use helix_proto::sandbox::{SandboxEnd, SandboxPhase};
use serde::{Deserialize, Serialize};

pub use machine::Machine;

/// What somebody wants of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// That it runs.
    Running,
    /// That it stands still.
    Paused,
    /// That it has no processes.
    Stopped,
    /// That nothing of it is left.
    Deleted,
}

/// Where a sandbox is, as far as the machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// It has no files yet.
    Nothing,
    /// It has files and no processes.
    Stopped,
    /// Its processes run.
    Running,
    /// Its processes stand still.
    Paused,
    /// Nothing of it is left.
    Gone,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Make its files.
    Create,
    /// Start its processes.
    Start,
    /// Let its processes stand still.
    Pause,
    /// Let them go on.
    Resume,
    /// End its processes.
    Stop,
    /// Remove it with everything of it.
    Remove,
}

/// What the machine has its driver do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begin this, and say [`Event::Done`] when it ended.
    Begin(Work),
    /// Drop the work under way. It says nothing any more.
    Abandon,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants something.
    Wanted(Goal),
    /// A phase of the work under way begins.
    Phase(SandboxPhase),
    /// The work under way ended.
    Done(Result<(), SandboxEnd>),
    /// Its first process ended by itself.
    Ended(SandboxEnd),
    /// It was used at this time.
    Used(u64),
    /// It is stopped at other times than before.
    Timeouts(Timeouts),
    /// The host stops, and its sandboxes with it; what is wanted of them stays.
    Halt,
    /// Time has passed.
    Tick,
}

/// What must outlive the process: write it down whenever it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// What is wanted.
    pub goal: Goal,
    /// Whether its files were made.
    pub made: bool,
    /// Whether it could not be made, or broke; `end` says why.
    pub failed: bool,
    /// Why it stopped or failed.
    pub end: Option<SandboxEnd>,
    /// When it was last used.
    pub used_at_ms: u64,
}

impl Life {
    /// Of a sandbox that was just asked for.
    pub const fn new(now: u64) -> Self {
        Self {
            goal: Goal::Running,
            made: false,
            failed: false,
            end: None,
            used_at_ms: now,
        }
    }
}

/// When a sandbox is stopped although nobody asks. It holds while it is paused, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Nobody used it for so long.
    pub idle_ms: Option<u64>,
    /// Its time is over.
    pub expires_at_ms: Option<u64>,
}

/// How long each kind of work may take. Times (`*_ms`) are written in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// Its disk and root file system; a fork copies a disk.
    #[serde(rename = "filesystem_ms", with = "millis")]
    pub filesystem: Duration,
    /// Its namespaces, network and limits.
    #[serde(rename = "isolation_ms", with = "millis")]
    pub isolation: Duration,
    /// Until what runs inside answers.
    #[serde(rename = "guest_ms", with = "millis")]
    pub guest: Duration,
    /// Until its Docker daemon answers.
    #[serde(rename = "docker_ms", with = "millis")]
    pub docker: Duration,
    /// To pause or resume.
    #[serde(rename = "pause_ms", with = "millis")]
    pub pause: Duration,
    /// To stop.
    #[serde(rename = "stop_ms", with = "millis")]
    pub stop: Duration,
    /// To remove.
    #[serde(rename = "remove_ms", with = "millis")]
    pub remove: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            filesystem: Duration::from_secs(300),
            isolation: Duration::from_secs(30),
            guest: Duration::from_secs(30),
            docker: Duration::from_secs(60),
            pause: Duration::from_secs(20),
            stop: Duration::from_secs(60),
            remove: Duration::from_secs(120),
        }
    }
}

impl Deadlines {
    const fn of_phase(&self, phase: SandboxPhase) -> Duration {
        match phase {
            SandboxPhase::Placing | SandboxPhase::Filesystem => self.filesystem,
            SandboxPhase::Isolation => self.isolation,
            SandboxPhase::Guest => self.guest,
            SandboxPhase::Docker => self.docker,
        }
    }

    const fn of_work(&self, work: Work) -> Duration {
        match work {
            Work::Create => self.filesystem,
            Work::Start => self.isolation,
            Work::Pause | Work::Resume => self.pause,
            Work::Stop => self.stop,
            Work::Remove => self.remove,
        }
    }
}
