//! Drives one turn: the model's answer into the machine, what comes out of the
//! machine into the log, and from there to readers.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _};
use helix_base::{Backoff, BackoffPolicy, Clock, TaskGroup};
use helix_proto::session::{SessionEvent, SessionEventBody, Turn, TurnState};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    model::{Answer, ChatModel, NoAnswer, Question},
    reply::Reply,
    turn::{Happening, Machine},
};
use crate::{
    options::SessionOptions,
    sessions::notices::Notices,
    store::{
        self, Store,
        turns::{End, Progress},
    },
};

/// How soon and how often an end that could not be stored is tried again.
const STORE_AGAIN: BackoffPolicy = BackoffPolicy {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(15),
};

/// What a driver needs of its surroundings.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: TaskGroup,
    pub(super) notices: Notices,
    pub(super) model: Arc<dyn ChatModel>,
    pub(super) options: SessionOptions,
    /// How much of the budget of a shutdown turns may use to finish.
    pub(super) finish_within: Duration,
}

/// Drives one turn that was just begun.
#[derive(Debug)]
pub(super) struct Driver {
    surroundings: Surroundings,
    turn: Turn,
    machine: Machine,
    /// Not in the log yet.
    outbox: Vec<SessionEventBody>,
    /// The last event of this turn that is known to be in the log.
    stored_seq: u64,
    /// A call failed, and may have been carried out all the same.
    in_doubt: bool,
    /// The turn ended elsewhere, or its session is gone.
    superseded: bool,
}

/// Where the model's answer is.
enum Source {
    Asking(futures_util::future::BoxFuture<'static, Result<Answer, NoAnswer>>),
    Answering(Answer, Reply),
    Over,
}

impl Driver {
    pub(super) fn new(surroundings: Surroundings, turn: Turn, started_seq: u64) -> Self {
        let machine = Machine::new(turn.id, &surroundings.options, Instant::now());
        Self {
            surroundings,
            turn,
            machine,
            outbox: Vec::new(),
            stored_seq: started_seq,
            in_doubt: false,
            superseded: false,
        }
    }

    /// Runs until the end of the turn is in the log. A cancel is the user's.
    pub(super) async fn run(
        mut self,
        question: Question,
        mut waiting: watch::Receiver<String>,
        cancel: CancellationToken,
    ) {
        let model = Arc::clone(&self.surroundings.model);
        let asking = async move { model.ask(question).await }.boxed();
        let mut source = Source::Asking(asking);
        let draining = self.surroundings.tasks.draining_token().clone();
        let mut told_to_drain = false;
        while !self.machine.state().is_terminal() && !self.superseded {
            let happenings = tokio::select! {
                biased;
                () = cancel.cancelled() => vec![Happening::Cancelled],
                () = draining.cancelled(), if !told_to_drain => {
                    told_to_drain = true;
                    let at = Instant::now() + self.surroundings.finish_within;
                    self.machine.give_up_at(at, "the control plane was stopped before the answer was complete");
                    Vec::new()
                }
                () = tokio::time::sleep_until(self.machine.next_tick()) => Vec::new(),
                Ok(()) = waiting.changed() => vec![Happening::Waiting(waiting.borrow_and_update().clone())],
                happenings = source.next() => happenings,
            };
            self.advance(happenings).await;
        }
        // Frees the model before anything else.
        drop(source);
        self.store_end().await;
    }

    async fn advance(&mut self, happenings: Vec<Happening>) {
        let now = Instant::now();
        for happening in happenings {
            self.outbox.extend(self.machine.on(happening, now));
        }
        self.outbox.extend(self.machine.tick(now));
        if self.outbox.is_empty() || self.machine.state().is_terminal() {
            return;
        }
        if let Err(error) = self.store().await {
            tracing::error!(error = &error as &dyn std::error::Error, turn = %self.turn.id, "an answer cannot be stored");
            let reason = format!("the answer could not be stored: {error}");
            self.outbox
                .extend(self.machine.on(Happening::Failed(reason), now));
        }
    }

    /// Stores and publishes what is in the outbox. On an error it stays there.
    async fn store(&mut self) -> Result<(), store::Error> {
        let Surroundings {
            store,
            clock,
            notices,
            ..
        } = &self.surroundings;
        let since = self.in_doubt.then_some(self.stored_seq);
        let stored = store
            .advance_turn(&self.progress(), self.outbox.clone(), since, clock.now_ms())
            .await;
        match stored {
            Ok(Some(events)) => {
                self.in_doubt = false;
                // Should what was in doubt be there, only that left the outbox.
                self.outbox.drain(..events.len().min(self.outbox.len()));
                self.stored_seq = events.last().map_or(self.stored_seq, |event| event.seq);
                self.publish(notices, events);
                Ok(())
            }
            Ok(None) => {
                self.superseded = true;
                self.outbox.clear();
                Ok(())
            }
            Err(error) => {
                self.in_doubt = true;
                Err(error)
            }
        }
    }

    fn publish(&self, notices: &Notices, events: Vec<SessionEvent>) {
        notices.appended(self.turn.session_id, events);
    }

    /// Stores the end, however long the database takes to come back: it is the
    /// only thing that lets the session go on. Ends with the process at last;
    /// the next one ends what is left.
    async fn store_end(&mut self) {
        let mut backoff = Backoff::new(STORE_AGAIN);
        while !self.outbox.is_empty() && !self.superseded {
            if let Err(error) = self.store().await {
                let delay = backoff.next_delay(&mut rand::rng());
                tracing::error!(error = &error as &dyn std::error::Error, turn = %self.turn.id, ?delay, "the end of a turn cannot be stored: trying again");
                tokio::time::sleep(delay).await;
            }
        }
    }

    fn progress(&self) -> Progress {
        let state = self.machine.state();
        let end = state.is_terminal().then(|| End {
            answer: self.machine.answer().to_owned(),
            error: self.machine.error().map(ToOwned::to_owned),
            usage: self.machine.usage(),
        });
        Progress {
            session_id: self.turn.session_id,
            turn_id: self.turn.id,
            state,
            waiting_for: self.machine.waiting_for().map(ToOwned::to_owned),
            end,
        }
    }
}

impl Source {
    /// What happens next. Cancel safe.
    async fn next(&mut self) -> Vec<Happening> {
        match self {
            Self::Asking(asking) => match asking.await {
                Ok(answer) => {
                    *self = Self::Answering(answer, Reply::default());
                    vec![Happening::Opened]
                }
                Err(NoAnswer(reason)) => {
                    *self = Self::Over;
                    vec![Happening::Failed(reason)]
                }
            },
            Self::Answering(answer, reply) => match answer.next().await {
                Some(Ok(bytes)) => reply.push(&bytes),
                Some(Err(NoAnswer(reason))) => vec![Happening::Failed(reason)],
                None => {
                    let reply = std::mem::take(reply);
                    *self = Self::Over;
                    reply.end()
                }
            },
            Self::Over => std::future::pending().await,
        }
    }
}

/// How a turn ends whose driver came to grief.
pub(super) const BROKEN: (TurnState, &str) = (
    TurnState::Failed,
    "a fault of the control plane ended the answer: its log has the reason",
);
