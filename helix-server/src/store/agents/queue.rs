//! Prompts and turns of a conversation: a row each, for ever.

use helix_agent::turn::Turn;
use helix_proto::{
    SessionId, TurnId,
    agents::{Content, QueuedPrompt},
};
use sqlx::Row as _;

use crate::store::{Error, Transaction, row};

/// Puts a prompt at a place of the queue, from wherever it was.
pub(super) async fn put(
    transaction: &mut Transaction,
    session: SessionId,
    prompt: &QueuedPrompt,
    position: usize,
) -> Result<(), Error> {
    close_up(transaction, session, prompt.turn).await?;
    let others = sqlx::query(
        "SELECT COUNT(*) AS others FROM agent_turns
         WHERE session_id = $1 AND state = 'queued' AND id <> $2",
    )
    .bind(session.to_string())
    .bind(prompt.turn.to_string())
    .fetch_one(&mut **transaction)
    .await?;
    let others: i64 = others.try_get("others")?;
    let position = i64::try_from(position).unwrap_or(i64::MAX).min(others);
    if position < others {
        sqlx::query(
            "UPDATE agent_turns SET position = position + 1
             WHERE session_id = $1 AND state = 'queued' AND id <> $2 AND position >= $3",
        )
        .bind(session.to_string())
        .bind(prompt.turn.to_string())
        .bind(position)
        .execute(&mut **transaction)
        .await?;
    }
    sqlx::query(
        "INSERT INTO agent_turns (id, session_id, state, position, prompt, search_text)
         VALUES ($1, $2, 'queued', $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET position = excluded.position, prompt = excluded.prompt,
            search_text = excluded.search_text",
    )
    .bind(prompt.turn.to_string())
    .bind(session.to_string())
    .bind(position)
    .bind(row::to_json(prompt)?)
    .bind(search_text(&prompt.content))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Takes a prompt out of the queue.
pub(super) async fn take(
    transaction: &mut Transaction,
    session: SessionId,
    turn: TurnId,
) -> Result<(), Error> {
    close_up(transaction, session, turn).await?;
    sqlx::query(
        "UPDATE agent_turns SET state = 'over', position = NULL, prompt = NULL
         WHERE id = $1 AND session_id = $2 AND state = 'queued'",
    )
    .bind(turn.to_string())
    .bind(session.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Closes the gap that a prompt of the queue leaves.
async fn close_up(
    transaction: &mut Transaction,
    session: SessionId,
    turn: TurnId,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE agent_turns SET position = position - 1
         WHERE session_id = $1 AND state = 'queued' AND position > (
            SELECT position FROM agent_turns WHERE id = $2 AND state = 'queued')",
    )
    .bind(session.to_string())
    .bind(turn.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Sets the turn in flight, or says that none is.
pub(super) async fn set_turn(
    transaction: &mut Transaction,
    session: SessionId,
    turn: Option<&Turn>,
) -> Result<(), Error> {
    match turn {
        None => {
            sqlx::query(
                "UPDATE agent_turns SET state = 'over', turn = NULL
                 WHERE session_id = $1 AND state = 'in_flight'",
            )
            .bind(session.to_string())
            .execute(&mut **transaction)
            .await?;
        }
        Some(turn) => {
            sqlx::query(
                "UPDATE agent_turns SET state = 'in_flight', turn = $1
                 WHERE id = $2 AND session_id = $3",
            )
            .bind(row::to_json(turn)?)
            .bind(turn.id().to_string())
            .bind(session.to_string())
            .execute(&mut **transaction)
            .await?;
        }
    }
    Ok(())
}

/// What a prompt is found by.
fn search_text(content: &[Content]) -> String {
    let texts = content.iter().filter_map(|piece| match piece {
        Content::Text { text } => Some(text.to_lowercase()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
