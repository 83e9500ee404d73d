//! Stores what happened in a conversation.

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

impl Store {
    /// Stores a batch in one transaction, with what the log says of it. `None`: the session is
    /// gone, and nothing was stored.
    pub(crate) async fn append_agent(
        &self,
        seal: &Seal,
        session: SessionId,
        batch: &Batch<'_>,
        now_ms: u64,
    ) -> Result<Option<Appended>, Error> {
        let mut transaction = self.begin().await?;
        let mut bodies = Vec::new();
        let title = match &batch.title {
            Some(title) => set_title(&mut transaction, session, title).await?,
            None => None,
        };
        bodies.extend(title);
        let retitled = !bodies.is_empty();
        bodies.extend(batch.changes.iter().filter_map(|change| match change {
            Change::Log { entry } => Some(SessionEventBody::Agent {
                entry: entry.clone(),
            }),
            _ => None,
        }));
        let is_news = batch.is_news || retitled;
        let count = bodies.len();
        let Some(last) =
            extend(&mut transaction, session, count, is_news.then_some(now_ms)).await?
        else {
            return Ok(None);
        };
        let events = log::append(&mut transaction, session, last, now_ms, bodies).await?;
        for change in batch.changes {
            apply(&mut transaction, seal, session, change).await?;
        }
        if let Some((turn, key)) = batch.key {
            sqlx::query("UPDATE agent_turns SET idempotency_key = $1 WHERE id = $2")
                .bind(key)
                .bind(turn.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        let session = if is_news {
            sessions::read(&mut transaction, session).await?
        } else {
            None
        };
        transaction.commit().await?;
        Ok(Some(Appended { events, session }))
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

/// Raises the `last_seq` of a session, and says what it was; none if the session is gone.
async fn extend(
    transaction: &mut Transaction,
    session: SessionId,
    by: usize,
    news_at_ms: Option<u64>,
) -> Result<Option<u64>, Error> {
    let found = sqlx::query(
        "UPDATE sessions SET last_seq = last_seq + $1, updated_at_ms = COALESCE($2, updated_at_ms)
         WHERE id = $3 RETURNING last_seq",
    )
    .bind(row::to_i64(by as u64))
    .bind(news_at_ms.map(row::to_i64))
    .bind(session.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    let last = found
        .as_ref()
        .map(|row| row::number(row, "last_seq"))
        .transpose()?;
    Ok(last.map(|last| last - by as u64))
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
            sqlx::query("UPDATE session_agents SET agent_session = $1 WHERE session_id = $2")
                .bind(own.as_deref())
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
