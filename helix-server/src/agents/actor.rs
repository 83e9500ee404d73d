//! One conversation at work: the machine, its database, its host's connection.

use std::{sync::Arc, time::Duration};

use helix_agent::{
    Gap, Step,
    control::{Act, Change, Conversation, Effect, Limits},
    turn::Stage,
};
use helix_proto::{
    SessionId, ThreadId, TurnId, UserId,
    agents::{Down, Event, GAP, Known},
    session::{AgentTurn, AgentTurnState, OpenPermission, SessionAgentState},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Agents, hosts::Link, refused};
use crate::{
    api::Failure,
    seal,
    store::{
        self,
        agents::{Loaded, StoredAgent},
    },
    workspaces::Progress,
};

mod choosing;
mod effects;
mod news;
mod redacting;
mod repository;

use redacting::Redacting;

/// How long an actor stays that nobody needs.
const IDLE: Duration = Duration::from_secs(60);
/// How long it waits before it reads again what it could not store.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// A clock may be set: a deadline is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Changes that are stored together at most; what comes meanwhile is the next batch.
const BATCH: usize = 1_024;

/// What an actor is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Its host said hello; answered before anything is sent there.
    Connected {
        link: Arc<Link>,
        known: oneshot::Sender<Option<Known>>,
    },
    /// Its host said something.
    Said {
        /// The number of the connection.
        link: u64,
        thread: ThreadId,
        said: Said,
        /// Given back when it is stored.
        _budget: OwnedSemaphorePermit,
    },
    /// Somebody wants something. Answered when it is stored: with the turn that a prompt with the
    /// same key became before.
    Act {
        act: Box<Act>,
        key: Option<(TurnId, String)>,
        reply: oneshot::Sender<Result<Option<TurnId>, Failure>>,
    },
    /// The session is to go on with another agent or model. Answered when it is stored.
    Choose {
        chosen: Chosen,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// Somebody wants to know how things are.
    Look {
        reply: oneshot::Sender<SessionAgentState>,
    },
    /// The sandbox may be another now.
    SandboxChanged,
    /// How far git is with the repository.
    Cloning(Progress),
    /// The repository is there, or why it is not.
    Cloned(Result<(), String>),
    /// The session is to go.
    Delete {
        user: UserId,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
}

/// What a session is to go on with.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Its name in the catalogue, and its title, where it is another.
    pub(super) agent: Option<(String, String)>,
    /// The model that it asks, where that is another.
    pub(super) model: Option<String>,
    /// What the log says.
    pub(super) reason: String,
}

/// What a host said of a thread.
#[derive(Debug)]
pub(super) enum Said {
    Events(Vec<Event>),
    Accepted(u64),
    Unknown,
}

/// Why an actor stops what it does.
#[derive(Debug)]
enum Stop {
    /// The session is gone, nobody needs the actor, or the control plane ends.
    Done,
    /// What is in memory is ahead of what is stored: it is read again.
    Broken(store::Error),
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Broken(error)
    }
}

/// What may happen next.
enum Next {
    Message(Message),
    Tick,
    Disconnected,
}

struct Actor {
    agents: Agents,
    stored: StoredAgent,
    machine: Conversation,
    link: Option<Arc<Link>>,
    /// A prompt waits for a sandbox that is being made or started.
    waits_for_sandbox: bool,
    /// A prompt waits for the repository.
    cloning: bool,
    /// Keeps the secrets that the sandbox was given out of the log.
    redacting: Redacting,
    /// Why they cannot be read: nothing of its agent is stored then.
    unreadable: Option<String>,
    /// The turn in flight that lists show.
    shown: Option<TurnId>,
}

/// Drives a conversation until nobody needs that.
pub(super) async fn run(agents: Agents, session: SessionId, mut inbox: mpsc::Receiver<Message>) {
    let draining = agents.inner.tasks.draining_token().clone();
    loop {
        let host = match live(&agents, session, &mut inbox).await {
            (_, Stop::Done) => break,
            (host, Stop::Broken(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a conversation could not be stored or read: it begins again from what is stored"
                );
                host
            }
        };
        if let Some(host) = host {
            // What it said and is not stored, it says again on the next connection.
            let why = "what was said could not be stored";
            agents.inner.hosts.close(host, GAP, why);
        }
        let waited = draining.run_until_cancelled(tokio::time::sleep(TRY_AGAIN));
        if waited.await.is_none() {
            break;
        }
    }
    // Whoever waits for an answer hears that there is none.
    inbox.close();
}

/// One life of the machine, from what is stored on.
async fn live(
    agents: &Agents,
    session: SessionId,
    inbox: &mut mpsc::Receiver<Message>,
) -> (Option<helix_proto::SandboxHostId>, Stop) {
    let loaded = agents
        .inner
        .store
        .load_agent(&agents.inner.seal, session)
        .await;
    let Loaded { agent, saved } = match loaded {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return (None, Stop::Done),
        Err(error) => return (None, Stop::Broken(error)),
    };
    let host = agent.host_id;
    let now_ms = agents.inner.clock.now_ms();
    let (machine, step) = Conversation::restore(saved, Limits::default(), now_ms);
    let mut actor = Actor {
        agents: agents.clone(),
        shown: machine.saved().turn().map(helix_agent::turn::Turn::id),
        stored: agent,
        machine,
        link: None,
        waits_for_sandbox: false,
        cloning: false,
        redacting: Redacting::default(),
        unreadable: None,
    };
    let stop = match actor.begin(step).await {
        Ok(()) => actor.serve(inbox).await,
        Err(stop) => stop,
    };
    (Some(host), stop)
}

impl Actor {
    fn now_ms(&self) -> u64 {
        self.agents.inner.clock.now_ms()
    }

    async fn begin(&mut self, step: Step<Change, Effect>) -> Result<(), Stop> {
        self.read_secrets().await?;
        self.carry_out(step).await?;
        if let Some(link) = self.agents.inner.hosts.link(self.stored.host_id) {
            let step = self.connect(link);
            self.carry_out(step).await?;
        }
        self.look_at_sandbox().await
    }

    /// What is to be kept out of the log from now on.
    async fn read_secrets(&mut self) -> Result<(), Stop> {
        let sandbox = self.stored.agent.sandbox_id;
        match self.agents.inner.secrets.redactor(sandbox).await {
            Ok(redactor) => {
                self.redacting.knows(redactor);
                self.unreadable = None;
            }
            Err(seal::Error::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(%sandbox, %error, "the secrets of a sandbox cannot be read: its agent's thread is over, since what it says may show them");
                self.unreadable = Some(format!(
                    "the secrets of the sandbox cannot be read, and what its agent says may show them: {error}"
                ));
            }
        }
        Ok(())
    }

    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Stop {
        loop {
            let Some(next) = self.next(inbox).await else {
                return Stop::Done;
            };
            if let Err(stop) = self.on(next, inbox).await {
                return stop;
            }
        }
    }

    /// What happens next; none when nobody needs the actor any more.
    async fn next(&self, inbox: &mut mpsc::Receiver<Message>) -> Option<Next> {
        let draining = self.agents.inner.tasks.draining_token().clone();
        let held = self.redacting.until_ms();
        let tick = self.machine.next_tick().into_iter().chain(held).min();
        let wait = tick.map_or(IDLE, |at_ms| {
            Duration::from_millis(at_ms.saturating_sub(self.now_ms())).min(LOOK_AGAIN)
        });
        let disconnected = async {
            match &self.link {
                Some(link) => link.closed.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = draining.cancelled() => None,
            () = disconnected => Some(Next::Disconnected),
            message = inbox.recv() => message.map(Next::Message),
            () = tokio::time::sleep(wait) => {
                if tick.is_none() && !self.waits_for_sandbox && !self.cloning {
                    // Who wants to say something now waits for the next actor.
                    inbox.close();
                    return inbox.recv().await.map(Next::Message);
                }
                Some(Next::Tick)
            }
        }
    }

    async fn on(&mut self, next: Next, inbox: &mut mpsc::Receiver<Message>) -> Result<(), Stop> {
        let now_ms = self.now_ms();
        match next {
            Next::Tick => {
                let mut step = self.machine.tick(now_ms);
                if let Some((thread, events)) = self.redacting.show(now_ms)
                    && let Ok(shown) = self.machine.events(thread, events, now_ms)
                {
                    step.then(shown);
                }
                self.carry_out(step).await
            }
            Next::Disconnected => {
                self.link = None;
                self.redacting.forget();
                let step = self.machine.disconnected(now_ms);
                self.carry_out(step).await
            }
            Next::Message(Message::Said {
                link, thread, said, ..
            }) => self.said(link, thread, said, inbox).await,
            Next::Message(message) => self.told(message).await,
        }
    }

    async fn told(&mut self, message: Message) -> Result<(), Stop> {
        match message {
            Message::Connected { link, known } => {
                let step = self.connect(link);
                let changes = self.commit(step.changes, None).await;
                // Said before anything is sent: the welcome is the first that the host hears.
                let _ = known.send(self.machine.known());
                changes?;
                let effects = Step {
                    changes: Vec::new(),
                    effects: step.effects,
                };
                self.carry_out(effects).await
            }
            // Only where it was stashed behind others of its kind.
            Message::Said { .. } => Ok(()),
            Message::Act { act, key, reply } => self.act(*act, key, reply).await,
            Message::Choose { chosen, reply } => self.choose(chosen, reply).await,
            Message::Look { reply } => {
                let _ = reply.send(self.state());
                Ok(())
            }
            Message::SandboxChanged => {
                self.read_secrets().await?;
                self.look_at_sandbox().await
            }
            Message::Cloning(progress) => self.cloning_goes_on(progress).await,
            Message::Cloned(done) => self.cloned(done).await,
            Message::Delete { user, reply } => self.delete(user, reply).await,
        }
    }

    /// The host is there, on a connection that may be known already.
    fn connect(&mut self, link: Arc<Link>) -> Step<Change, Effect> {
        let known = self.link.as_ref().map(|known| known.number);
        if link.host != self.stored.host_id || known.is_some_and(|known| known >= link.number) {
            return Step::default();
        }
        let now_ms = self.now_ms();
        let mut step = Step::default();
        if self.link.is_some() {
            step = self.machine.disconnected(now_ms);
        }
        let thread = self.machine.saved().thread();
        let held = thread.and_then(|thread| link.held(thread));
        self.link = Some(link);
        self.redacting.forget();
        step.then(self.machine.connected(held, now_ms));
        step
    }

    /// The host said something; what else it said meanwhile is stored with it.
    async fn said(
        &mut self,
        link: u64,
        thread: ThreadId,
        said: Said,
        inbox: &mut mpsc::Receiver<Message>,
    ) -> Result<(), Stop> {
        let mut step = Step::default();
        let mut gap = self.hear(link, thread, said, &mut step).err();
        let mut other = None;
        // Held until what they count is stored.
        let mut budgets = Vec::new();
        while gap.is_none() && step.changes.len() < BATCH {
            match inbox.try_recv() {
                Ok(Message::Said {
                    link,
                    thread,
                    said,
                    _budget,
                }) => {
                    budgets.push(_budget);
                    gap = self.hear(link, thread, said, &mut step).err();
                }
                Ok(message) => {
                    other = Some(message);
                    break;
                }
                Err(_) => break,
            }
        }
        self.carry_out(step).await?;
        drop(budgets);
        if let Some(gap) = gap {
            tracing::warn!(%gap, "a sandbox host left something out");
            if let Some(link) = &self.link {
                link.close(GAP, &gap.to_string());
            }
        }
        match other {
            Some(message) => self.told(message).await,
            None => Ok(()),
        }
    }

    fn hear(
        &mut self,
        link: u64,
        thread: ThreadId,
        said: Said,
        step: &mut Step<Change, Effect>,
    ) -> Result<(), Gap> {
        // Of a connection that was replaced, nothing is heard.
        if self.link.as_ref().is_none_or(|own| own.number != link) {
            return Ok(());
        }
        let now_ms = self.now_ms();
        step.then(match said {
            Said::Events(events) => {
                let known = self.machine.known().filter(|own| own.thread == thread);
                let events = match known {
                    Some(known) => self.redacting.take(&known, events, now_ms)?,
                    // Nothing is stored of it.
                    None => events,
                };
                self.machine.events(thread, events, now_ms)?
            }
            Said::Accepted(through) => self.machine.accepted(thread, through, now_ms)?,
            Said::Unknown => self.machine.unknown(thread, now_ms),
        });
        Ok(())
    }

    async fn act(
        &mut self,
        act: Act,
        key: Option<(TurnId, String)>,
        reply: oneshot::Sender<Result<Option<TurnId>, Failure>>,
    ) -> Result<(), Stop> {
        let session = self.stored.session_id;
        if let Some((_, key)) = &key {
            let before = self.agents.inner.store.prompt_by_key(session, key).await?;
            if before.is_some() {
                let _ = reply.send(Ok(before));
                return Ok(());
            }
        }
        let now_ms = self.now_ms();
        let step = match self.machine.act(act, now_ms) {
            Ok(step) => step,
            Err(refusal) => {
                let _ = reply.send(Err(refused(refusal)));
                return Ok(());
            }
        };
        self.commit(step.changes, key).await?;
        let _ = reply.send(Ok(None));
        let effects = Step {
            changes: Vec::new(),
            effects: step.effects,
        };
        self.carry_out(effects).await
    }

    fn state(&self) -> SessionAgentState {
        let saved = self.machine.saved();
        let state = |stage: &Stage| match stage {
            Stage::Queued | Stage::Dispatched => AgentTurnState::Dispatched,
            Stage::Running | Stage::Ended { .. } => AgentTurnState::Running,
            Stage::Awaiting => AgentTurnState::AwaitingPermission,
        };
        let permissions = saved.thread().into_iter().flat_map(|thread| {
            let requests = saved.permissions().keys();
            requests.map(|request| OpenPermission {
                thread: thread.id,
                request: *request,
            })
        });
        SessionAgentState {
            phase: self.stored.phase,
            turn: saved.turn().map(|turn| AgentTurn {
                id: turn.id(),
                state: state(turn.stage()),
            }),
            queue: saved.queue().cloned().collect(),
            held: saved.held(),
            permissions: permissions.collect(),
            host_connected: self.link.is_some(),
            sandbox_phase: None,
        }
    }

    async fn delete(
        &mut self,
        user: UserId,
        reply: oneshot::Sender<Result<(), Failure>>,
    ) -> Result<(), Stop> {
        let sessions = &self.agents.inner.sessions;
        let done = sessions.delete(user, self.stored.session_id).await;
        let failed = done.is_err();
        let _ = reply.send(done);
        if failed {
            return Ok(());
        }
        let thread = self.machine.saved().thread().map(|thread| thread.id);
        if let (Some(link), Some(thread)) = (&self.link, thread) {
            link.send(&Down::Forget { thread }).await;
        }
        Err(Stop::Done)
    }
}
