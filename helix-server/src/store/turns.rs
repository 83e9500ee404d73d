//! Turns: one question and its answer each.

use helix_proto::{
    SessionId, TurnId, UserId,
    session::{Session, SessionEvent, SessionEventBody, SessionMessages, Turn, TurnState, Usage},
};
use sqlx::any::AnyRow;

use super::{
    Error, Store, Transaction, log, row,
    sessions::{Locked, lock, write_back},
};

/// Events read at once when an answer in progress is put together.
const PAGE: u32 = 1_000;

fn turn(row: &AnyRow) -> Result<Turn, Error> {
    let prompt = row::number_or_none(row, "prompt_tokens")?;
    let completion = row::number_or_none(row, "completion_tokens")?;
    Ok(Turn {
        id: row::parsed(row, "id")?,
        session_id: row::parsed(row, "session_id")?,
        state: row::variant(row, "state")?,
        user_content: row::text(row, "user_content")?,
        assistant_content: row::text(row, "assistant_content")?,
        model: row::text(row, "model")?,
        error: row::text_or_none(row, "error")?,
        waiting_for: row::text_or_none(row, "waiting_for")?,
        usage: prompt
            .zip(completion)
            .map(|(prompt_tokens, completion_tokens)| Usage {
                prompt_tokens,
                completion_tokens,
            }),
        created_at_ms: row::number(row, "created_at_ms")?,
        ended_at_ms: row::number_or_none(row, "ended_at_ms")?,
    })
}

const fn state_text(state: TurnState) -> &'static str {
    match state {
        TurnState::Queued => "queued",
        TurnState::Running => "running",
        TurnState::Completed => "completed",
        TurnState::Cancelled => "cancelled",
        TurnState::Failed => "failed",
    }
}

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

/// A turn that stands and where it stands.
async fn standing(
    transaction: &mut Transaction,
    session: SessionId,
    id: TurnId,
) -> Result<Option<(Turn, u64)>, Error> {
    let found =
        sqlx::query("SELECT * FROM turns WHERE id = $1 AND session_id = $2 AND replaced = 0")
            .bind(id.to_string())
            .bind(session.to_string())
            .fetch_optional(&mut **transaction)
            .await?;
    found
        .as_ref()
        .map(|row| Ok((turn(row)?, row::number(row, "position")?)))
        .transpose()
}

async fn all_standing(
    transaction: &mut Transaction,
    session: SessionId,
) -> Result<Vec<(Turn, u64)>, Error> {
    let found =
        sqlx::query("SELECT * FROM turns WHERE session_id = $1 AND replaced = 0 ORDER BY position")
            .bind(session.to_string())
            .fetch_all(&mut **transaction)
            .await?;
    found
        .iter()
        .map(|row| Ok((turn(row)?, row::number(row, "started_seq")?)))
        .collect()
}

async fn insert(
    transaction: &mut Transaction,
    turn: &Turn,
    key: Option<&str>,
    started_seq: u64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO turns (id, session_id, position, state, replaced, user_content,
            assistant_content, search_text, model, idempotency_key, started_seq, created_at_ms)
         SELECT $1, $2, COALESCE(MAX(position), 0) + 1, 'queued', 0, $3, '', $4, $5, $6, $7, $8
         FROM turns WHERE session_id = $2",
    )
    .bind(turn.id.to_string())
    .bind(turn.session_id.to_string())
    .bind(&turn.user_content)
    .bind(turn.user_content.to_lowercase())
    .bind(&turn.model)
    .bind(key)
    .bind(row::to_i64(started_seq))
    .bind(row::to_i64(turn.created_at_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The part of an answer that the log has, of a turn that began at `started_seq`.
async fn answer_so_far(
    transaction: &mut Transaction,
    turn: &Turn,
    started_seq: u64,
) -> Result<String, Error> {
    let mut answer = String::new();
    let mut after = started_seq;
    loop {
        let events = log::read(&mut **transaction, turn.session_id, after, PAGE).await?;
        let Some(last) = events.last() else {
            return Ok(answer);
        };
        after = last.seq;
        for event in &events {
            if let SessionEventBody::TurnDelta { turn_id, text } = &event.body
                && *turn_id == turn.id
            {
                answer.push_str(text);
            }
        }
    }
}

/// Raises the `last_seq` of a session while one of its turns is in flight.
async fn extend(
    transaction: &mut Transaction,
    progress: &Progress,
    by: usize,
) -> Result<Option<u64>, Error> {
    let found = sqlx::query(
        "UPDATE sessions SET last_seq = last_seq + $1 WHERE id = $2 AND EXISTS (
            SELECT 1 FROM turns WHERE id = $3 AND state IN ('queued', 'running'))
         RETURNING last_seq",
    )
    .bind(row::to_i64(by as u64))
    .bind(progress.session_id.to_string())
    .bind(progress.turn_id.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    let last = found
        .as_ref()
        .map(|row| row::number(row, "last_seq"))
        .transpose()?;
    Ok(last.map(|last| last - by as u64))
}

async fn update(
    transaction: &mut Transaction,
    progress: &Progress,
    now_ms: u64,
) -> Result<(), Error> {
    let Some(End {
        answer,
        error,
        usage,
    }) = &progress.end
    else {
        sqlx::query("UPDATE turns SET state = $1, waiting_for = $2 WHERE id = $3")
            .bind(state_text(progress.state))
            .bind(progress.waiting_for.as_deref())
            .bind(progress.turn_id.to_string())
            .execute(&mut **transaction)
            .await?;
        return Ok(());
    };
    sqlx::query(
        "UPDATE turns SET state = $1, waiting_for = NULL, assistant_content = $2, error = $3,
            prompt_tokens = $4, completion_tokens = $5, ended_at_ms = $6,
            search_text = search_text || $7 WHERE id = $8",
    )
    .bind(state_text(progress.state))
    .bind(answer)
    .bind(error.as_deref())
    .bind(usage.map(|usage| row::to_i64(usage.prompt_tokens)))
    .bind(usage.map(|usage| row::to_i64(usage.completion_tokens)))
    .bind(row::to_i64(now_ms))
    .bind(format!("\n{}", answer.to_lowercase()))
    .bind(progress.turn_id.to_string())
    .execute(&mut **transaction)
    .await?;
    sqlx::query("UPDATE sessions SET updated_at_ms = $1 WHERE id = $2")
        .bind(row::to_i64(now_ms))
        .bind(progress.session_id.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
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
            let events = log::read(&mut *transaction, progress.session_id, since, PAGE).await?;
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

struct Start {
    id: TurnId,
    content: String,
    model: Option<String>,
    title: Option<String>,
    key: Option<String>,
    replaces: Option<TurnId>,
    now_ms: u64,
}

async fn start(
    transaction: &mut Transaction,
    locked: &mut Locked,
    start: Start,
) -> Result<Begun, Error> {
    let mut bodies = Vec::new();
    let session = &mut locked.session;
    let title = start.title.filter(|_| !locked.titled);
    if title.is_some()
        || start
            .model
            .as_ref()
            .is_some_and(|model| *model != session.model)
    {
        locked.titled |= title.is_some();
        session.title = title.unwrap_or_else(|| session.title.clone());
        session.model = start.model.unwrap_or_else(|| session.model.clone());
        bodies.push(SessionEventBody::SessionUpdated {
            title: session.title.clone(),
            model: session.model.clone(),
        });
    }
    let turn = Turn {
        id: start.id,
        session_id: session.id,
        state: TurnState::Queued,
        user_content: start.content,
        assistant_content: String::new(),
        model: session.model.clone(),
        error: None,
        waiting_for: None,
        usage: None,
        created_at_ms: start.now_ms,
        ended_at_ms: None,
    };
    let history = all_standing(transaction, session.id).await?;
    bodies.push(SessionEventBody::TurnStarted {
        turn_id: turn.id,
        user_content: turn.user_content.clone(),
        model: turn.model.clone(),
        replaces: start.replaces,
    });
    let started_seq = session.last_seq + bodies.len() as u64;
    insert(transaction, &turn, start.key.as_deref(), started_seq).await?;
    let events = write_back(transaction, locked, bodies, start.now_ms).await?;
    locked.session.active_turn = Some(turn.id);
    Ok(Begun::New {
        turn,
        session: locked.session.clone(),
        events,
        history: history.into_iter().map(|(turn, _)| turn).collect(),
    })
}
