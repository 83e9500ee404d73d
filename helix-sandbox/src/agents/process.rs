//! One process of an agent: started or found again in its sandbox, read, told, stopped.

mod begin;
mod talk;
mod terminals;
mod write;

use std::sync::Arc;

use helix_agent::host::{Fact, Tell};
use helix_base::TaskGroup;
use helix_isolation::GuestClient;
use helix_proto::{
    ThreadId,
    agents::{AgentSpec, Content},
};
use tokio::sync::mpsc;

use super::{
    batch::Facts,
    models::{Led, Models},
    notes::{Notebook, Notes},
    place::{Place, Standing},
};
use talk::Talk;

/// What a process is told and has not taken yet, at most. Its thread's machine wants no more of it.
const ORDERS: usize = 512;

/// What a process is told.
#[derive(Debug)]
pub(super) enum Order {
    Tell {
        number: u64,
        tell: Tell,
        content: Vec<Content>,
    },
    Read(bool),
    Stop,
}

/// What a process says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) thread: ThreadId,
    pub(super) run: u64,
    /// To be taken together.
    pub(super) facts: Facts,
}

/// A process, from its thread's side. Dropping it lets go of the process, which runs on.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) run: u64,
    orders: mpsc::Sender<Order>,
}

/// What a process' task needs.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) thread: ThreadId,
    pub(super) run: u64,
    pub(super) spec: AgentSpec,
    pub(super) place: Place,
    pub(super) models: Models,
    /// Its sandbox is led to models while it runs.
    pub(super) _led: Option<Arc<Led>>,
    pub(super) notebook: Notebook,
    pub(super) tasks: TaskGroup,
    pub(super) said: mpsc::Sender<Said>,
}

impl Process {
    /// Starts the agent, to go on with a session.
    pub(super) fn start(around: Around, session: Option<String>) -> Self {
        Self::with(around, async move |around, orders| {
            around.start(session, orders).await
        })
    }

    /// Finds the agent again that was started before, and reads on after a place.
    pub(super) fn find(around: Around, place: u64) -> Self {
        Self::with(around, async move |around, orders| {
            around.find(place, orders).await
        })
    }

    /// Stops whatever is left of an agent that nobody found.
    pub(super) fn stop_lost(around: Around) -> Self {
        Self::with(around, async move |around, _| around.stop_lost_one().await)
    }

    fn with<F>(around: Around, live: impl FnOnce(Around, mpsc::Receiver<Order>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (run, tasks) = (around.run, around.tasks.clone());
        let (orders, taken) = mpsc::channel(ORDERS);
        tasks.spawn("agent", Box::pin(live(around, taken)));
        Self { run, orders }
    }

    /// Tells it something. False where it does not listen any more, or to so much: what became
    /// of it is said, or will be.
    pub(super) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

impl Around {
    /// Says that nothing runs any more.
    async fn exited(&self, why: impl Into<String>) {
        self.notebook.remove();
        self.say(vec![(None, Fact::Exited(why.into()))]).await;
    }

    async fn starting(&self, what: impl Into<String>) {
        self.say(vec![(None, Fact::Starting(what.into()))]).await;
    }

    async fn say(&self, facts: Facts) {
        let (thread, run) = (self.thread, self.run);
        // Nobody listens where the host ends.
        let _ = self.said.send(Said { thread, run, facts }).await;
    }

    /// Finds the process that was noted, and reads on.
    async fn find(self, place: u64, orders: mpsc::Receiver<Order>) {
        let noted = self.notebook.read().filter(|notes| notes.run == self.run);
        let Some(notes) = noted else {
            return self.exited("the agent was not found again").await;
        };
        match self.still_runs(&notes).await {
            Ok(()) => {
                self.say(vec![(None, Fact::Found)]).await;
                Talk::go_on(self, notes, place).live(orders).await;
            }
            Err(why) => self.exited(why).await,
        }
    }

    async fn still_runs(&self, notes: &Notes) -> Result<(), String> {
        let guest = self.place.guest()?;
        match guest.program(notes.exec).await {
            // What it wrote before its end is read to its end.
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the agent is gone: {error}")),
        }
    }

    async fn stop_lost_one(self) {
        match self.kill_noted().await {
            Ok(()) => self.exited("stopped").await,
            // The thread waits for its end, boundedly, and says so.
            Err(error) => {
                tracing::warn!(thread = %self.thread, %error, "an agent could not be killed");
            }
        }
    }

    /// Kills what an earlier process left, which nobody hears of any more.
    async fn kill_noted(&self) -> Result<(), String> {
        let Some(notes) = self.notebook.read() else {
            return Ok(());
        };
        let guest = match self.place.standing() {
            Standing::Runs(environment) => GuestClient::new(environment),
            Standing::Waits(why) => return Err(why.to_owned()),
            Standing::Ended(_) | Standing::Gone => return Ok(()),
        };
        let programs = notes.terminals.values().map(|terminal| terminal.exec);
        for exec in programs.chain([notes.exec]) {
            guest.kill(exec).await.map_err(|error| error.to_string())?;
        }
        self.notebook.remove();
        Ok(())
    }
}
