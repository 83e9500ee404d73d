//! The driver of all threads: what comes is told to the machine, what it changes is put on the
//! disk, and then what it wants is done.
//!
//! What waits is taken together: one commit of a thread for all of it.

mod wishes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use helix_agent::{
    Gap, Step,
    host::{Agent, Change, Effect, Input, Limits, Steps, Thread, Threads},
};
use helix_base::{Clock, TaskGroup};
use helix_proto::{
    ThreadId,
    agents::{Down, GAP, Up},
};
use tokio::sync::mpsc;

use super::{
    connection::{Connection, Heard},
    editors::{Editors, wire::Told},
    journal::{Commit, Journal, Journals},
    models::Models,
    notes::Notebook,
    place::{Place, Standing},
    process::{Around, Order, Process, Said},
};
use crate::{Error, sandboxes::Sandboxes};

/// What processes say and is not taken yet, at most: they wait.
const SAID: usize = 256;
/// How much is taken together.
const TOGETHER: usize = 128;
/// Between two attempts to write to a disk that is full.
const FULL: Duration = Duration::from_secs(1);
/// How often it is looked whether sandboxes are gone.
const LOOK: Duration = Duration::from_secs(5);
/// How long after its sandbox a thread is kept for what is not acknowledged.
const KEPT: u64 = 10 * 60 * 1000;

/// The driver.
#[derive(Debug)]
pub(super) struct Driver {
    threads: Threads,
    journals: Journals,
    kept: BTreeMap<ThreadId, Journal>,
    processes: BTreeMap<ThreadId, Process>,
    /// When the sandbox of a thread was first found to be gone.
    gone: BTreeMap<ThreadId, u64>,
    connection: Option<Connection>,
    sandboxes: Sandboxes,
    models: Models,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    said: (mpsc::Sender<Said>, mpsc::Receiver<Said>),
    heard: mpsc::Receiver<Heard>,
    editors: Editors,
}

impl Driver {
    /// With the threads that an earlier host had. Blocks.
    ///
    /// # Errors
    ///
    /// The place of the threads cannot be read.
    pub(super) fn restore(
        sandboxes: Sandboxes,
        models: Models,
        tasks: TaskGroup,
        heard: mpsc::Receiver<Heard>,
    ) -> Result<(Self, Steps), Error> {
        let shared = sandboxes.shared();
        let clock = Arc::clone(&shared.clock);
        let journals = Journals::open(&shared.options.data_dir)?;
        let mut kept = BTreeMap::new();
        let mut saved = Vec::new();
        for (thread, journal) in journals.restore()? {
            kept.insert(thread.record().thread, journal);
            saved.push(thread);
        }
        let (threads, steps) = Threads::restore(saved, Limits::default(), clock.now_ms());
        let this = Self {
            threads,
            journals,
            kept,
            processes: BTreeMap::new(),
            gone: BTreeMap::new(),
            connection: None,
            sandboxes,
            models,
            clock,
            tasks,
            said: mpsc::channel(SAID),
            heard,
            editors: Editors::default(),
        };
        Ok((this, steps))
    }

    /// Until the group drains. What runs in sandboxes goes on.
    pub(super) async fn run(mut self, steps: Steps) {
        self.all(steps).await;
        let mut look = tokio::time::interval(LOOK);
        let tasks = self.tasks.clone();
        loop {
            let tick = self.threads.next_tick();
            let tick = tick.map(|at| Duration::from_millis(at.saturating_sub(self.clock.now_ms())));
            let ticks = async {
                match tick {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tasks.draining() => return,
                heard = self.heard.recv() => match heard {
                    Some(heard) => self.hears(heard).await,
                    None => return,
                },
                said = self.said.1.recv() => {
                    if let Some(said) = said {
                        self.says(said).await;
                    }
                }
                from = self.editors.next() => {
                    if let Some(from) = from {
                        self.editor(from).await;
                    }
                }
                () = ticks => {
                    let steps = self.threads.tick(self.clock.now_ms());
                    self.all(steps).await;
                }
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// What processes said, and what else waits.
    async fn says(&mut self, first: Said) {
        let mut said = vec![first];
        while said.len() < TOGETHER
            && let Ok(more) = self.said.1.try_recv()
        {
            said.push(more);
        }
        let mut steps = Steps::new();
        for Said { thread, run, facts } in said {
            for (position, fact) in facts {
                let input = Input::Agent {
                    run,
                    position,
                    fact,
                };
                // What a process says has no numbers that could be wrong.
                let step = self.threads.on(thread, input, self.clock.now_ms());
                steps.extend(step.unwrap_or_default());
            }
        }
        self.all(steps).await;
    }

    async fn hears(&mut self, heard: Heard) {
        match heard {
            Heard::Opened(connection) => {
                self.hang_up(None).await;
                connection.send(self.threads.hello());
                self.connection = Some(connection);
            }
            Heard::Closed { connection } => {
                if self.is_current(connection) {
                    self.hang_up(None).await;
                }
            }
            Heard::Down { connection, down } => {
                // What comes on one that was replaced is not listened to.
                if self.is_current(connection) {
                    self.down(*down).await;
                }
            }
        }
    }

    async fn down(&mut self, down: Down) {
        let welcomed = matches!(down, Down::Welcome { .. });
        let down = match down {
            Down::Log(page) => return self.editors.log(page),
            other => other,
        };
        let (steps, fits) = self.threads.hears(down, self.clock.now_ms());
        self.all(steps).await;
        if let Err(gap) = fits {
            self.hang_up(Some(gap)).await;
        }
        if welcomed {
            let waiting: Vec<_> = self.editors.waiting().collect();
            self.send(waiting);
        }
    }

    fn send(&self, ups: impl IntoIterator<Item = Up>) {
        if let Some(connection) = &self.connection {
            for up in ups {
                connection.send(up);
            }
        }
    }

    fn is_current(&self, number: u64) -> bool {
        let current = self.connection.as_ref();
        current.is_some_and(|connection| connection.number == number)
    }

    async fn hang_up(&mut self, gap: Option<Gap>) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if let Some(gap) = gap {
            tracing::warn!(%gap, "the control plane and this host do not agree: the connection begins anew");
            connection.close(GAP, gap.to_string());
        }
        let steps = self.threads.disconnected(self.clock.now_ms());
        self.all(steps).await;
    }

    /// Threads whose sandbox is gone are over; the others have a door for editors.
    async fn look(&mut self) {
        let now = self.clock.now_ms();
        self.doors();
        for id in self.threads.ids().collect::<Vec<_>>() {
            let Some(saved) = self.threads.get(id).and_then(Thread::saved) else {
                continue;
            };
            let place = self.place(id);
            if !place.is_some_and(|place| matches!(place.standing(), Standing::Gone)) {
                self.gone.remove(&id);
                continue;
            }
            let since = *self.gone.entry(id).or_insert(now);
            let ended = saved.record().agent == Agent::Stopped;
            let said = saved.unacknowledged_bytes() == 0 || now.saturating_sub(since) > KEPT;
            if ended && said {
                tracing::info!(thread = %id, "its sandbox is gone: the thread is over");
                let steps = self.threads.on(id, Input::Forget, now);
                self.all(steps.unwrap_or_default()).await;
                self.gone.remove(&id);
            }
        }
    }

    /// Commits each step, in order, and does what each wants. Those of one thread are one commit.
    async fn all(&mut self, steps: Steps) {
        let mut joined: Vec<(ThreadId, Step<Change, Effect>)> = Vec::new();
        for (id, step) in steps {
            match joined.iter_mut().find(|(other, _)| *other == id) {
                Some((_, before)) => before.then(step),
                None => joined.push((id, step)),
            }
        }
        for (id, step) in joined {
            if !step.changes.is_empty() {
                self.commit(id, step.changes).await;
            }
            for effect in step.effects {
                self.effect(id, effect);
            }
        }
    }

    /// Puts changes on the disk. While that is full, nothing else is done: agents wait, and the
    /// control plane sees that this host says nothing.
    async fn commit(&mut self, id: ThreadId, changes: Vec<Change>) {
        let journal = self.kept.remove(&id);
        let mut journal = journal.unwrap_or_else(|| self.journals.begin(id));
        let saved = self.threads.get(id).and_then(Thread::saved);
        let mut commit = journal.commit_of(changes, saved);
        let mut told = false;
        loop {
            let done = tokio::task::spawn_blocking(move || {
                let committed = journal.commit(&commit);
                (committed, journal, commit)
            });
            let Ok((committed, back, tried)) = done.await else {
                // The runtime ends.
                return std::future::pending().await;
            };
            journal = back;
            let Err(error) = committed else { break };
            if !std::mem::replace(&mut told, true) {
                tracing::error!(thread = %id, %error, "what agents do cannot be written down: they wait until it can");
            }
            tokio::time::sleep(FULL).await;
            commit = match tried {
                Commit::Changes(changes) => {
                    let saved = self.threads.get(id).and_then(Thread::saved);
                    journal.commit_of(changes, saved)
                }
                whole => whole,
            };
        }
        if told {
            tracing::info!("what agents do is written down again");
        }
        if self.threads.get(id).is_some() {
            self.kept.insert(id, journal);
        }
    }

    fn place(&self, id: ThreadId) -> Option<Place> {
        let saved = self.threads.get(id)?.saved()?;
        Some(Place {
            sandboxes: self.sandboxes.clone(),
            id: saved.record().open.sandbox,
        })
    }

    fn around(&self, id: ThreadId, run: u64) -> Option<Around> {
        let saved = self.threads.get(id)?.saved()?;
        let spec = saved.record().open.agent.clone();
        let place = self.place(id)?;
        Some(Around {
            thread: id,
            run,
            _led: self.models.lead(&spec, &place),
            models: self.models.clone(),
            spec,
            place,
            notebook: self.notebook(id),
            tasks: self.tasks.clone(),
            said: self.said.0.clone(),
        })
    }

    fn notebook(&self, id: ThreadId) -> Notebook {
        Notebook::at(self.journals.beside(id, "notes"))
    }

    fn effect(&mut self, id: ThreadId, effect: Effect) {
        match effect {
            Effect::Send(up) => self.send([up]),
            Effect::Start { run, session } => {
                self.doors();
                if let Some(around) = self.around(id, run) {
                    self.processes.insert(id, Process::start(around, session));
                }
            }
            Effect::Find { run, position } => {
                if let Some(around) = self.around(id, run) {
                    self.processes.insert(id, Process::find(around, position));
                }
            }
            Effect::Tell {
                run,
                number,
                tell,
                content,
            } => self.order(
                id,
                run,
                Order::Tell {
                    number,
                    tell,
                    content,
                },
            ),
            Effect::Stop { run } => self.stop(id, run),
            Effect::Read { run, on } => self.order(id, run, Order::Read(on)),
            Effect::Noted { key, seq } => {
                let told = Told::Noted {
                    key: key.clone(),
                    seq,
                };
                self.editors.answer(id, &key, told);
            }
            Effect::Refused { key, reason } => {
                let told = Told::Refused {
                    key: key.clone(),
                    reason,
                };
                self.editors.answer(id, &key, told);
            }
            Effect::Removed => {
                self.processes.remove(&id);
                self.notebook(id).remove();
                let over = self.editors.over(id);
                self.send(over);
            }
        }
    }

    fn order(&self, id: ThreadId, run: u64, order: Order) {
        let process = self.processes.get(&id).filter(|process| process.run == run);
        if process.is_some_and(|process| !process.order(order)) {
            tracing::debug!(thread = %id, run, "an agent does not listen any more");
        }
    }

    fn stop(&mut self, id: ThreadId, run: u64) {
        let process = self.processes.get(&id).filter(|process| process.run == run);
        if process.is_some_and(|process| process.order(Order::Stop)) {
            return;
        }
        // Nobody talks to it: by what was noted of it.
        if let Some(around) = self.around(id, run) {
            self.processes.insert(id, Process::stop_lost(around));
        }
    }
}
