//! Turns: one question and its answer each.

use helix_proto::{
    SessionId, TurnId, UserId,
    session::{Session, SessionEvent, SessionEventBody, SessionMessages, Turn, TurnState, Usage},
};

use super::{Error, Store, log, row, sessions::lock};

mod read;
mod write;

use read::{all_standing, answer_so_far, standing, turn};
use write::{Start, extend, start, update};

/// What is to become a turn.
#[derive(Debug)]
pub(crate) struct NewTurn {
    pub(crate) id: TurnId,
    /// The question; that of the turn in `replaces`, if absent.
    pub(crate) content: Option<String>,
    /// The model that answers from now on; the session's, if absent.
    pub(crate) model: Option<String>,
    /// A title, should the session have none yet.
    pub(crate) title: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    /// The first turn that gives way, with all after it.
    pub(crate) replaces: Option<TurnId>,
}

/// What became of a turn that was to begin.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It began.
    New {
        turn: Turn,
        session: Session,
        events: Vec<SessionEvent>,
        /// The turns before it that stand.
        history: Vec<Turn>,
    },
    /// A request with the same idempotency key began this one before.
    Before(Turn),
    /// Another one is in flight.
    Busy,
    /// An agent answers in the session.
    HasAgent,
    /// There is no such session, or no such turn in it.
    Missing,
}

/// What is known of a turn that changes.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) session_id: SessionId,
    pub(crate) turn_id: TurnId,
    pub(crate) state: TurnState,
    pub(crate) waiting_for: Option<String>,
    /// With the end: answer, reason and tokens.
    pub(crate) end: Option<End>,
}

/// How a turn ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) answer: String,
    pub(crate) error: Option<String>,
    pub(crate) usage: Option<Usage>,
}

impl Store {
    /// Begins a turn: at most one of a session is in flight.
    pub(crate) async fn begin_turn(
        &self,
        user: UserId,
        session: SessionId,
        new: NewTurn,
        now_ms: u64,
    ) -> Result<Begun, Error> {
        let mut transaction = self.begin().await?;
        let Some(mut locked) = lock(&mut transaction, user, session, now_ms).await? else {
            return Ok(Begun::Missing);
        };
        if locked.session.agent.is_some() {
            return Ok(Begun::HasAgent);
        }
        if let Some(key) = &new.idempotency_key {
            let before =
                sqlx::query("SELECT * FROM turns WHERE session_id = $1 AND idempotency_key = $2")
                    .bind(session.to_string())
                    .bind(key)
                    .fetch_optional(&mut *transaction)
                    .await?;
            if let Some(before) = before {
                return Ok(Begun::Before(turn(&before)?));
            }
        }
        if locked.session.active_turn.is_some() {
            return Ok(Begun::Busy);
        }
        let replaced = match new.replaces {
            None => None,
            Some(id) => match standing(&mut transaction, session, id).await? {
                Some(found) => Some(found),
                None => return Ok(Begun::Missing),
            },
        };
        if let Some((_, position)) = &replaced {
            sqlx::query("UPDATE turns SET replaced = 1 WHERE session_id = $1 AND position >= $2")
                .bind(session.to_string())
                .bind(row::to_i64(*position))
                .execute(&mut *transaction)
                .await?;
        }
        let content = new
            .content
            .or_else(|| replaced.map(|(turn, _)| turn.user_content));
        let begun = start(
            &mut transaction,
            &mut locked,
            Start {
                id: new.id,
                content: content.unwrap_or_default(),
                model: new.model,
                title: new.title,
                key: new.idempotency_key,
                replaces: new.replaces,
                now_ms,
            },
        )
        .await;
        match begun {
            Ok(begun) => {
                transaction.commit().await?;
                Ok(begun)
            }
            // The index says what a look could have missed.
            Err(Error::Duplicate(_)) => Ok(Begun::Busy),
            Err(error) => Err(error),
        }
    }

    /// Appends what happened to a turn in flight. `None`: it is in flight no
    /// longer, or its session is gone; nothing was appended.
    ///
    /// `since` is the last event that the caller knows to be in the log: what
    /// the turn has after it came from a call whose answer was lost, and is not
    /// appended again.
    pub(crate) async fn advance_turn(
        &self,
        progress: &Progress,
        bodies: Vec<SessionEventBody>,
        since: Option<u64>,
        now_ms: u64,
    ) -> Result<Option<Vec<SessionEvent>>, Error> {
        let mut transaction = self.begin().await?;
        if let Some(since) = since {
            let events =
                log::read(&mut *transaction, progress.session_id, since, read::PAGE).await?;
            let own: Vec<_> = events
                .into_iter()
                .filter(|event| log::turn_of(&event.body) == Some(progress.turn_id))
                .collect();
            if !own.is_empty() {
                return Ok(Some(own));
            }
        }
        let Some(last_seq) = extend(&mut transaction, progress, bodies.len()).await? else {
            return Ok(None);
        };
        let only_deltas = bodies
            .iter()
            .all(|body| matches!(body, SessionEventBody::TurnDelta { .. }));
        let events = log::append(
            &mut transaction,
            progress.session_id,
            last_seq,
            now_ms,
            bodies,
        )
        .await?;
        if !only_deltas {
            update(&mut transaction, progress, now_ms).await?;
        }
        transaction.commit().await?;
        Ok(Some(events))
    }

    /// A turn of a user's session.
    pub(crate) async fn turn(
        &self,
        user: UserId,
        session: SessionId,
        id: TurnId,
    ) -> Result<Option<Turn>, Error> {
        let found = sqlx::query(
            "SELECT t.* FROM turns t JOIN sessions s ON s.id = t.session_id
             WHERE t.id = $1 AND s.id = $2 AND s.user_id = $3",
        )
        .bind(id.to_string())
        .bind(session.to_string())
        .bind(user.to_string())
        .fetch_optional(self.pool())
        .await?;
        found.as_ref().map(turn).transpose()
    }

    /// The turns of a session that stand, as of one moment.
    pub(crate) async fn messages(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<SessionMessages>, Error> {
        let mut transaction = self.snapshot().await?;
        let found = sqlx::query("SELECT last_seq FROM sessions WHERE id = $1 AND user_id = $2")
            .bind(session.to_string())
            .bind(user.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let seq = row::number(&found, "last_seq")?;
        let mut turns = Vec::new();
        for (mut turn, started_seq) in all_standing(&mut transaction, session).await? {
            if !turn.state.is_terminal() {
                turn.assistant_content =
                    answer_so_far(&mut transaction, &turn, started_seq).await?;
            }
            turns.push(turn);
        }
        Ok(Some(SessionMessages { seq, turns }))
    }

    /// All turns that are in flight.
    pub(crate) async fn turns_in_flight(&self) -> Result<Vec<Turn>, Error> {
        let found = sqlx::query("SELECT * FROM turns WHERE state IN ('queued', 'running')")
            .fetch_all(self.pool())
            .await?;
        found.iter().map(turn).collect()
    }

    /// Ends a turn that nobody drives any more. What the log has of its answer
    /// stays. `None`: it was not in flight.
    pub(crate) async fn end_abandoned(
        &self,
        session_id: SessionId,
        turn_id: TurnId,
        state: TurnState,
        error: Option<String>,
        now_ms: u64,
    ) -> Result<Option<Vec<SessionEvent>>, Error> {
        let mut transaction = self.begin().await?;
        let found = sqlx::query("SELECT * FROM turns WHERE id = $1 AND session_id = $2")
            .bind(turn_id.to_string())
            .bind(session_id.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let (turn, started_seq) = (turn(&found)?, row::number(&found, "started_seq")?);
        let answer = answer_so_far(&mut transaction, &turn, started_seq).await?;
        let end = End {
            answer,
            error: error.clone(),
            usage: None,
        };
        let progress = Progress {
            session_id,
            turn_id,
            state,
            waiting_for: None,
            end: Some(end),
        };
        let Some(last_seq) = extend(&mut transaction, &progress, 1).await? else {
            return Ok(None);
        };
        let body = SessionEventBody::TurnEnded {
            turn_id,
            state,
            error,
            usage: None,
        };
        let events =
            log::append(&mut transaction, session_id, last_seq, now_ms, vec![body]).await?;
        update(&mut transaction, &progress, now_ms).await?;
        transaction.commit().await?;
        Ok(Some(events))
    }
}
