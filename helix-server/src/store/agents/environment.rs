//! The environment of an agent on its way to its host.

use helix_base::ExposeSecret as _;
use helix_proto::{SessionId, ThreadId, agents::Variable};

use crate::{
    seal::{Place, Seal},
    store::{Error, Transaction, row},
};

const TABLE: &str = "agent_environments";

/// Keeps the environment of a thread's agent, sealed.
pub(super) async fn put(
    transaction: &mut Transaction,
    seal: &Seal,
    session: SessionId,
    thread: ThreadId,
    environment: &[Variable],
) -> Result<(), Error> {
    let (session, thread) = (session.to_string(), thread.to_string());
    let place = Place {
        table: TABLE,
        id: &session,
        name: &thread,
    };
    let sealed = seal
        .seal(place, &row::to_json(&environment)?)
        .map_err(|error| row::corrupt("environment", &error))?;
    sqlx::query(
        "INSERT INTO agent_environments (session_id, thread_id, sealed) VALUES ($1, $2, $3)",
    )
    .bind(&session)
    .bind(&thread)
    .bind(sealed)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The environment that is kept for a thread.
pub(super) async fn get(
    transaction: &mut Transaction,
    seal: &Seal,
    session: SessionId,
    thread: ThreadId,
) -> Result<Vec<Variable>, Error> {
    let (session, thread) = (session.to_string(), thread.to_string());
    let found = sqlx::query(
        "SELECT sealed FROM agent_environments WHERE session_id = $1 AND thread_id = $2",
    )
    .bind(&session)
    .bind(&thread)
    .fetch_one(&mut **transaction)
    .await?;
    let place = Place {
        table: TABLE,
        id: &session,
        name: &thread,
    };
    let opened = seal
        .open(place, &row::text(&found, "sealed")?)
        .map_err(|error| row::corrupt("environment", &error))?;
    serde_json::from_str(opened.expose_secret())
        .map_err(|error| row::corrupt("environment", &error))
}

/// Forgets what is kept of a session's environments.
pub(super) async fn forget(transaction: &mut Transaction, session: SessionId) -> Result<(), Error> {
    sqlx::query("DELETE FROM agent_environments WHERE session_id = $1")
        .bind(session.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
