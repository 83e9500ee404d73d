//! Reads conversations back.

use std::collections::{BTreeMap, VecDeque};

use helix_agent::control::{Permission, Stored, Thread};
use helix_proto::{
    SandboxHostId, SandboxId, SessionId, ThreadId, TurnId,
    agents::{Command, Numbered, QueuedPrompt},
    session::SessionAgent,
};
use sqlx::any::AnyRow;

use super::{Loaded, StoredAgent, environment};
use crate::{
    seal::Seal,
    store::{Error, Store, Transaction, row},
};

fn stored_agent(found: &AnyRow) -> Result<StoredAgent, Error> {
    Ok(StoredAgent {
        session_id: row::parsed(found, "session_id")?,
        user_id: row::parsed(found, "user_id")?,
        model: row::text(found, "model")?,
        agent: session_agent(found)?,
        host_id: row::parsed(found, "host_id")?,
        repository: row::text_or_none(found, "repository")?
            .map(|_| row::json(found, "repository"))
            .transpose()?,
        phase: row::text_or_none(found, "phase")?
            .map(|_| row::variant(found, "phase"))
            .transpose()?,
    })
}

fn session_agent(found: &AnyRow) -> Result<SessionAgent, Error> {
    Ok(SessionAgent {
        agent: row::text(found, "agent")?,
        title: row::text(found, "agent_title")?,
        sandbox_id: row::parsed(found, "sandbox_id")?,
        directory: row::text(found, "directory")?,
        owns_sandbox: row::flag(found, "owns_sandbox")?,
    })
}

/// The agent of a row of `sessions` that was joined with its agent, if it has one.
pub(in crate::store) fn agent_of(found: &AnyRow) -> Result<Option<SessionAgent>, Error> {
    row::text_or_none(found, "agent")?
        .map(|_| session_agent(found))
        .transpose()
}

impl Store {
    /// A session's agent with its conversation, as of one moment.
    pub(crate) async fn load_agent(
        &self,
        seal: &Seal,
        session: SessionId,
    ) -> Result<Option<Loaded>, Error> {
        let mut transaction = self.snapshot().await?;
        let found = sqlx::query(
            "SELECT a.*, a.title AS agent_title, s.user_id AS user_id, s.model AS model
             FROM session_agents a JOIN sessions s ON s.id = a.session_id
             WHERE a.session_id = $1",
        )
        .bind(session.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(found) = found else { return Ok(None) };
        let agent = stored_agent(&found)?;
        let thread_id = row::text_or_none(&found, "thread_id")?;
        let mut stored = Stored {
            session: row::text_or_none(&found, "agent_session")?,
            held: row::text_or_none(&found, "held")?
                .map(|_| row::json(&found, "held"))
                .transpose()?,
            closed: row::flag(&found, "closed")?,
            ..Stored::default()
        };
        if thread_id.is_some() {
            let id: ThreadId = row::parsed(&found, "thread_id")?;
            stored.commands = commands(&mut transaction, seal, session, id).await?;
            stored.permissions = permissions(&mut transaction, session).await?;
            let accepted = row::number(&found, "accepted")?;
            stored.thread = Some(Thread {
                id,
                last_number: stored.commands.back().map_or(accepted, |last| last.number),
                accepted,
                acknowledged: row::number(&found, "acknowledged")?,
            });
        }
        turns(&mut transaction, session, &mut stored).await?;
        let saved = stored.into();
        Ok(Some(Loaded { agent, saved }))
    }

    /// The sessions that somebody waits for: a turn, a queue that is not held, a permission, or a
    /// host that has not taken a command.
    pub(crate) async fn busy_agents(&self) -> Result<Vec<SessionId>, Error> {
        let found = sqlx::query(
            "SELECT session_id FROM session_agents a WHERE closed = 0 AND (
                EXISTS (SELECT 1 FROM agent_turns t WHERE t.session_id = a.session_id
                    AND (t.state = 'in_flight' OR (t.state = 'queued' AND a.held IS NULL)))
                OR EXISTS (SELECT 1 FROM agent_permissions p WHERE p.session_id = a.session_id)
                OR EXISTS (SELECT 1 FROM agent_commands c WHERE c.session_id = a.session_id))",
        )
        .fetch_all(self.pool())
        .await?;
        found
            .iter()
            .map(|row| row::parsed(row, "session_id"))
            .collect()
    }

    /// The sessions that have a thread on a host.
    pub(crate) async fn threads_on(
        &self,
        host: SandboxHostId,
    ) -> Result<Vec<(ThreadId, SessionId)>, Error> {
        let found = sqlx::query(
            "SELECT thread_id, session_id FROM session_agents
             WHERE host_id = $1 AND thread_id IS NOT NULL",
        )
        .bind(host.to_string())
        .fetch_all(self.pool())
        .await?;
        let read = |row: &AnyRow| {
            Ok((
                row::parsed(row, "thread_id")?,
                row::parsed(row, "session_id")?,
            ))
        };
        found.iter().map(read).collect()
    }

    /// The turn of the prompt that a request with the same key queued before.
    pub(crate) async fn prompt_by_key(
        &self,
        session: SessionId,
        key: &str,
    ) -> Result<Option<TurnId>, Error> {
        let found = sqlx::query(
            "SELECT id FROM agent_turns WHERE session_id = $1 AND idempotency_key = $2",
        )
        .bind(session.to_string())
        .bind(key)
        .fetch_optional(self.pool())
        .await?;
        found.as_ref().map(|row| row::parsed(row, "id")).transpose()
    }

    /// The sessions whose agents work in a sandbox.
    pub(crate) async fn sessions_in(&self, sandbox: SandboxId) -> Result<Vec<SessionId>, Error> {
        let found = sqlx::query("SELECT session_id FROM session_agents WHERE sandbox_id = $1")
            .bind(sandbox.to_string())
            .fetch_all(self.pool())
            .await?;
        found
            .iter()
            .map(|row| row::parsed(row, "session_id"))
            .collect()
    }

    /// The session that a thread of a host belongs to.
    pub(crate) async fn session_of_thread(
        &self,
        host: SandboxHostId,
        thread: ThreadId,
    ) -> Result<Option<SessionId>, Error> {
        let found = sqlx::query(
            "SELECT session_id FROM session_agents WHERE thread_id = $1 AND host_id = $2",
        )
        .bind(thread.to_string())
        .bind(host.to_string())
        .fetch_optional(self.pool())
        .await?;
        found
            .as_ref()
            .map(|row| row::parsed(row, "session_id"))
            .transpose()
    }
}

async fn commands(
    transaction: &mut Transaction,
    seal: &Seal,
    session: SessionId,
    thread: ThreadId,
) -> Result<VecDeque<Numbered>, Error> {
    let found = sqlx::query(
        "SELECT number, command FROM agent_commands WHERE session_id = $1 ORDER BY number",
    )
    .bind(session.to_string())
    .fetch_all(&mut **transaction)
    .await?;
    let mut commands = VecDeque::with_capacity(found.len());
    for row in &found {
        let mut command: Command = row::json(row, "command")?;
        if let Command::Open(open) = &mut command {
            open.agent.environment = environment::get(transaction, seal, session, thread).await?;
        }
        commands.push_back(Numbered {
            number: row::number(row, "number")?,
            command,
        });
    }
    Ok(commands)
}

async fn permissions(
    transaction: &mut Transaction,
    session: SessionId,
) -> Result<BTreeMap<u64, Permission>, Error> {
    let found = sqlx::query(
        "SELECT request, options, ends_at_ms FROM agent_permissions WHERE session_id = $1",
    )
    .bind(session.to_string())
    .fetch_all(&mut **transaction)
    .await?;
    let read = |row: &AnyRow| {
        let permission = Permission {
            options: row::json(row, "options")?,
            ends_at_ms: row::number(row, "ends_at_ms")?,
        };
        Ok((row::number(row, "request")?, permission))
    };
    found.iter().map(read).collect()
}

async fn turns(
    transaction: &mut Transaction,
    session: SessionId,
    stored: &mut Stored,
) -> Result<(), Error> {
    let found = sqlx::query(
        "SELECT state, prompt, turn FROM agent_turns
         WHERE session_id = $1 AND state IN ('queued', 'in_flight') ORDER BY position",
    )
    .bind(session.to_string())
    .fetch_all(&mut **transaction)
    .await?;
    for row in &found {
        if row::text(row, "state")? == "queued" {
            let prompt: QueuedPrompt = row::json(row, "prompt")?;
            stored.queue.push_back(prompt);
        } else {
            stored.turn = Some(row::json(row, "turn")?);
        }
    }
    Ok(())
}
