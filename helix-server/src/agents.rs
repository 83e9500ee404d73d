//! Agents at work in sandboxes, as the control plane has them.
//!
//! Each conversation that somebody waits for has an *actor*: a task that drives the pure machine
//! ([`helix_agent::control::Conversation`]) and is the one writer of what is stored of it. An
//! actor that nobody needs ends, and is there again with the next message. Hosts dial in
//! (`docs/agent-sync.md`); the connection hands on what they say and interprets none of it.
//!
//! **Invariants.** What a host said is stored before it is acknowledged, a batch at a time, and with
//! what other conversations store at that time (`writer`). A
//! session has one actor at most. What is on its way is bounded: the messages of a host by bytes,
//! and while an actor is busy, its host waits.

use std::{sync::Arc, time::Duration};

use helix_agent::control::{Act, Refusal};
use helix_base::{Clock, Ids, TaskGroup};
use helix_proto::{
    ErrorCode, SandboxId, SessionId, TurnId, UserId,
    sandbox::SandboxState,
    session::{SessionAgent, SessionAgentState},
};
use tokio::sync::oneshot;

use crate::{
    Foundation,
    api::Failure,
    auth::SessionKeys,
    events::{Notice, Received, Topic},
    sandboxes::Sandboxes,
    seal::Seal,
    secrets::Secrets,
    sessions::Sessions,
    store::{self, Store},
    workspaces::Workspaces,
};

mod actor;
mod actors;
mod catalogue;
mod choosing;
mod connection;
mod hosts;
mod metrics;
mod opening;
mod readers;
mod sandbox;
mod starting;
mod writer;

use actor::Message;
use actors::Actors;
use hosts::Hosts;
use metrics::Counters;
use writer::Writer;

pub(crate) use catalogue::PROGRAM_BYTES;
pub(crate) use starting::NewSession;

/// How long somebody waits for a conversation that cannot be stored or read now.
const ANSWER: Duration = Duration::from_secs(30);

/// All agents at work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Agents {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    seal: Seal,
    clock: Arc<dyn Clock>,
    ids: Ids,
    tasks: TaskGroup,
    sessions: Sessions,
    sandboxes: Sandboxes,
    workspaces: Workspaces,
    secrets: Secrets,
    keys: SessionKeys,
    hosts: Hosts,
    actors: Actors,
    writer: Writer,
}

impl Agents {
    /// Starts it, with all hosts disconnected: conversations that somebody waits for go on.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn start(
        foundation: &Foundation,
        sessions: &Sessions,
        sandboxes: &Sandboxes,
        workspaces: &Workspaces,
        secrets: &Secrets,
        keys: &SessionKeys,
    ) -> Result<Self, store::Error> {
        let store = foundation.store.clone();
        for details in catalogue::built_in() {
            store.seed_catalogue_agent(&details, false).await?;
        }
        let agents = Self {
            inner: Arc::new(Inner {
                seal: foundation.seal.clone(),
                clock: Arc::clone(&foundation.clock),
                ids: foundation.ids.clone(),
                tasks: foundation.tasks.clone(),
                sessions: sessions.clone(),
                sandboxes: sandboxes.clone(),
                workspaces: workspaces.clone(),
                secrets: secrets.clone(),
                keys: keys.clone(),
                hosts: Hosts::default(),
                actors: Actors::default(),
                writer: Writer::new(
                    store.clone(),
                    foundation.seal.clone(),
                    Counters::new(&foundation.metrics),
                ),
                store,
            }),
        };
        for session in agents.inner.store.busy_agents().await? {
            agents.wake(session);
        }
        agents.spawn_sandbox_watch(foundation);
        Ok(agents)
    }

    /// Ends the connection of a host whose credential is worth nothing any more.
    pub(crate) fn revoke(&self, host: helix_proto::SandboxHostId, reason: &str) {
        self.inner
            .hosts
            .close(host, helix_proto::agents::REVOKED, reason);
    }

    /// The agent of a session of a user.
    ///
    /// # Errors
    /// Not found; conflict for a session without an agent.
    pub(crate) async fn agent_of(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<SessionAgent, Failure> {
        let session = self.inner.sessions.get(user, session).await?;
        session.agent.ok_or_else(|| {
            Failure::conflict("the session has no agent: send its messages to a model")
        })
    }

    /// Has somebody's wish carried out, once it is stored.
    ///
    /// # Errors
    /// Not found; conflict with the reason why it is not done.
    pub(crate) async fn act(
        &self,
        user: UserId,
        session: SessionId,
        act: Act,
    ) -> Result<(), Failure> {
        self.agent_of(user, session).await?;
        self.carry_out(session, act, None).await.map(|_| ())
    }

    /// Asks the agent something; says which turn it becomes, the same one for the same key.
    ///
    /// # Errors
    /// As [`Self::act`]; conflict also where the sandbox does not run.
    pub(crate) async fn prompt(
        &self,
        user: UserId,
        session: SessionId,
        key: Option<String>,
        act: impl FnOnce(TurnId) -> Act,
    ) -> Result<TurnId, Failure> {
        let agent = self.agent_of(user, session).await?;
        self.check_sandbox(agent.sandbox_id).await?;
        let turn = self.inner.ids.next();
        let act = act(turn);
        let before = self.carry_out(session, act, key.map(|key| (turn, key)));
        Ok(before.await?.unwrap_or(turn))
    }

    /// How a session's agent is now.
    ///
    /// # Errors
    /// Not found; conflict for a session without an agent.
    pub(crate) async fn state(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<SessionAgentState, Failure> {
        let agent = self.agent_of(user, session).await?;
        let (reply, answer) = oneshot::channel();
        let mut state = self.ask(session, Message::Look { reply }, answer).await?;
        let sandbox = self.inner.store.sandbox(agent.sandbox_id).await?;
        state.sandbox_phase = sandbox.and_then(|sandbox| sandbox.phase);
        Ok(state)
    }

    /// Deletes a session with its agent, and with the sandbox that was made for it.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn delete(
        &self,
        user: UserId,
        session: SessionId,
        agent: &SessionAgent,
    ) -> Result<(), Failure> {
        if agent.owns_sandbox {
            // First: what is left of a session can be deleted once more.
            match self.inner.sandboxes.delete(agent.sandbox_id).await {
                Err(failure) if failure.error().code != ErrorCode::NotFound => return Err(failure),
                _ => {}
            }
        }
        let (reply, answer) = oneshot::channel();
        self.ask(session, Message::Delete { user, reply }, answer)
            .await?
    }

    async fn carry_out(
        &self,
        session: SessionId,
        act: Act,
        key: Option<(TurnId, String)>,
    ) -> Result<Option<TurnId>, Failure> {
        let (reply, answer) = oneshot::channel();
        let act = Box::new(act);
        self.ask(session, Message::Act { act, key, reply }, answer)
            .await?
    }

    /// Tells a session's actor something, and waits for its answer.
    async fn ask<T>(
        &self,
        session: SessionId,
        message: Message,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, Failure> {
        let asking = async {
            self.tell(session, message).await;
            answer.await.ok()
        };
        let answered = tokio::time::timeout(ANSWER, asking).await;
        answered.ok().flatten().ok_or_else(unavailable)
    }

    /// A prompt for a sandbox that does not run, and is not about to, is better refused.
    async fn check_sandbox(&self, id: SandboxId) -> Result<(), Failure> {
        let found = self.inner.store.sandbox(id).await?;
        let why = match found.map(|sandbox| sandbox.state) {
            Some(SandboxState::Creating | SandboxState::Running | SandboxState::Paused) => {
                return Ok(());
            }
            Some(SandboxState::Stopped) => "the session's sandbox is stopped: start it",
            Some(SandboxState::Failed) => {
                "the session's sandbox failed: start it, or begin another session"
            }
            Some(SandboxState::Deleted) | None => {
                "the session's sandbox was deleted: begin another session"
            }
        };
        Err(Failure::conflict(why))
    }

    /// Tells actors of sandboxes that changed.
    fn spawn_sandbox_watch(&self, foundation: &Foundation) {
        let agents = self.clone();
        let mut changes = foundation.bus.subscribe(Topic::Sandboxes);
        let draining = foundation.tasks.draining_token().clone();
        let watching = async move {
            while let Some(received) = changes.next().await {
                match received {
                    Received::Notice(Notice::SandboxChanged { sandbox }) => {
                        agents.sandbox_changed(sandbox.id).await;
                    }
                    Received::Notice(Notice::SandboxDeleted { sandbox_id }) => {
                        agents.sandbox_changed(sandbox_id).await;
                    }
                    Received::Notice(_) => {}
                    Received::Missed => {
                        for session in agents.inner.actors.all() {
                            agents.tell(session, Message::SandboxChanged).await;
                        }
                    }
                }
            }
        };
        foundation.tasks.spawn("sandboxes of agents", async move {
            draining.run_until_cancelled(watching).await
        });
    }

    /// Sandboxes have other secrets than before: these are kept out of what agents say there.
    pub(crate) async fn secrets_changed(&self, sandboxes: &[SandboxId]) {
        for id in sandboxes {
            self.sandbox_changed(*id).await;
        }
    }

    /// One without an actor is looked at when it has one again.
    async fn sandbox_changed(&self, id: SandboxId) {
        let active = self.inner.actors.all();
        if active.is_empty() {
            return;
        }
        match self.inner.store.sessions_in(id).await {
            Ok(sessions) => {
                for session in sessions.into_iter().filter(|it| active.contains(it)) {
                    self.tell(session, Message::SandboxChanged).await;
                }
            }
            Err(error) => {
                tracing::warn!(sandbox = %id, error = &error as &dyn std::error::Error, "the agents in a sandbox cannot be read");
            }
        }
    }
}

/// The actor ended without an answer: the session was just deleted, or the control plane ends.
fn unavailable() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the session's agent cannot be reached now: try again",
    )
}

/// As REST says it.
fn refused(refusal: Refusal) -> Failure {
    Failure::conflict(refusal.to_string())
}
