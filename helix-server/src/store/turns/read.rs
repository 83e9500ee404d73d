//! Turns as the database has them.

use helix_proto::{
    SessionId, TurnId,
    session::{SessionEventBody, Turn, Usage},
};
use sqlx::any::AnyRow;

use crate::store::{Error, Transaction, log, row};

/// Events read at once.
pub(super) const PAGE: u32 = 1_000;

pub(super) fn turn(row: &AnyRow) -> Result<Turn, Error> {
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

/// A turn that stands and where it stands.
pub(super) async fn standing(
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

pub(super) async fn all_standing(
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

/// The part of an answer that the log has, of a turn that began at `started_seq`.
pub(super) async fn answer_so_far(
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
