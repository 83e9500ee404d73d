//! What is read of sandboxes.

use std::collections::HashMap;

use helix_proto::{SandboxHostId, SandboxId, UserId, sandbox::SandboxState};
use sqlx::any::AnyRow;

use super::{StoredSandbox, Usage, state_name, usage};
use crate::store::{Error, Store, row};

/// Which sandboxes to list.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ListFilter {
    /// Only this user's.
    pub(crate) user: Option<UserId>,
    /// Only those on this host.
    pub(crate) host: Option<SandboxHostId>,
    /// Only those in this state.
    pub(crate) state: Option<SandboxState>,
}

impl Store {
    /// One sandbox, one that is to be removed too.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sandbox(&self, id: SandboxId) -> Result<Option<StoredSandbox>, Error> {
        let found = sqlx::query("SELECT * FROM sandboxes WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        found.as_ref().map(sandbox).transpose()
    }

    /// Sandboxes that are not deleted, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sandboxes(
        &self,
        filter: ListFilter,
        before: Option<SandboxId>,
        limit: u32,
    ) -> Result<Vec<StoredSandbox>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM sandboxes WHERE state <> 'deleted' \
             AND ($1 = '' OR user_id = $1) AND ($2 = '' OR host_id = $2) AND ($3 = '' OR state = $3) \
             AND ($4 = '' OR id < $4) ORDER BY id DESC LIMIT $5",
        )
        .bind(filter.user.map(|id| id.to_string()).unwrap_or_default())
        .bind(filter.host.map(|id| id.to_string()).unwrap_or_default())
        .bind(filter.state.map(state_name).unwrap_or_default())
        .bind(before.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(sandbox).collect()
    }

    /// All sandboxes on a host, those that are to be removed too, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sandboxes_on(
        &self,
        host: SandboxHostId,
    ) -> Result<Vec<StoredSandbox>, Error> {
        let rows = sqlx::query("SELECT * FROM sandboxes WHERE host_id = $1 ORDER BY id")
            .bind(host.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(sandbox).collect()
    }

    /// All sandboxes in a state.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sandboxes_in(
        &self,
        state: SandboxState,
    ) -> Result<Vec<StoredSandbox>, Error> {
        let rows = sqlx::query("SELECT * FROM sandboxes WHERE state = $1 ORDER BY id")
            .bind(state_name(state))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(sandbox).collect()
    }

    /// What is promised on each host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn promised(&self) -> Result<HashMap<SandboxHostId, Usage>, Error> {
        let rows = sqlx::query(sum_sandboxes!("host_id,", "GROUP BY host_id"))
            .fetch_all(self.pool())
            .await?;
        let read = |found: &AnyRow| Ok((row::parsed(found, "host_id")?, usage(found)?));
        rows.iter().map(read).collect()
    }

    /// How many sandboxes are in each state.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn count_sandboxes(&self) -> Result<Vec<(SandboxState, u64)>, Error> {
        let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM sandboxes GROUP BY state")
            .fetch_all(self.pool())
            .await?;
        let read = |found: &AnyRow| Ok((row::variant(found, "state")?, row::number(found, "n")?));
        rows.iter().map(read).collect()
    }
}

pub(in crate::store) fn sandbox(found: &AnyRow) -> Result<StoredSandbox, Error> {
    let mut spec: helix_proto::sandbox::host::SandboxSpec = row::json(found, "spec")?;
    spec.name = row::text(found, "name")?;
    spec.egress = row::json(found, "egress")?;
    if row::text_or_none(found, "limits")?.is_some() {
        spec.limits = row::json(found, "limits")?;
    }
    if row::text_or_none(found, "times")?.is_some() {
        spec.set_times(row::json(found, "times")?);
    }
    let phase = row::text_or_none(found, "phase")?;
    let end = row::text_or_none(found, "ending")?;
    Ok(StoredSandbox {
        user_id: row::parsed(found, "user_id")?,
        host_id: row::parsed(found, "host_id")?,
        spec,
        state: row::variant(found, "state")?,
        phase: phase.map(|_| row::variant(found, "phase")).transpose()?,
        end: end.map(|_| row::json(found, "ending")).transpose()?,
        made: row::flag(found, "made")?,
        abandoned: row::flag(found, "abandoned")?,
        deadline_at_ms: row::number_or_none(found, "deadline_at_ms")?,
        created_at_ms: row::number(found, "created_at_ms")?,
        used_at_ms: row::number(found, "used_at_ms")?,
    })
}
