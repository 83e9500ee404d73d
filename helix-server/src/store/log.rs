//! The append-only log of each session.

use std::fmt::Write as _;

use helix_proto::{
    SessionId, TurnId,
    session::{SessionEvent, SessionEventBody},
};
use sqlx::any::AnyRow;

use super::{Error, Store, Transaction, row};

fn event(row: &AnyRow) -> Result<SessionEvent, Error> {
    Ok(SessionEvent {
        seq: row::number(row, "seq")?,
        at_ms: row::number(row, "at_ms")?,
        body: row::json(row, "body")?,
    })
}

/// The turn that an event is about.
pub(crate) const fn turn_of(body: &SessionEventBody) -> Option<TurnId> {
    match body {
        SessionEventBody::TurnStarted { turn_id, .. }
        | SessionEventBody::TurnWaiting { turn_id, .. }
        | SessionEventBody::TurnRunning { turn_id }
        | SessionEventBody::TurnDelta { turn_id, .. }
        | SessionEventBody::TurnEnded { turn_id, .. } => Some(*turn_id),
        SessionEventBody::SessionUpdated { .. } | SessionEventBody::Agent { .. } => None,
    }
}

/// Rows of one statement at most. Fewer are written as powers of two, so that there are few
/// different statements for a connection to keep.
const ROWS: usize = 64;

/// Appends events after `last_seq`, which the caller took by raising the
/// session's `last_seq` in the same transaction.
pub(super) async fn append(
    transaction: &mut Transaction,
    session: SessionId,
    last_seq: u64,
    at_ms: u64,
    bodies: Vec<SessionEventBody>,
) -> Result<Vec<SessionEvent>, Error> {
    let numbered = (last_seq + 1..).zip(bodies);
    let events: Vec<_> = numbered
        .map(|(seq, body)| SessionEvent { seq, at_ms, body })
        .collect();
    let mut rest = &events[..];
    while !rest.is_empty() {
        let (rows, after) = rest.split_at(1 << rest.len().min(ROWS).ilog2());
        insert(transaction, session, rows).await?;
        rest = after;
    }
    Ok(events)
}

async fn insert(
    transaction: &mut Transaction,
    session: SessionId,
    events: &[SessionEvent],
) -> Result<(), Error> {
    let mut statement =
        String::from("INSERT INTO session_events (session_id, seq, at_ms, body) VALUES ");
    for index in 0..events.len() {
        let comma = if index == 0 { "" } else { ", " };
        let first = 2 + 3 * index;
        let (second, third) = (first + 1, first + 2);
        // Writing to a text does not fail.
        let _ = write!(statement, "{comma}($1, ${first}, ${second}, ${third})");
    }
    // Made of numbers alone.
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(session.to_string());
    for event in events {
        let text =
            serde_json::to_string(&event.body).map_err(|error| row::corrupt("body", &error))?;
        query = query
            .bind(row::to_i64(event.seq))
            .bind(row::to_i64(event.at_ms))
            .bind(text);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// The events of a session after `after`, at most `most`.
pub(super) async fn read<'c>(
    executor: impl sqlx::Executor<'c, Database = sqlx::Any>,
    session: SessionId,
    after: u64,
    most: u32,
) -> Result<Vec<SessionEvent>, Error> {
    let found = sqlx::query(
        "SELECT seq, at_ms, body FROM session_events
         WHERE session_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(session.to_string())
    .bind(row::to_i64(after))
    .bind(i64::from(most))
    .fetch_all(executor)
    .await?;
    found.iter().map(event).collect()
}

impl Store {
    /// The events of a session after `after`, at most `most`.
    pub(crate) async fn events(
        &self,
        session: SessionId,
        after: u64,
        most: u32,
    ) -> Result<Vec<SessionEvent>, Error> {
        read(self.pool(), session, after, most).await
    }
}
