//! Snapshots: the files of sandboxes as they were, kept on their hosts.

use helix_proto::{
    SandboxHostId, SandboxId, SnapshotId, UserId,
    sandbox::{Snapshot, host::SandboxSpec},
};
use sqlx::any::AnyRow;

use super::{Error, Store, row};

/// A snapshot, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is.
    pub host_id: SandboxHostId,
    /// The sandbox it was taken of.
    pub sandbox_id: SandboxId,
    /// What people call it.
    pub name: String,
    /// What the sandbox was.
    pub spec: SandboxSpec,
    /// Its size; absent while it is being taken.
    pub size_bytes: Option<u64>,
    /// When it was asked for.
    pub created_at_ms: u64,
}

impl StoredSnapshot {
    /// As REST shows it, once it was taken.
    pub fn shown(&self) -> Option<Snapshot> {
        Some(Snapshot {
            id: self.id,
            name: self.name.clone(),
            host_id: self.host_id,
            sandbox_id: self.sandbox_id,
            size_bytes: self.size_bytes?,
            created_at_ms: self.created_at_ms,
        })
    }
}

impl Store {
    /// Notes a snapshot that is about to be taken, unless its user has `most`.
    /// Whether there was room.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn insert_snapshot(
        &self,
        snapshot: &StoredSnapshot,
        most: u64,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        // Takes the user's lock, as for sandboxes.
        sqlx::query("UPDATE users SET name = name WHERE id = $1")
            .bind(snapshot.user_id.to_string())
            .execute(&mut *transaction)
            .await?;
        let found = sqlx::query("SELECT COUNT(*) AS n FROM snapshots WHERE user_id = $1")
            .bind(snapshot.user_id.to_string())
            .fetch_one(&mut *transaction)
            .await?;
        if row::number(&found, "n")? >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO snapshots (id, user_id, host_id, sandbox_id, name, spec, size_bytes, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, CAST($7 AS BIGINT), $8)",
        )
        .bind(snapshot.id.to_string())
        .bind(snapshot.user_id.to_string())
        .bind(snapshot.host_id.to_string())
        .bind(snapshot.sandbox_id.to_string())
        .bind(&snapshot.name)
        .bind(row::to_json(&snapshot.spec)?)
        .bind(snapshot.size_bytes.map(row::to_i64))
        .bind(row::to_i64(snapshot.created_at_ms))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Notes that a snapshot was taken. Whether it is still wanted.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn snapshot_taken(
        &self,
        id: SnapshotId,
        size_bytes: u64,
    ) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE snapshots SET size_bytes = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(row::to_i64(size_bytes))
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets a snapshot. Whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn delete_snapshot(&self, id: SnapshotId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM snapshots WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets snapshots that were being taken when the control plane ended.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn delete_unfinished_snapshots(&self) -> Result<(), Error> {
        sqlx::query("DELETE FROM snapshots WHERE size_bytes IS NULL")
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// One snapshot.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn snapshot_by_id(
        &self,
        id: SnapshotId,
    ) -> Result<Option<StoredSnapshot>, Error> {
        let found = sqlx::query("SELECT * FROM snapshots WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        found.as_ref().map(snapshot).transpose()
    }

    /// Snapshots that were taken, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn snapshots(
        &self,
        user: Option<UserId>,
        sandbox: Option<SandboxId>,
        before: Option<SnapshotId>,
        limit: u32,
    ) -> Result<Vec<StoredSnapshot>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM snapshots WHERE size_bytes IS NOT NULL \
             AND ($1 = '' OR user_id = $1) AND ($2 = '' OR sandbox_id = $2) AND ($3 = '' OR id < $3) \
             ORDER BY id DESC LIMIT $4",
        )
        .bind(user.map(|id| id.to_string()).unwrap_or_default())
        .bind(sandbox.map(|id| id.to_string()).unwrap_or_default())
        .bind(before.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(snapshot).collect()
    }

    /// Every snapshot that a host is to keep, those that are being taken too.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn snapshots_on(&self, host: SandboxHostId) -> Result<Vec<SnapshotId>, Error> {
        let rows = sqlx::query("SELECT id FROM snapshots WHERE host_id = $1 ORDER BY id")
            .bind(host.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(|found| row::parsed(found, "id")).collect()
    }
}

fn snapshot(found: &AnyRow) -> Result<StoredSnapshot, Error> {
    Ok(StoredSnapshot {
        id: row::parsed(found, "id")?,
        user_id: row::parsed(found, "user_id")?,
        host_id: row::parsed(found, "host_id")?,
        sandbox_id: row::parsed(found, "sandbox_id")?,
        name: row::text(found, "name")?,
        spec: row::json(found, "spec")?,
        size_bytes: row::number_or_none(found, "size_bytes")?,
        created_at_ms: row::number(found, "created_at_ms")?,
    })
}
