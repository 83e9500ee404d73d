//! Sandboxes: what must exist, and what their hosts last said of them.
//!
//! **Invariant:** what a host says changes only rows of its own, and never one that is
//! deleted or was given up.

use helix_proto::{
    SandboxHostId, SandboxId, UserId,
    sandbox::{
        Egress, SandboxEnd, SandboxLimits, SandboxPhase, SandboxState,
        host::{SandboxSpec, SandboxStatus, SandboxTimes},
    },
};
use sqlx::any::AnyRow;

use super::{Error, Store, Transaction, row};

/// A sandbox, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSandbox {
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is.
    pub host_id: SandboxHostId,
    /// What it is, with its name and policy of now.
    pub spec: SandboxSpec,
    /// Where it is in its life.
    pub state: SandboxState,
    /// What is being done, while it is creating.
    pub phase: Option<SandboxPhase>,
    /// Why it stopped or failed.
    pub end: Option<SandboxEnd>,
    /// Whether its host said that it has it.
    pub made: bool,
    /// Whether it was given up before its host said so.
    pub abandoned: bool,
    /// Until when it may be creating.
    pub deadline_at_ms: Option<u64>,
    /// When it was asked for.
    pub created_at_ms: u64,
    /// When it was last used.
    pub used_at_ms: u64,
}

impl StoredSandbox {
    /// Its id.
    pub const fn id(&self) -> SandboxId {
        self.spec.id
    }

    /// Whether its host is to keep it.
    pub fn is_kept(&self) -> bool {
        self.state != SandboxState::Deleted && !self.abandoned
    }
}

/// What somebody has, or what a host has promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Sandboxes that are not deleted.
    pub sandboxes: u64,
    /// Those of them that are being made, run, or are paused.
    pub running: u64,
    /// Processor time promised to those, in thousandths of a core.
    pub cpu_millis: u64,
    /// Main memory promised to those.
    pub memory_bytes: u64,
    /// Disk promised to all.
    pub disk_bytes: u64,
}

impl Usage {
    /// With one more that runs.
    #[must_use]
    pub const fn with(mut self, limits: &SandboxLimits) -> Self {
        self.running += 1;
        self.cpu_millis += limits.cpu_millis as u64;
        self.memory_bytes += limits.memory_bytes;
        self
    }

    /// With one more that is new, and runs.
    #[must_use]
    pub const fn with_new(mut self, limits: &SandboxLimits) -> Self {
        self.sandboxes += 1;
        self.disk_bytes += limits.disk_bytes;
        self.with(limits)
    }
}

/// What is promised, of the sandboxes that a `WHERE` names.
macro_rules! sum_sandboxes {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " COUNT(*) AS sandboxes, \
             CAST(COALESCE(SUM(CASE WHEN state IN ('creating', 'running', 'paused') THEN 1 ELSE 0 END), 0) AS BIGINT) AS running, \
             CAST(COALESCE(SUM(CASE WHEN state IN ('creating', 'running', 'paused') THEN cpu_millis ELSE 0 END), 0) AS BIGINT) AS cpu_millis, \
             CAST(COALESCE(SUM(CASE WHEN state IN ('creating', 'running', 'paused') THEN memory_bytes ELSE 0 END), 0) AS BIGINT) AS memory_bytes, \
             CAST(COALESCE(SUM(CASE WHEN abandoned = 0 THEN disk_bytes ELSE 0 END), 0) AS BIGINT) AS disk_bytes \
             FROM sandboxes WHERE state <> 'deleted' ",
            $rest
        )
    };
}

pub(super) mod read;

pub(crate) use read::ListFilter;

fn usage(found: &AnyRow) -> Result<Usage, Error> {
    Ok(Usage {
        sandboxes: row::number(found, "sandboxes")?,
        running: row::number(found, "running")?,
        cpu_millis: row::number(found, "cpu_millis")?,
        memory_bytes: row::number(found, "memory_bytes")?,
        disk_bytes: row::number(found, "disk_bytes")?,
    })
}

/// Takes a user's sandboxes for the rest of the transaction, and says what they use.
async fn lock_user(transaction: &mut Transaction, user: UserId) -> Result<Usage, Error> {
    // An update takes the row's lock on PostgreSQL; on SQLite the whole database is
    // the writer's already.
    sqlx::query("UPDATE users SET name = name WHERE id = $1")
        .bind(user.to_string())
        .execute(&mut **transaction)
        .await?;
    used_by(transaction, user).await
}

async fn used_by(transaction: &mut Transaction, user: UserId) -> Result<Usage, Error> {
    let found = sqlx::query(sum_sandboxes!("", "AND user_id = $1"))
        .bind(user.to_string())
        .fetch_one(&mut **transaction)
        .await?;
    usage(&found)
}

pub(super) fn state_name(state: SandboxState) -> &'static str {
    match state {
        SandboxState::Creating => "creating",
        SandboxState::Running => "running",
        SandboxState::Paused => "paused",
        SandboxState::Stopped => "stopped",
        SandboxState::Failed => "failed",
        SandboxState::Deleted => "deleted",
    }
}

const fn phase_name(phase: SandboxPhase) -> &'static str {
    match phase {
        SandboxPhase::Placing => "placing",
        SandboxPhase::Filesystem => "filesystem",
        SandboxPhase::Isolation => "isolation",
        SandboxPhase::Guest => "guest",
        SandboxPhase::Docker => "docker",
    }
}

fn to_json_or_none(end: Option<&SandboxEnd>) -> Result<Option<String>, Error> {
    end.map(row::to_json).transpose()
}

impl Store {
    /// Adds a sandbox, if `check` of what its user has by now says nothing against it;
    /// else what it says.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn insert_sandbox<E>(
        &self,
        sandbox: &StoredSandbox,
        check: impl FnOnce(&Usage) -> Result<(), E>,
    ) -> Result<Result<(), E>, Error> {
        let mut transaction = self.begin().await?;
        let used = lock_user(&mut transaction, sandbox.user_id).await?;
        if let Err(refused) = check(&used) {
            return Ok(Err(refused));
        }
        let limits = &sandbox.spec.limits;
        sqlx::query(
            "INSERT INTO sandboxes (id, user_id, host_id, name, state, phase, ending, spec, egress, \
             cpu_millis, memory_bytes, disk_bytes, made, abandoned, deadline_at_ms, created_at_ms, used_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, CAST($7 AS TEXT), $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        )
        .bind(sandbox.id().to_string())
        .bind(sandbox.user_id.to_string())
        .bind(sandbox.host_id.to_string())
        .bind(&sandbox.spec.name)
        .bind(state_name(sandbox.state))
        .bind(sandbox.phase.map(phase_name))
        .bind(to_json_or_none(sandbox.end.as_ref())?)
        .bind(row::to_json(&sandbox.spec)?)
        .bind(row::to_json(&sandbox.spec.egress)?)
        .bind(i64::from(limits.cpu_millis))
        .bind(row::to_i64(limits.memory_bytes))
        .bind(row::to_i64(limits.disk_bytes))
        .bind(i64::from(sandbox.made))
        .bind(i64::from(sandbox.abandoned))
        .bind(sandbox.deadline_at_ms.map(row::to_i64))
        .bind(row::to_i64(sandbox.created_at_ms))
        .bind(row::to_i64(sandbox.used_at_ms))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// Has a sandbox that stopped or failed start again, if `check` of what its user
    /// has by now says nothing against it. Whether it was in a state to start.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn begin_start<E>(
        &self,
        sandbox: &StoredSandbox,
        deadline_at_ms: u64,
        check: impl FnOnce(&Usage) -> Result<(), E>,
    ) -> Result<Result<bool, E>, Error> {
        let mut transaction = self.begin().await?;
        let used = lock_user(&mut transaction, sandbox.user_id).await?;
        if let Err(refused) = check(&used) {
            return Ok(Err(refused));
        }
        let done = sqlx::query(
            "UPDATE sandboxes SET state = 'creating', phase = 'placing', deadline_at_ms = $2 \
             WHERE id = $1 AND abandoned = 0 AND state IN ('stopped', 'failed')",
        )
        .bind(sandbox.id().to_string())
        .bind(row::to_i64(deadline_at_ms))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Ok(done.rows_affected() > 0))
    }

    /// A start that its host did not take: the sandbox is again as it was. Whether it
    /// was still starting.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn undo_start(&self, before: &StoredSandbox) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE sandboxes SET state = $2, phase = NULL, ending = CAST($3 AS TEXT), deadline_at_ms = NULL \
             WHERE id = $1 AND state = 'creating'",
        )
        .bind(before.id().to_string())
        .bind(state_name(before.state))
        .bind(to_json_or_none(before.end.as_ref())?)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes what a host says of the life of a sandbox of its own. The sandbox as it is
    /// then, if it is one that must exist.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn apply_status(
        &self,
        host: SandboxHostId,
        status: &SandboxStatus,
    ) -> Result<Option<StoredSandbox>, Error> {
        let made = status.state != SandboxState::Creating && status.state != SandboxState::Failed;
        let found = sqlx::query(
            "UPDATE sandboxes SET state = $3, phase = $4, ending = CAST($5 AS TEXT), \
             used_at_ms = $6, made = CASE WHEN $7 = 1 THEN 1 ELSE made END, \
             deadline_at_ms = CASE WHEN $3 = 'creating' THEN deadline_at_ms ELSE NULL END \
             WHERE id = $1 AND host_id = $2 AND state <> 'deleted' AND abandoned = 0 RETURNING *",
        )
        .bind(status.id.to_string())
        .bind(host.to_string())
        .bind(state_name(status.state))
        .bind(status.phase.map(phase_name))
        .bind(to_json_or_none(status.end.as_ref())?)
        .bind(row::to_i64(status.used_at_ms))
        .bind(i64::from(made))
        .fetch_optional(self.pool())
        .await?;
        found.as_ref().map(read::sandbox).transpose()
    }

    /// Notes what a host says that a sandbox of its own may reach and use, and for how long.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn apply_settings(
        &self,
        host: SandboxHostId,
        status: &SandboxStatus,
    ) -> Result<(), Error> {
        sqlx::query(
            "UPDATE sandboxes SET egress = $3, limits = $4, cpu_millis = $5, memory_bytes = $6, \
             disk_bytes = $7, times = $8 \
             WHERE id = $1 AND host_id = $2 AND state <> 'deleted' AND abandoned = 0",
        )
        .bind(status.id.to_string())
        .bind(host.to_string())
        .bind(row::to_json(&status.egress)?)
        .bind(row::to_json(&status.limits)?)
        .bind(i64::from(status.limits.cpu_millis))
        .bind(row::to_i64(status.limits.memory_bytes))
        .bind(row::to_i64(status.limits.disk_bytes))
        .bind(row::to_json(&status.times)?)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Ends a sandbox that its host did not take, or no longer has. Whether it was in
    /// one of the states.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn fail_sandbox(
        &self,
        id: SandboxId,
        from: &[SandboxState],
        end: &SandboxEnd,
    ) -> Result<bool, Error> {
        let mut failed = false;
        for state in from {
            let done = sqlx::query(
                "UPDATE sandboxes SET state = 'failed', phase = NULL, ending = $2, deadline_at_ms = NULL \
                 WHERE id = $1 AND state = $3",
            )
            .bind(id.to_string())
            .bind(row::to_json(end)?)
            .bind(state_name(*state))
            .execute(self.pool())
            .await?;
            failed |= done.rows_affected() > 0;
        }
        Ok(failed)
    }

    /// Ends a sandbox that is creating for too long; one that its host never said it
    /// has is given up. Whether it was.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn time_out_sandbox(
        &self,
        id: SandboxId,
        end: &SandboxEnd,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE sandboxes SET state = 'failed', phase = NULL, ending = $2, \
             abandoned = 1 - made, deadline_at_ms = NULL \
             WHERE id = $1 AND state = 'creating' AND deadline_at_ms <= $3",
        )
        .bind(id.to_string())
        .bind(row::to_json(end)?)
        .bind(row::to_i64(now_ms))
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Marks a sandbox as to be removed. Whether it was not yet.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn mark_sandbox_deleted(&self, id: SandboxId) -> Result<bool, Error> {
        let done = sqlx::query(
            "UPDATE sandboxes SET state = 'deleted', phase = NULL, deadline_at_ms = NULL \
             WHERE id = $1 AND state <> 'deleted'",
        )
        .bind(id.to_string())
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets a sandbox that was to be removed, of which this host has nothing left.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn remove_sandbox(
        &self,
        host: SandboxHostId,
        id: SandboxId,
    ) -> Result<(), Error> {
        sqlx::query("DELETE FROM sandboxes WHERE id = $1 AND host_id = $2 AND state = 'deleted'")
            .bind(id.to_string())
            .bind(host.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Changes what people call a sandbox.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn rename_sandbox(&self, id: SandboxId, name: &str) -> Result<(), Error> {
        sqlx::query("UPDATE sandboxes SET name = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(name)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Changes the most that a sandbox may use, if `check` of what its user has then says
    /// nothing against it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn set_sandbox_limits<E>(
        &self,
        sandbox: &StoredSandbox,
        limits: &SandboxLimits,
        check: impl FnOnce(&Usage) -> Result<(), E>,
    ) -> Result<Result<(), E>, Error> {
        let mut transaction = self.begin().await?;
        lock_user(&mut transaction, sandbox.user_id).await?;
        sqlx::query(
            "UPDATE sandboxes SET limits = $2, cpu_millis = $3, memory_bytes = $4, disk_bytes = $5 \
             WHERE id = $1",
        )
        .bind(sandbox.id().to_string())
        .bind(row::to_json(limits)?)
        .bind(i64::from(limits.cpu_millis))
        .bind(row::to_i64(limits.memory_bytes))
        .bind(row::to_i64(limits.disk_bytes))
        .execute(&mut *transaction)
        .await?;
        let used = used_by(&mut transaction, sandbox.user_id).await?;
        if let Err(refused) = check(&used) {
            return Ok(Err(refused));
        }
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// Notes when a sandbox is stopped although nobody asks.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn set_sandbox_times(
        &self,
        id: SandboxId,
        times: &SandboxTimes,
    ) -> Result<(), Error> {
        sqlx::query("UPDATE sandboxes SET times = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(row::to_json(times)?)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Notes what a sandbox may reach from now on.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn set_sandbox_egress(
        &self,
        id: SandboxId,
        egress: &Egress,
    ) -> Result<(), Error> {
        sqlx::query("UPDATE sandboxes SET egress = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(row::to_json(egress)?)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
