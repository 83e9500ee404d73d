//! Conversations.

use helix_proto::{
    SessionId, UserId,
    session::{Session, SessionEvent, SessionEventBody},
};
use sqlx::any::AnyRow;

use super::{
    Error, Store, Transaction,
    agents::{NewAgent, read::agent_of, write::insert as insert_agent},
    log, row,
};

/// What is read of a session, `WHERE` follows.
macro_rules! select_sessions {
    ($($rest:literal),+) => {
        concat!(
            "SELECT s.id, s.title, s.titled, s.model, s.created_at_ms, s.updated_at_ms, s.last_seq,
                COALESCE((SELECT t.id FROM turns t
                    WHERE t.session_id = s.id AND t.state IN ('queued', 'running')),
                 (SELECT t.id FROM agent_turns t
                    WHERE t.session_id = s.id AND t.state = 'in_flight')) AS active_turn,
                a.agent, a.title AS agent_title, a.sandbox_id, a.directory, a.owns_sandbox
             FROM sessions s LEFT JOIN session_agents a ON a.session_id = s.id WHERE ",
            $($rest),+
        )
    };
}

pub(super) fn session(row: &AnyRow) -> Result<Session, Error> {
    let active = row::text_or_none(row, "active_turn")?;
    Ok(Session {
        id: row::parsed(row, "id")?,
        title: row::text(row, "title")?,
        model: row::text(row, "model")?,
        created_at_ms: row::number(row, "created_at_ms")?,
        updated_at_ms: row::number(row, "updated_at_ms")?,
        last_seq: row::number(row, "last_seq")?,
        active_turn: active
            .map(|id| {
                id.parse()
                    .map_err(|error| row::corrupt("active_turn", &error))
            })
            .transpose()?,
        agent: agent_of(row)?,
        shared: None,
    })
}

/// A session, whoever's it is.
pub(super) async fn read(
    transaction: &mut Transaction,
    id: SessionId,
) -> Result<Option<Session>, Error> {
    let found = sqlx::query(select_sessions!("s.id = $1"))
        .bind(id.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    found.as_ref().map(session).transpose()
}

/// A session that a transaction has for itself until it ends.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) session: Session,
    pub(super) titled: bool,
}

/// Takes a session of a user for the rest of the transaction.
pub(super) async fn lock(
    transaction: &mut Transaction,
    user: UserId,
    id: SessionId,
    now_ms: u64,
) -> Result<Option<Locked>, Error> {
    // An update takes the row's lock on PostgreSQL; on SQLite the whole
    // database is the writer's already.
    sqlx::query("UPDATE sessions SET updated_at_ms = $1 WHERE id = $2 AND user_id = $3")
        .bind(row::to_i64(now_ms))
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(&mut **transaction)
        .await?;
    let found = sqlx::query(select_sessions!("s.id = $1 AND s.user_id = $2"))
        .bind(id.to_string())
        .bind(user.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(Locked {
        session: session(&found)?,
        titled: row::flag(&found, "titled")?,
    }))
}

/// Writes a locked session back, with what was appended to its log.
pub(super) async fn write_back(
    transaction: &mut Transaction,
    locked: &mut Locked,
    bodies: Vec<SessionEventBody>,
    now_ms: u64,
) -> Result<Vec<SessionEvent>, Error> {
    let Locked { session, titled } = locked;
    let events = log::append(transaction, session.id, session.last_seq, now_ms, bodies).await?;
    session.last_seq += events.len() as u64;
    sqlx::query(
        "UPDATE sessions SET title = $1, titled = $2, search_title = $3, model = $4, last_seq = $5
         WHERE id = $6",
    )
    .bind(&session.title)
    .bind(i64::from(*titled))
    .bind(session.title.to_lowercase())
    .bind(&session.model)
    .bind(row::to_i64(session.last_seq))
    .bind(session.id.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(events)
}

/// A page of a list of sessions, those of whom `$1` is to be said.
macro_rules! list_sessions {
    ($whose:literal) => {
        select_sessions!(
            $whose,
            " AND (s.updated_at_ms < $2 OR (s.updated_at_ms = $2 AND s.id < $3))
             AND ($4 = '%%' OR s.search_title LIKE $4 ESCAPE '\\' OR EXISTS (
                SELECT 1 FROM turns t WHERE t.session_id = s.id AND t.replaced = 0
                AND t.search_text LIKE $4 ESCAPE '\\') OR EXISTS (
                SELECT 1 FROM agent_turns t WHERE t.session_id = s.id
                AND t.search_text LIKE $4 ESCAPE '\\'))
             ORDER BY s.updated_at_ms DESC, s.id DESC LIMIT $5"
        )
    };
}

/// Whose sessions a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// A user's own.
    Own(UserId),
    /// Those of others that are shared with a user, now or before.
    SharedWith(UserId),
}

/// Where a page of the list begins: after this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListCursor {
    pub(crate) updated_at_ms: u64,
    pub(crate) id: SessionId,
}

/// A pattern for `LIKE … ESCAPE '\'` that finds a text anywhere.
fn anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

impl Store {
    /// Adds a session, with its agent if it has one.
    pub(crate) async fn add_session(
        &self,
        user: UserId,
        session: &Session,
        titled: bool,
        agent: Option<&NewAgent>,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO sessions
                (id, user_id, title, titled, search_title, model, created_at_ms, updated_at_ms, last_seq)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)",
        )
        .bind(session.id.to_string())
        .bind(user.to_string())
        .bind(&session.title)
        .bind(i64::from(titled))
        .bind(session.title.to_lowercase())
        .bind(&session.model)
        .bind(row::to_i64(session.created_at_ms))
        .bind(row::to_i64(session.updated_at_ms))
        .execute(&mut *transaction)
        .await?;
        if let Some(agent) = agent {
            insert_agent(&mut transaction, session.id, agent).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// A session of a user.
    pub(crate) async fn session(
        &self,
        user: UserId,
        id: SessionId,
    ) -> Result<Option<Session>, Error> {
        let found = sqlx::query(select_sessions!("s.id = $1 AND s.user_id = $2"))
            .bind(id.to_string())
            .bind(user.to_string())
            .fetch_optional(self.pool())
            .await?;
        found.as_ref().map(session).transpose()
    }

    /// Sessions, last changed first; with `search`, those whose title or standing turns
    /// contain it.
    pub(crate) async fn sessions(
        &self,
        whose: Listed,
        search: &str,
        after: Option<ListCursor>,
        most: u32,
    ) -> Result<Vec<Session>, Error> {
        let (query, user) = match whose {
            Listed::Own(user) => (list_sessions!("s.user_id = $1"), user),
            Listed::SharedWith(user) => (
                list_sessions!(
                    "s.id IN (SELECT h.session_id FROM session_shares h
                        JOIN session_share_people p ON p.share_id = h.id WHERE p.user_id = $1)"
                ),
                user,
            ),
        };
        let found = sqlx::query(query)
            .bind(user.to_string())
            .bind(after.map_or(i64::MAX, |after| row::to_i64(after.updated_at_ms)))
            .bind(after.map_or_else(String::new, |after| after.id.to_string()))
            .bind(anywhere(search))
            .bind(i64::from(most))
            .fetch_all(self.pool())
            .await?;
        found.iter().map(session).collect()
    }

    /// Changes title or model of a session.
    pub(crate) async fn update_session(
        &self,
        user: UserId,
        id: SessionId,
        title: Option<String>,
        model: Option<String>,
        now_ms: u64,
    ) -> Result<Option<(Session, Vec<SessionEvent>)>, Error> {
        let mut transaction = self.begin().await?;
        let Some(mut locked) = lock(&mut transaction, user, id, now_ms).await? else {
            return Ok(None);
        };
        let changes = title
            .as_ref()
            .is_some_and(|title| *title != locked.session.title)
            || model
                .as_ref()
                .is_some_and(|model| *model != locked.session.model);
        locked.titled |= title.is_some();
        let session = &mut locked.session;
        session.title = title.unwrap_or_else(|| session.title.clone());
        session.model = model.unwrap_or_else(|| session.model.clone());
        let updated = SessionEventBody::SessionUpdated {
            title: session.title.clone(),
            model: session.model.clone(),
        };
        let bodies = if changes { vec![updated] } else { Vec::new() };
        let events = write_back(&mut transaction, &mut locked, bodies, now_ms).await?;
        transaction.commit().await?;
        Ok(Some((locked.session, events)))
    }

    /// Deletes a session of a user with all that is in it; whether it was there.
    pub(crate) async fn remove_session(&self, user: UserId, id: SessionId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM sessions WHERE id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_wildcards_literally() {
        assert_eq!(anywhere("50%_A\\"), "%50\\%\\_a\\\\%");
        assert_eq!(anywhere(""), "%%");
    }
}
