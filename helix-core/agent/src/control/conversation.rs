//! The machine of a conversation with an agent.
//!
//! **Invariants.** At most one turn is in flight. Every prompt ends once, with a reason if not by
//! an answer. An event of the host is taken once, and acknowledged after it is stored. A
//! permission is answered once. Nothing waits without an end, but a queue that is held: that is
//! somebody's to release.

use std::time::Duration;

use helix_proto::{
    ThreadId, TurnId,
    agents::{Command, Content, Down, Entry, Held, Known, Numbered, Open, PermissionAnswer},
};

use super::saved::{Change, Saved};
use crate::{Gap, Step, turn};

mod acts;
mod events;
mod flight;

pub use acts::{Act, Refusal};

/// Bounds of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of each turn.
    pub turn: turn::Limits,
    /// How long a request for a permission is open.
    pub permission: Duration,
    /// How many requests for a permission are open.
    pub permissions: usize,
    /// How many prompts wait.
    pub queue: usize,
    /// How many commands a host may leave unaccepted before its thread is given up.
    pub commands: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            turn: turn::Limits::default(),
            permission: Duration::from_secs(12 * 3_600),
            permissions: 64,
            queue: 64,
            commands: 256,
        }
    }
}

/// What a conversation wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this to the host, on the connection that [`Conversation::connected`] was told of.
    Send(Down),
    /// Call [`Conversation::open`] with a new thread: a prompt waits for one.
    NeedsThread,
    /// The conversation is over, and its host needs nothing more.
    Over,
}

/// A conversation with an agent.
#[derive(Debug)]
pub struct Conversation {
    saved: Saved,
    limits: Limits,
    now_ms: u64,
    connected: bool,
    step: Step<Change, Effect>,
}

impl Conversation {
    /// A conversation that begins.
    pub fn new(limits: Limits) -> Self {
        Self {
            saved: Saved::default(),
            limits,
            now_ms: 0,
            connected: false,
            step: Step::default(),
        }
    }

    /// A conversation as it was stored, after the control plane was started anew; its host is
    /// not connected yet.
    pub fn restore(saved: Saved, limits: Limits, now_ms: u64) -> (Self, Step<Change, Effect>) {
        let mut this = Self {
            saved,
            now_ms,
            ..Self::new(limits)
        };
        if let Some(turn) = &mut this.saved.turn {
            turn.resume(now_ms);
        }
        this.turn_on(turn::Happening::HostAway);
        if this.saved.closed && this.saved.thread.is_none() {
            // Whoever was told before may not have come to it.
            this.effect(Effect::Over);
        }
        let step = this.finish();
        (this, step)
    }

    /// What is kept of it.
    pub const fn saved(&self) -> &Saved {
        &self.saved
    }

    /// A thread for a conversation that has none.
    pub fn open(&mut self, id: ThreadId, mut open: Open, now_ms: u64) -> Step<Change, Effect> {
        self.now_ms = now_ms;
        if self.saved.thread.is_none() && !self.saved.closed {
            open.resume.clone_from(&self.saved.session);
            self.change(Change::Thread { id: Some(id) });
            self.log(Entry::ThreadOpened {
                thread: id,
                resumes: open.resume.is_some(),
            });
            self.command(Command::Open(Box::new(open)));
        }
        self.finish()
    }

    /// The host is connected, and has the thread as it says, or does not have it.
    ///
    /// # Contract of the driver
    /// The host's welcome is sent before any effect of this step: with [`Self::known`], or, if
    /// that is none, with the thread among those to forget.
    pub fn connected(&mut self, held: Option<Held>, now_ms: u64) -> Step<Change, Effect> {
        self.now_ms = now_ms;
        self.connected = true;
        if let Some(thread) = self.saved.thread.clone() {
            let fault = match held {
                None if thread.accepted == 0 && thread.acknowledged == 0 => None,
                None => Some("the sandbox's host does not have the thread any more"),
                Some(held)
                    if held.accepted < thread.accepted || held.last_seq < thread.acknowledged =>
                {
                    Some("the sandbox's host was set back to an earlier state")
                }
                Some(held)
                    if held.accepted > thread.last_number
                        || held.first_seq > thread.acknowledged + 1 =>
                {
                    Some("the control plane was set back to an earlier state")
                }
                Some(held) => {
                    self.host_accepted(held.accepted);
                    None
                }
            };
            if let Some(reason) = fault {
                self.thread_over(reason);
            }
        }
        for command in self.saved.commands.clone() {
            self.send_command(command);
        }
        self.turn_on(turn::Happening::HostBack);
        self.finish()
    }

    /// The thread for the welcome, if the host is to go on with one.
    pub fn known(&self) -> Option<Known> {
        self.saved.thread.as_ref().map(|thread| Known {
            thread: thread.id,
            acknowledged: thread.acknowledged,
        })
    }

    /// The host's connection is gone.
    pub fn disconnected(&mut self, now_ms: u64) -> Step<Change, Effect> {
        self.now_ms = now_ms;
        self.connected = false;
        self.turn_on(turn::Happening::HostAway);
        self.finish()
    }

    /// The host, or its sandbox, will not be back.
    pub fn host_gone(&mut self, reason: &str, now_ms: u64) -> Step<Change, Effect> {
        self.now_ms = now_ms;
        self.connected = false;
        self.thread_over(reason);
        self.finish()
    }

    /// The host says that it does not have a thread that it was sent a command for.
    pub fn unknown(&mut self, thread: ThreadId, now_ms: u64) -> Step<Change, Effect> {
        self.now_ms = now_ms;
        if self.is_thread(thread) {
            self.thread_over("the sandbox's host does not have the thread any more");
        }
        self.finish()
    }

    /// The host has stored commands.
    ///
    /// # Errors
    /// More than there were. Nothing was done; the connection is to be closed.
    pub fn accepted(
        &mut self,
        thread: ThreadId,
        through: u64,
        now_ms: u64,
    ) -> Result<Step<Change, Effect>, Gap> {
        self.now_ms = now_ms;
        if let Some(known) = self
            .saved
            .thread
            .as_ref()
            .filter(|known| known.id == thread)
        {
            if through > known.last_number {
                return Err(Gap {
                    got: through,
                    expected: known.last_number,
                });
            }
            self.host_accepted(through);
        }
        Ok(self.finish())
    }

    /// When to tell that time passed.
    pub fn next_tick(&self) -> Option<u64> {
        let permissions = self.saved.permissions.values().map(|open| open.ends_at_ms);
        let turn = self.saved.turn.as_ref();
        let turn = turn.and_then(|turn| turn.next_tick(&self.limits.turn));
        turn.into_iter().chain(permissions).min()
    }

    /// Time passed.
    pub fn tick(&mut self, now_ms: u64) -> Step<Change, Effect> {
        self.now_ms = now_ms;
        let expired: Vec<_> = self
            .saved
            .permissions
            .iter()
            .filter(|(_, open)| now_ms >= open.ends_at_ms)
            .map(|(request, _)| *request)
            .collect();
        for request in expired {
            self.answer(request, PermissionAnswer::Cancelled);
        }
        self.turn_tick();
        self.finish()
    }

    fn is_thread(&self, id: ThreadId) -> bool {
        self.saved
            .thread
            .as_ref()
            .is_some_and(|known| known.id == id)
    }

    fn host_accepted(&mut self, through: u64) {
        let before = self
            .saved
            .thread
            .as_ref()
            .map_or(0, |thread| thread.accepted);
        if through > before {
            self.change(Change::Accepted { through });
        }
    }

    fn change(&mut self, change: Change) {
        self.saved.apply(&change);
        self.step.changes.push(change);
    }

    fn log(&mut self, entry: Entry) {
        let entry = Box::new(entry);
        self.step.changes.push(Change::Log { entry });
    }

    fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }

    /// Makes a command for the host; without a thread there is nobody to tell.
    fn command(&mut self, command: Command) {
        let Some(thread) = &self.saved.thread else {
            return;
        };
        if self.saved.commands.len() >= self.limits.commands {
            self.thread_over("the sandbox's host does not take what it is sent");
            return;
        }
        let number = thread.last_number + 1;
        let command = Numbered { number, command };
        self.change(Change::Command {
            command: command.clone(),
        });
        self.send_command(command);
    }

    fn send_command(&mut self, command: Numbered) {
        if let Some(thread) = self.saved.thread.as_ref().filter(|_| self.connected) {
            let thread = thread.id;
            self.effect(Effect::Send(Down::Command { thread, command }));
        }
    }

    /// Answers a request that is open.
    fn answer(&mut self, request: u64, answer: PermissionAnswer) {
        self.answered(request, answer.clone());
        self.command(Command::Answer { request, answer });
    }

    /// A request that is open is over.
    fn answered(&mut self, request: u64, answer: PermissionAnswer) {
        self.change(Change::Answered { request });
        if let Some(thread) = &self.saved.thread {
            let thread = thread.id;
            self.log(Entry::PermissionAnswered {
                thread,
                request,
                answer,
            });
        }
        if self.saved.permissions.is_empty() {
            self.turn_on(turn::Happening::Answered);
        }
    }

    /// The thread is over: what was in flight there has failed.
    fn thread_over(&mut self, reason: &str) {
        self.end_thread(reason, false);
    }

    fn end_thread(&mut self, reason: &str, wanted: bool) {
        let Some(thread) = self.saved.thread.clone() else {
            return;
        };
        self.cancel_permissions();
        self.log(Entry::ThreadOver {
            thread: thread.id,
            reason: reason.to_owned(),
            wanted,
        });
        self.change(Change::Thread { id: None });
        self.fail_turn(reason);
        if self.saved.closed {
            self.effect(Effect::Over);
        }
    }

    fn cancel_permissions(&mut self) {
        for request in self.saved.permissions.clone().into_keys() {
            self.answered(request, PermissionAnswer::Cancelled);
        }
    }

    fn finish(&mut self) -> Step<Change, Effect> {
        self.dispatch();
        std::mem::take(&mut self.step)
    }
}

/// A prompt, if it is within the bounds of a command.
fn fitting(turn: TurnId, content: Vec<Content>) -> Result<Vec<Content>, Refusal> {
    let prompt = Command::Prompt {
        turn,
        content,
        wanted: None,
    };
    match (prompt.check(), prompt) {
        (Ok(()), Command::Prompt { content, .. }) if !content.is_empty() => Ok(content),
        _ => Err(Refusal::TooLarge),
    }
}

#[cfg(test)]
mod tests;
