//! Stores what happened in conversations.

use std::collections::HashMap;

use helix_agent::control::Change;
use helix_proto::{
    SessionId, ThreadId,
    agents::{AgentPhase, Command, Entry, EventBody, Numbered},
    session::SessionEventBody,
};

use super::{Appended, Batch, NewAgent, Title, environment, queue};
use crate::{
    seal::Seal,
    store::{Error, Store, Transaction, log, row, sessions},
};

/// A batch, and what the log says of it.
struct Growing<'a> {
    batch: &'a Batch,
    bodies: Vec<SessionEventBody>,
    is_news: bool,
}

impl Store {
    /// Stores batches in one transaction, at most one of each session, with what the logs say of
    /// them. What became of each, in their order; `None`: the session is gone, and nothing of that
    /// batch was stored.
    ///
    /// What most batches are, more of what an agent says, takes as many statements for all of them
    /// as for one.
    pub(crate) async fn append_agents(
        &self,
        seal: &Seal,
        batches: &[Batch],
        now_ms: u64,
    ) -> Result<Vec<Option<Appended>>, Error> {
        let mut transaction = self.begin().await?;
        let mut growing = Vec::with_capacity(batches.len());
        for batch in batches {
            let title = match &batch.title {
                Some(title) => set_title(&mut transaction, batch.session, title).await?,
                None => None,
            };
            growing.push(Growing {
                batch,
                is_news: batch.is_news || title.is_some(),
                bodies: title.into_iter().chain(logged(&batch.changes)).collect(),
            });
        }
        let last = extend(&mut transaction, &growing, now_ms).await?;
        let mut there = Vec::with_capacity(batches.len());
        for Growing {
            batch,
            bodies,
            is_news,
        } in growing
        {
            there.push(last.get(&batch.session).map(|last| {
                let before = last - bodies.len() as u64;
                (batch, log::numbered(before, now_ms, bodies), is_news)
            }));
        }
        let logs = there.iter().flatten();
        let logs: Vec<_> = logs
            .map(|(batch, events, _)| (batch.session, &events[..]))
            .collect();
        log::append_all(&mut transaction, &logs).await?;
        let mut said = Vec::new();
        for (batch, ..) in there.iter().flatten() {
            match only_said(&batch.changes) {
                Some(through) => said.push((batch.session, through)),
                None => apply_all(&mut transaction, seal, batch).await?,
            }
        }
        acknowledge(&mut transaction, &said).await?;
        let mut appended = Vec::with_capacity(there.len());
        for there in there {
            let Some((batch, events, is_news)) = there else {
                appended.push(None);
                continue;
            };
            let session = if is_news {
                sessions::read(&mut transaction, batch.session).await?
            } else {
                None
            };
            appended.push(Some(Appended { events, session }));
        }
        transaction.commit().await?;
        Ok(appended)
    }
}

/// What the log says of changes.
fn logged(changes: &[Change]) -> impl Iterator<Item = SessionEventBody> {
    changes.iter().filter_map(|change| match change {
        Change::Log { entry } => Some(SessionEventBody::Agent {
            entry: entry.clone(),
        }),
        _ => None,
    })
}

/// The last event that is acknowledged, where nothing but the log changes besides.
fn only_said(changes: &[Change]) -> Option<u64> {
    let mut through = None;
    for change in changes {
        match change {
            Change::Log { entry } if phase_of(entry).is_none() => {}
            Change::Acknowledged { through: last } => through = Some(*last),
            _ => return None,
        }
    }
    through
}

async fn apply_all(transaction: &mut Transaction, seal: &Seal, batch: &Batch) -> Result<(), Error> {
    for change in &batch.changes {
        apply(transaction, seal, batch.session, change).await?;
    }
    if let Some((turn, key)) = &batch.key {
        sqlx::query("UPDATE agent_turns SET idempotency_key = $1 WHERE id = $2")
            .bind(key)
            .bind(turn.to_string())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Says up to where the events of several sessions are stored.
async fn acknowledge(
    transaction: &mut Transaction,
    said: &[(SessionId, u64)],
) -> Result<(), Error> {
    for rows in log::statements(said) {
        let values = log::placeholders(rows.len(), |[session, through]| {
            format!("(CAST(${session} AS TEXT), CAST(${through} AS BIGINT))")
        });
        // Made of numbers alone.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
            "WITH said (said_in, through) AS (VALUES {values})
             UPDATE session_agents SET acknowledged = said.through FROM said
             WHERE session_agents.session_id = said.said_in"
        )));
        for (session, through) in rows {
            query = query.bind(session.to_string()).bind(row::to_i64(*through));
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

impl Store {
    /// Has a session begin without a repository from now on.
    pub(crate) async fn forget_repository(&self, session: SessionId) -> Result<(), Error> {
        sqlx::query("UPDATE session_agents SET repository = NULL WHERE session_id = $1")
            .bind(session.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Puts another agent in the place of a session's.
    pub(crate) async fn choose_agent(
        &self,
        session: SessionId,
        agent: &str,
        title: &str,
    ) -> Result<(), Error> {
        sqlx::query("UPDATE session_agents SET agent = $1, title = $2 WHERE session_id = $3")
            .bind(agent)
            .bind(title)
            .bind(session.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Adds the agent of a session that is being made.
pub(in crate::store) async fn insert(
    transaction: &mut Transaction,
    session: SessionId,
    new: &NewAgent,
) -> Result<(), Error> {
    let agent = &new.agent;
    sqlx::query(
        "INSERT INTO session_agents (session_id, agent, title, sandbox_id, host_id, directory,
            owns_sandbox, repository, accepted, acknowledged, closed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0)",
    )
    .bind(session.to_string())
    .bind(&agent.agent)
    .bind(&agent.title)
    .bind(agent.sandbox_id.to_string())
    .bind(new.host_id.to_string())
    .bind(&agent.directory)
    .bind(i64::from(agent.owns_sandbox))
    .bind(new.repository.as_ref().map(row::to_json).transpose()?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

const fn phase_text(phase: AgentPhase) -> &'static str {
    match phase {
        AgentPhase::Starting => "starting",
        AgentPhase::Ready => "ready",
        AgentPhase::Stopped => "stopped",
    }
}

/// Raises the `last_seq` of sessions, and says what it is then; nothing of those that are gone.
async fn extend(
    transaction: &mut Transaction,
    growing: &[Growing<'_>],
    now_ms: u64,
) -> Result<HashMap<SessionId, u64>, Error> {
    let mut last = HashMap::with_capacity(growing.len());
    for rows in log::statements(growing) {
        let values = log::placeholders(rows.len(), |[session, more, news]| {
            format!("(CAST(${session} AS TEXT), CAST(${more} AS BIGINT), CAST(${news} AS BIGINT))")
        });
        // Made of numbers alone.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(format!(
            "WITH growing (grows, more, news) AS (VALUES {values})
             UPDATE sessions SET last_seq = last_seq + growing.more,
                updated_at_ms = COALESCE(growing.news, updated_at_ms)
             FROM growing WHERE sessions.id = growing.grows RETURNING id, last_seq"
        )));
        for growing in rows {
            query = query
                .bind(growing.batch.session.to_string())
                .bind(row::to_i64(growing.bodies.len() as u64))
                .bind(growing.is_news.then_some(row::to_i64(now_ms)));
        }
        for found in query.fetch_all(&mut **transaction).await? {
            last.insert(row::parsed(&found, "id")?, row::number(&found, "last_seq")?);
        }
    }
    Ok(last)
}

/// Gives a session a title, unless a person did; what the log says of that, if it is another.
async fn set_title(
    transaction: &mut Transaction,
    session: SessionId,
    title: &Title,
) -> Result<Option<SessionEventBody>, Error> {
    let (title, always) = match title {
        Title::Prompt(title) => (title, 0_i64),
        Title::Agent(title) => (title, 1),
    };
    let found = sqlx::query(
        "UPDATE sessions SET title = $1, search_title = $2
         WHERE id = $3 AND titled = 0 AND title <> $1 AND (last_seq = 0 OR $4 = 1)
         RETURNING model",
    )
    .bind(title)
    .bind(title.to_lowercase())
    .bind(session.to_string())
    .bind(always)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(SessionEventBody::SessionUpdated {
        title: title.clone(),
        model: row::text(&found, "model")?,
    }))
}

/// Does to the rows what `Saved::apply` does to what is in memory.
async fn apply(
    transaction: &mut Transaction,
    seal: &Seal,
    session: SessionId,
    change: &Change,
) -> Result<(), Error> {
    match change {
        // Appended with the others.
        Change::Log { entry } => match phase_of(entry) {
            Some(phase) => set_phase(transaction, session, phase).await,
            None => Ok(()),
        },
        Change::Thread { id } => set_thread(transaction, session, *id).await,
        Change::Session { session: own } => {
            // As JSON: an agent chooses it, and PostgreSQL keeps no NUL.
            let own = own.as_ref().map(row::to_json).transpose()?;
            sqlx::query("UPDATE session_agents SET agent_session = $1 WHERE session_id = $2")
                .bind(own)
                .bind(session.to_string())
                .execute(&mut **transaction)
                .await?;
            Ok(())
        }
        Change::Command { command } => put_command(transaction, seal, session, command).await,
        Change::Accepted { through } => accepted(transaction, session, *through).await,
        Change::Acknowledged { through } => {
            sqlx::query("UPDATE session_agents SET acknowledged = $1 WHERE session_id = $2")
                .bind(row::to_i64(*through))
                .bind(session.to_string())
                .execute(&mut **transaction)
                .await?;
            Ok(())
        }
        Change::Queued { prompt, position } => {
            queue::put(transaction, session, prompt, *position).await
        }
        Change::Unqueued { turn } => queue::take(transaction, session, *turn).await,
        Change::Held { because } => {
            let because = because.map(|because| row::to_json(&because)).transpose()?;
            sqlx::query("UPDATE session_agents SET held = $1 WHERE session_id = $2")
                .bind(because)
                .bind(session.to_string())
                .execute(&mut **transaction)
                .await?;
            Ok(())
        }
        Change::Turn { turn } => queue::set_turn(transaction, session, turn.as_deref()).await,
        Change::Asked {
            request,
            permission,
        } => {
            sqlx::query(
                "INSERT INTO agent_permissions (session_id, request, options, ends_at_ms)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(session.to_string())
            .bind(row::to_i64(*request))
            .bind(row::to_json(&permission.options)?)
            .bind(row::to_i64(permission.ends_at_ms))
            .execute(&mut **transaction)
            .await?;
            Ok(())
        }
        Change::Answered { request } => {
            sqlx::query("DELETE FROM agent_permissions WHERE session_id = $1 AND request = $2")
                .bind(session.to_string())
                .bind(row::to_i64(*request))
                .execute(&mut **transaction)
                .await?;
            Ok(())
        }
        Change::Closed => {
            sqlx::query("UPDATE session_agents SET closed = 1 WHERE session_id = $1")
                .bind(session.to_string())
                .execute(&mut **transaction)
                .await?;
            Ok(())
        }
    }
}

/// Where the agent's process is, if an entry says that.
const fn phase_of(entry: &Entry) -> Option<AgentPhase> {
    match entry {
        Entry::Agent { event, .. } => match event.body {
            EventBody::Agent { phase, .. } => Some(phase),
            _ => None,
        },
        _ => None,
    }
}

async fn set_phase(
    transaction: &mut Transaction,
    session: SessionId,
    phase: AgentPhase,
) -> Result<(), Error> {
    sqlx::query("UPDATE session_agents SET phase = $1 WHERE session_id = $2")
        .bind(phase_text(phase))
        .bind(session.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What was sent to and asked by the thread of before is over.
async fn set_thread(
    transaction: &mut Transaction,
    session: SessionId,
    id: Option<ThreadId>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE session_agents SET thread_id = $1, accepted = 0, acknowledged = 0, phase = NULL
         WHERE session_id = $2",
    )
    .bind(id.map(|id| id.to_string()))
    .bind(session.to_string())
    .execute(&mut **transaction)
    .await?;
    for query in [
        "DELETE FROM agent_commands WHERE session_id = $1",
        "DELETE FROM agent_permissions WHERE session_id = $1",
    ] {
        sqlx::query(query)
            .bind(session.to_string())
            .execute(&mut **transaction)
            .await?;
    }
    environment::forget(transaction, session).await
}

async fn put_command(
    transaction: &mut Transaction,
    seal: &Seal,
    session: SessionId,
    numbered: &Numbered,
) -> Result<(), Error> {
    let text = match &numbered.command {
        Command::Open(open) => {
            let mut open = open.clone();
            let environment = std::mem::take(&mut open.agent.environment);
            let thread = thread_of(transaction, session).await?;
            environment::put(transaction, seal, session, thread, &environment).await?;
            row::to_json(&Command::Open(open))?
        }
        command => row::to_json(command)?,
    };
    sqlx::query("INSERT INTO agent_commands (session_id, number, command) VALUES ($1, $2, $3)")
        .bind(session.to_string())
        .bind(row::to_i64(numbered.number))
        .bind(text)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn thread_of(transaction: &mut Transaction, session: SessionId) -> Result<ThreadId, Error> {
    let found = sqlx::query("SELECT thread_id FROM session_agents WHERE session_id = $1")
        .bind(session.to_string())
        .fetch_one(&mut **transaction)
        .await?;
    row::parsed(&found, "thread_id")
}

async fn accepted(
    transaction: &mut Transaction,
    session: SessionId,
    through: u64,
) -> Result<(), Error> {
    let found = sqlx::query(
        "UPDATE session_agents SET accepted = $1 WHERE session_id = $2 RETURNING thread_id",
    )
    .bind(row::to_i64(through))
    .bind(session.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    let gone = sqlx::query("DELETE FROM agent_commands WHERE session_id = $1 AND number <= $2")
        .bind(session.to_string())
        .bind(row::to_i64(through))
        .execute(&mut **transaction)
        .await?;
    if found.is_some() && gone.rows_affected() > 0 {
        // The first command is among what the host has.
        environment::forget(transaction, session).await?;
    }
    Ok(())
}
