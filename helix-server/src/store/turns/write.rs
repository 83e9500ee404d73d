//! The rows that a change of a turn writes, within its transaction.

use helix_proto::{
    TurnId,
    session::{SessionEventBody, Turn, TurnState},
};

use super::{Begun, End, Progress, read::all_standing};
use crate::store::{
    Error, Transaction, row,
    sessions::{Locked, write_back},
};

const fn state_text(state: TurnState) -> &'static str {
    match state {
        TurnState::Queued => "queued",
        TurnState::Running => "running",
        TurnState::Completed => "completed",
        TurnState::Cancelled => "cancelled",
        TurnState::Failed => "failed",
    }
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

/// Raises the `last_seq` of a session while one of its turns is in flight.
pub(super) async fn extend(
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

pub(super) async fn update(
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

/// A turn that is to begin, in a session that is locked.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) id: TurnId,
    pub(super) content: String,
    pub(super) model: Option<String>,
    pub(super) title: Option<String>,
    pub(super) key: Option<String>,
    pub(super) replaces: Option<TurnId>,
    pub(super) now_ms: u64,
}

/// Begins it, and writes what the log says of that.
pub(super) async fn start(
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
        session: Box::new(locked.session.clone()),
        events,
        history: history.into_iter().map(|(turn, _)| turn).collect(),
    })
}
