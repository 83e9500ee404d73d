//! The append-only log of each session.

use helix_proto::{
    SessionId, TurnId,
    session::{SessionEvent, SessionEventBody},
};
use serde_json::value::RawValue;
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

/// Rows as statements take them.
pub(super) fn statements<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let count = 1 << rest.len().min(ROWS).checked_ilog2()?;
        let (rows, after) = rest.split_at(count);
        rest = after;
        Some(rows)
    })
}

/// Placeholders of so many rows, each made of the numbers of its own.
pub(super) fn placeholders<const N: usize>(
    rows: usize,
    row: impl Fn([usize; N]) -> String,
) -> String {
    let rows = (0..rows).map(|index| row(std::array::from_fn(|column| N * index + column + 1)));
    rows.collect::<Vec<_>>().join(", ")
}

/// Appends events after `last_seq`, which the caller took by raising the
/// session's `last_seq` in the same transaction.
pub(super) async fn append(
    transaction: &mut Transaction,
    session: SessionId,
    last_seq: u64,
    at_ms: u64,
    bodies: Vec<SessionEventBody>,
) -> Result<Vec<SessionEvent>, Error> {
    let events = numbered(last_seq, at_ms, bodies);
    append_all(transaction, &[(session, &events)]).await?;
    Ok(events)
}

/// What is appended after `last_seq`.
pub(super) fn numbered(
    last_seq: u64,
    at_ms: u64,
    bodies: Vec<SessionEventBody>,
) -> Vec<SessionEvent> {
    let numbered = (last_seq + 1..).zip(bodies);
    numbered
        .map(|(seq, body)| SessionEvent { seq, at_ms, body })
        .collect()
}

/// Appends to the logs of several sessions, with as few statements as for one.
pub(super) async fn append_all(
    transaction: &mut Transaction,
    logs: &[(SessionId, &[SessionEvent])],
) -> Result<(), Error> {
    let rows = logs.iter().flat_map(|(session, events)| {
        let session = session.to_string();
        events.iter().map(move |event| (session.clone(), event))
    });
    let rows: Vec<_> = rows.collect();
    for rows in statements(&rows) {
        insert(transaction, rows).await?;
    }
    Ok(())
}

async fn insert(
    transaction: &mut Transaction,
    rows: &[(String, &SessionEvent)],
) -> Result<(), Error> {
    let values = placeholders(rows.len(), |[session, seq, at_ms, body]| {
        format!("(${session}, ${seq}, ${at_ms}, ${body})")
    });
    // Made of numbers alone.
    let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO session_events (session_id, seq, at_ms, body) VALUES {values}"
    )));
    for (session, event) in rows {
        let text =
            serde_json::to_string(&event.body).map_err(|error| row::corrupt("body", &error))?;
        query = query
            .bind(session.as_str())
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
    let found = rows(executor, session, after, most).await?;
    found.iter().map(event).collect()
}

async fn rows<'c>(
    executor: impl sqlx::Executor<'c, Database = sqlx::Any>,
    session: SessionId,
    after: u64,
    most: u32,
) -> Result<Vec<AnyRow>, Error> {
    let found = sqlx::query(
        "SELECT seq, at_ms, body FROM session_events
         WHERE session_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(session.to_string())
    .bind(row::to_i64(after))
    .bind(i64::from(most))
    .fetch_all(executor)
    .await?;
    Ok(found)
}

/// An event of a log as readers are sent it: it is not taken apart on its way to them.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its number.
    pub seq: u64,
    /// The JSON of a [`SessionEvent`].
    pub json: Box<RawValue>,
}

impl Logged {
    /// Takes it apart.
    ///
    /// # Errors
    /// It was stored as something else.
    pub(crate) fn event(&self) -> Result<SessionEvent, Error> {
        serde_json::from_str(self.json.get()).map_err(|error| row::corrupt("body", &error))
    }
}

impl TryFrom<&SessionEvent> for Logged {
    type Error = serde_json::Error;

    fn try_from(event: &SessionEvent) -> Result<Self, Self::Error> {
        Ok(Self {
            seq: event.seq,
            json: serde_json::value::to_raw_value(event)?,
        })
    }
}

fn logged(row: &AnyRow) -> Result<Logged, Error> {
    let (seq, at_ms) = (row::number(row, "seq")?, row::number(row, "at_ms")?);
    let body = row::text(row, "body")?;
    // The body's members are the event's own.
    let members = body
        .strip_prefix('{')
        .ok_or_else(|| row::corrupt("body", &"it is no object"))?;
    let json = RawValue::from_string(format!(r#"{{"seq":{seq},"at_ms":{at_ms},{members}"#));
    let json = json.map_err(|error| row::corrupt("body", &error))?;
    Ok(Logged { seq, json })
}

impl Store {
    /// The events of a session after `after`, at most `most`.
    pub(crate) async fn events(
        &self,
        session: SessionId,
        after: u64,
        most: u32,
    ) -> Result<Vec<Logged>, Error> {
        let found = rows(self.pool(), session, after, most).await?;
        found.iter().map(logged).collect()
    }
}
