//! Conversations: the log and the turn machine.
//!
//! A session is an append-only log of events with sequence numbers. A turn is
//! one question and its answer; a driver task takes it from its first event
//! to its last. Readers follow the log and never the driver.
//!
//! **Invariants.** At most one turn of a session is in flight, held by a unique
//! index. One transaction per change, with the events that tell it. A turn that
//! is in flight has a driver in this process, or is ended when the next starts:
//! a crash loses at most what was not stored yet, and doubles nothing. A client
//! that leaves ends nothing; a cancel does.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use helix_base::{Clock, Ids};
use helix_proto::{
    SessionId, TurnId, UserId,
    session::{Session, SessionMessages, Turn, TurnState},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Foundation,
    api::Failure,
    events::Bus,
    store::{
        self, Store,
        agents::NewAgent,
        sessions::{ListCursor, Listed},
        turns::{Begun, NewTurn},
    },
};

mod driver;
mod follow;
mod inference;
pub mod model;
mod notices;
mod prompt;
mod reply;
mod turn;

pub use follow::Follower;
pub use model::ChatModel;

pub(crate) use inference::Direct;

use driver::{Driver, Surroundings};
use model::Question;
use notices::Notices;
pub(crate) use prompt::title as title_of;

/// How long a cancel waits for the turn's end.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);

/// All conversations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    surroundings: Surroundings,
    ids: Ids,
    /// The turns that are driven here, and how to cancel each.
    driven: Mutex<HashMap<TurnId, Driven>>,
}

/// A turn that is driven here.
#[derive(Debug, Clone)]
struct Driven {
    session: SessionId,
    cancel: CancellationToken,
    over: CancellationToken,
}

/// A question that is to begin a turn, checked already.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) content: String,
    pub(crate) model: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

impl Sessions {
    /// Ends the turns that a process before this one left in flight.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn start(
        foundation: &Foundation,
        model: Arc<dyn ChatModel>,
    ) -> Result<Self, store::Error> {
        let surroundings = Surroundings {
            store: foundation.store.clone(),
            clock: Arc::clone(&foundation.clock),
            tasks: foundation.tasks.clone(),
            notices: Notices {
                bus: Arc::clone(&foundation.bus),
            },
            model,
            options: foundation.options.sessions.clone(),
            finish_within: foundation.options.shutdown_budget / 2,
        };
        let inner = Inner {
            surroundings,
            ids: foundation.ids.clone(),
            driven: Mutex::default(),
        };
        let sessions = Self {
            inner: Arc::new(inner),
        };
        for turn in sessions.store().turns_in_flight().await? {
            let reason = "the control plane was restarted in the middle of the answer";
            tracing::info!(turn = %turn.id, session = %turn.session_id, "ending a turn that was left in flight");
            sessions
                .end_abandoned(turn.session_id, turn.id, TurnState::Failed, reason)
                .await?;
        }
        Ok(sessions)
    }

    fn store(&self) -> &Store {
        &self.inner.surroundings.store
    }

    fn bus(&self) -> &dyn Bus {
        &*self.inner.surroundings.notices.bus
    }

    /// Tells readers what changed.
    pub(crate) fn notices(&self) -> &Notices {
        &self.inner.surroundings.notices
    }

    fn now_ms(&self) -> u64 {
        Clock::now_ms(&*self.inner.surroundings.clock)
    }

    fn driven(&self) -> MutexGuard<'_, HashMap<TurnId, Driven>> {
        self.inner
            .driven
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn end_abandoned(
        &self,
        session: SessionId,
        turn: TurnId,
        state: TurnState,
        reason: &str,
    ) -> Result<(), store::Error> {
        let reason = (state == TurnState::Failed).then(|| reason.to_owned());
        let events = self
            .store()
            .end_abandoned(session, turn, state, reason, self.now_ms())
            .await?;
        self.notices().appended(session, events.unwrap_or_default());
        Ok(())
    }

    /// Makes a session, with its agent if it has one.
    pub(crate) async fn create(
        &self,
        user: UserId,
        title: Option<String>,
        model: String,
        agent: Option<NewAgent>,
    ) -> Result<Session, store::Error> {
        let now_ms = self.now_ms();
        let titled = title.is_some();
        let session = Session {
            id: self.inner.ids.next(),
            title: title.unwrap_or_else(|| "New chat".to_owned()),
            model,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            last_seq: 0,
            active_turn: None,
            agent: agent.as_ref().map(|new| new.agent.clone()),
            shared: None,
        };
        self.store()
            .add_session(user, &session, titled, agent.as_ref())
            .await?;
        self.notices().changed(user, session.clone());
        Ok(session)
    }

    /// A page of a list of sessions, last changed first.
    pub(crate) async fn list(
        &self,
        whose: Listed,
        search: &str,
        after: Option<ListCursor>,
        most: u32,
    ) -> Result<Vec<Session>, store::Error> {
        self.store().sessions(whose, search, after, most).await
    }

    /// A session of a user.
    pub(crate) async fn get(&self, user: UserId, id: SessionId) -> Result<Session, Failure> {
        self.store()
            .session(user, id)
            .await?
            .ok_or_else(|| Failure::not_found("session"))
    }

    /// Changes title or model of a session.
    pub(crate) async fn update(
        &self,
        user: UserId,
        id: SessionId,
        title: Option<String>,
        model: Option<String>,
    ) -> Result<Session, Failure> {
        let changed = self
            .store()
            .update_session(user, id, title, model, self.now_ms())
            .await?;
        let (session, events) = changed.ok_or_else(|| Failure::not_found("session"))?;
        self.notices().appended(id, events);
        self.notices().changed(user, session.clone());
        Ok(session)
    }

    /// Deletes a session, and stops its turn.
    pub(crate) async fn delete(&self, user: UserId, id: SessionId) -> Result<(), Failure> {
        if !self.store().remove_session(user, id).await? {
            return Err(Failure::not_found("session"));
        }
        for driven in self.driven().values().filter(|driven| driven.session == id) {
            driven.cancel.cancel();
        }
        self.notices().deleted(user, id);
        Ok(())
    }

    /// The turns that stand.
    pub(crate) async fn messages(
        &self,
        user: UserId,
        id: SessionId,
    ) -> Result<SessionMessages, Failure> {
        self.refuse_agent(user, id).await?;
        self.store()
            .messages(user, id)
            .await?
            .ok_or_else(|| Failure::not_found("session"))
    }

    /// That a model answers in a session, not an agent.
    async fn refuse_agent(&self, user: UserId, id: SessionId) -> Result<(), Failure> {
        match self.get(user, id).await?.agent {
            None => Ok(()),
            Some(_) => Err(has_agent()),
        }
    }

    /// Follows a session's log from after an event. Who asks is for the caller to check, once
    /// it follows: what ends their right is heard then.
    pub(crate) fn follow(&self, id: SessionId, after: u64) -> Follower {
        Follower::new(self.clone(), id, after)
    }

    /// Reads a session's log from after an event, for somebody whose right to it is known.
    pub(crate) fn read_log(&self, id: SessionId, after: u64) -> Follower {
        Follower::new(self.clone(), id, after)
    }

    /// Asks something.
    pub(crate) async fn ask(&self, user: UserId, id: SessionId, ask: Ask) -> Result<Turn, Failure> {
        let new = NewTurn {
            id: self.inner.ids.next(),
            title: Some(prompt::title(&ask.content)).filter(|title| !title.is_empty()),
            content: Some(ask.content),
            model: ask.model,
            idempotency_key: ask.idempotency_key,
            replaces: None,
        };
        self.begin(user, id, new).await
    }

    /// Asks again: `turn` and all after it give way to a new turn, with the
    /// same question or with another.
    pub(crate) async fn ask_again(
        &self,
        user: UserId,
        id: SessionId,
        turn: TurnId,
        content: Option<String>,
    ) -> Result<Turn, Failure> {
        let new = NewTurn {
            id: self.inner.ids.next(),
            title: None,
            content,
            model: None,
            idempotency_key: None,
            replaces: Some(turn),
        };
        self.begin(user, id, new).await
    }

    /// Begins a turn in a task of its own: a caller that leaves between the
    /// commit and the start of the driver would leave a turn that nobody drives.
    async fn begin(&self, user: UserId, id: SessionId, new: NewTurn) -> Result<Turn, Failure> {
        let tasks = &self.inner.surroundings.tasks;
        let shutting_down = || {
            Failure::new(
                helix_proto::ErrorCode::Unavailable,
                "the control plane is shutting down",
            )
            .retry_after(Duration::from_secs(5))
        };
        if tasks.is_draining() {
            return Err(shutting_down());
        }
        let sessions = self.clone();
        let begun = tasks.spawn("begin a turn", async move {
            sessions.begin_and_drive(user, id, new).await
        });
        match begun.await {
            Ok(Some(begun)) => begun,
            Ok(None) => Err(shutting_down()),
            Err(error) => Err(Failure::internal("beginning a turn", &error)),
        }
    }

    async fn begin_and_drive(
        &self,
        user: UserId,
        id: SessionId,
        new: NewTurn,
    ) -> Result<Turn, Failure> {
        let what = if new.replaces.is_some() {
            "turn"
        } else {
            "session"
        };
        match self
            .store()
            .begin_turn(user, id, new, self.now_ms())
            .await?
        {
            Begun::Missing => Err(Failure::not_found(what)),
            Begun::HasAgent => Err(has_agent()),
            Begun::Busy => Err(Failure::conflict(
                "a turn of this session is in flight: wait for its end, or cancel it",
            )),
            Begun::Before(turn) => Ok(turn),
            Begun::New {
                turn,
                session,
                events,
                history,
            } => {
                self.notices().appended(id, events);
                let started_seq = session.last_seq;
                self.notices().changed(user, *session);
                self.drive(user, &turn, started_seq, &history);
                Ok(turn)
            }
        }
    }

    /// Starts the task that drives a turn.
    fn drive(&self, user_id: UserId, turn: &Turn, started_seq: u64, history: &[Turn]) {
        let (waiting, reasons) = watch::channel(String::new());
        let question = Question {
            request_id: self.inner.ids.next(),
            user_id,
            body: prompt::request(history, turn),
            waiting: Arc::new(waiting),
        };
        let cancel = CancellationToken::new();
        let over = CancellationToken::new();
        let driven = Driven {
            session: turn.session_id,
            cancel: cancel.clone(),
            over: over.clone(),
        };
        self.driven().insert(turn.id, driven);
        let registered = Registered {
            sessions: self.clone(),
            turn: turn.id,
            over,
        };
        let driver = Driver::new(self.inner.surroundings.clone(), turn.clone(), started_seq);
        let (session_id, turn_id) = (turn.session_id, turn.id);
        let sessions = self.clone();
        let span = tracing::info_span!("turn", session = %session_id, turn = %turn_id);
        let driving = tracing::Instrument::instrument(
            async move {
                let _registered = registered;
                let run = AssertUnwindSafe(driver.run(question, reasons, cancel)).catch_unwind();
                if run.await.is_err() {
                    let (state, reason) = driver::BROKEN;
                    tracing::error!("the driver of a turn panicked");
                    if let Err(error) = sessions
                        .end_abandoned(session_id, turn_id, state, reason)
                        .await
                    {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "its turn cannot be ended"
                        );
                    }
                }
                sessions.tell_end(user_id, session_id).await;
            },
            span,
        );
        self.inner.surroundings.tasks.spawn("turn", driving);
    }

    /// Lists show whether a turn is in flight.
    async fn tell_end(&self, user: UserId, id: SessionId) {
        match self.store().session(user, id).await {
            Ok(Some(session)) => self.notices().changed(user, session),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a session cannot be read"
                );
            }
        }
    }

    /// Stops a turn; idempotent. Answers the turn as it then is.
    pub(crate) async fn cancel(
        &self,
        user: UserId,
        session: SessionId,
        id: TurnId,
    ) -> Result<Turn, Failure> {
        let missing = || Failure::not_found("turn");
        self.refuse_agent(user, session).await?;
        let turn = self
            .store()
            .turn(user, session, id)
            .await?
            .ok_or_else(missing)?;
        if turn.state.is_terminal() {
            return Ok(turn);
        }
        let driven = self.driven().get(&id).cloned();
        match driven {
            Some(driven) => {
                driven.cancel.cancel();
                if tokio::time::timeout(CANCEL_WITHIN, driven.over.cancelled())
                    .await
                    .is_err()
                {
                    tracing::warn!(turn = %id, "a cancelled turn takes long to end");
                }
            }
            None => {
                self.end_abandoned(session, id, TurnState::Cancelled, "")
                    .await?
            }
        }
        self.store()
            .turn(user, session, id)
            .await?
            .ok_or_else(missing)
    }
}

/// What a chat's routes say of a session with an agent.
fn has_agent() -> Failure {
    Failure::conflict("the session has an agent: send prompts to it, and follow its events")
}

/// Forgets a turn when its driver ends, however it ends.
struct Registered {
    sessions: Sessions,
    turn: TurnId,
    over: CancellationToken,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.driven().remove(&self.turn);
        self.over.cancel();
    }
}
