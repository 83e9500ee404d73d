//! All threads of a host, and what is said on its connection.

use std::collections::BTreeMap;

use helix_proto::{
    ThreadId,
    agents::{Command, Down, MAX_THREADS, Numbered, Up, VERSION},
};

use super::{
    saved::{Change, Saved},
    thread::{Effect, Input, Limits, Thread},
};
use crate::{Gap, Step};

/// What each of several threads wants done. Each is stored for itself, in this order.
pub type Steps = Vec<(ThreadId, Step<Change, Effect>)>;

/// The threads of a host.
///
/// # Contract of the driver
/// One connection at a time: what comes on one that was replaced is not passed on. After a
/// [`Gap`] the connection is closed with its code, and [`Self::disconnected`] told.
#[derive(Debug, Default)]
pub struct Threads {
    threads: BTreeMap<ThreadId, Thread>,
    limits: Limits,
}

impl Threads {
    /// The threads as they were stored.
    pub fn restore(
        saved: impl IntoIterator<Item = Saved>,
        limits: Limits,
        now_ms: u64,
    ) -> (Self, Steps) {
        let mut threads = BTreeMap::new();
        let mut steps = Vec::new();
        for saved in saved {
            let id = saved.record().thread;
            let (thread, step) = Thread::restore(saved, limits.clone(), now_ms);
            threads.insert(id, thread);
            steps.push((id, step));
        }
        let mut this = Self { threads, limits };
        this.forget_removed();
        (this, steps)
    }

    /// A thread.
    pub fn get(&self, id: ThreadId) -> Option<&Thread> {
        self.threads.get(&id)
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = ThreadId> {
        self.threads.keys().copied()
    }

    /// The first message of a connection.
    pub fn hello(&self) -> Up {
        let saved = self.threads.values().filter_map(Thread::saved);
        Up::Hello {
            version: VERSION,
            threads: saved.map(Saved::held).collect(),
        }
    }

    /// The control plane said something. The steps are to be carried out in any case; with a
    /// [`Gap`], the connection is closed after that.
    pub fn hears(&mut self, down: Down, now_ms: u64) -> (Steps, Result<(), Gap>) {
        let mut heard = Vec::new();
        match down {
            Down::Welcome {
                threads, forget, ..
            } => {
                heard.extend(threads.into_iter().map(|known| {
                    let acknowledged = known.acknowledged;
                    (known.thread, Input::Connected { acknowledged })
                }));
                heard.extend(forget.into_iter().map(|thread| (thread, Input::Forget)));
            }
            Down::Command { thread, command } => {
                if !self.threads.contains_key(&thread) {
                    return (vec![(thread, self.open(thread, command, now_ms))], Ok(()));
                }
                heard.push((thread, Input::Command(command)));
            }
            Down::Acknowledge { thread, through } => {
                heard.push((thread, Input::Acknowledged { through }));
            }
            Down::Forget { thread } => heard.push((thread, Input::Forget)),
            // For whoever reads: nothing here follows from it.
            Down::Log(_) => {}
        }
        let mut steps = Vec::new();
        let mut fits = Ok(());
        for (thread, input) in heard {
            match self.on(thread, input, now_ms) {
                Ok(more) => steps.extend(more),
                Err(gap) => fits = Err(gap),
            }
        }
        (steps, fits)
    }

    /// A command for a thread that is not there.
    fn open(&mut self, id: ThreadId, command: Numbered, now_ms: u64) -> Step<Change, Effect> {
        let room = self.threads.len() < MAX_THREADS;
        let mut step = Step::default();
        match command {
            Numbered {
                number: 1,
                command: Command::Open(open),
            } if room => {
                let (mut thread, opened) = Thread::open(id, *open, self.limits.clone(), now_ms);
                step.then(opened);
                let connected = Input::Connected { acknowledged: 0 };
                step.then(thread.on(connected, now_ms).unwrap_or_default());
                self.threads.insert(id, thread);
            }
            _ => step.effects.push(Effect::Send(Up::Unknown { thread: id })),
        }
        step
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now_ms: u64) -> Steps {
        self.all(&Input::Disconnected, now_ms)
    }

    /// Something came for one thread; for one that is not there, nothing is to be done.
    ///
    /// # Errors
    /// A number that does not fit.
    pub fn on(&mut self, id: ThreadId, input: Input, now_ms: u64) -> Result<Steps, Gap> {
        let Some(thread) = self.threads.get_mut(&id) else {
            return Ok(Vec::new());
        };
        let step = thread.on(input, now_ms)?;
        self.forget_removed();
        Ok(vec![(id, step)])
    }

    /// When to tell that time passed.
    pub fn next_tick(&self) -> Option<u64> {
        self.threads.values().filter_map(Thread::next_tick).min()
    }

    /// Time passed.
    pub fn tick(&mut self, now_ms: u64) -> Steps {
        self.all(&Input::Tick, now_ms)
    }

    /// Tells all of them something that has no number.
    fn all(&mut self, input: &Input, now_ms: u64) -> Steps {
        let ids: Vec<_> = self.ids().collect();
        let told = ids
            .into_iter()
            .filter_map(|id| self.on(id, input.clone(), now_ms).ok());
        told.flatten()
            .filter(|(_, step)| !step.is_empty())
            .collect()
    }

    fn forget_removed(&mut self) {
        self.threads.retain(|_, thread| thread.saved().is_some());
    }
}

#[cfg(test)]
mod tests;
