//! Machines that host sandboxes.

use helix_proto::{SandboxHostId, fleet::MachineRole, sandbox::host::HostInfo};
use sqlx::{AnyConnection, any::AnyRow};

use super::{Error, Store, row, runners::use_join_token};

/// A registered host, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHost {
    /// Its id.
    pub id: SandboxHostId,
    /// What people call it.
    pub name: String,
    /// A person told it to take nothing new.
    pub draining: bool,
    /// When it was registered.
    pub created_at_ms: u64,
    /// When it was last heard of.
    pub last_seen_at_ms: Option<u64>,
    /// What it last said about itself.
    pub info: Option<HostInfo>,
}

impl StoredHost {
    /// A host that was never heard of.
    pub const fn new(id: SandboxHostId, name: String, created_at_ms: u64) -> Self {
        Self {
            id,
            name,
            draining: false,
            created_at_ms,
            last_seen_at_ms: None,
            info: None,
        }
    }
}

impl Store {
    /// The host that a credential with this hash belongs to.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn sandbox_host_by_credential(
        &self,
        hash: &str,
    ) -> Result<Option<SandboxHostId>, Error> {
        let found = sqlx::query("SELECT id FROM sandbox_hosts WHERE credential_hash = $1")
            .bind(hash)
            .fetch_optional(self.pool())
            .await?;
        found
            .as_ref()
            .map(|found| row::parsed(found, "id"))
            .transpose()
    }

    /// All hosts, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn sandbox_hosts(&self) -> Result<Vec<StoredHost>, Error> {
        let rows = sqlx::query(
            "SELECT id, name, draining, created_at_ms, last_seen_at_ms, info \
             FROM sandbox_hosts ORDER BY id",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(host).collect()
    }

    /// Registers a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn insert_sandbox_host(&self, host: &StoredHost, hash: &str) -> Result<(), Error> {
        let mut connection = self.pool().acquire().await?;
        insert_host(&mut connection, host, hash).await
    }

    /// Uses a join token once and registers the host with it, or neither.
    /// Whether the token was good.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn join_sandbox_host(
        &self,
        token_hash: &str,
        host: &StoredHost,
        hash: &str,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let (role, now_ms) = (MachineRole::SandboxHost, host.created_at_ms);
        if !use_join_token(&mut transaction, token_hash, role, now_ms).await? {
            return Ok(false);
        }
        insert_host(&mut transaction, host, hash).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Forgets a host, its credential, its sandboxes and snapshots. Whether there was
    /// one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete_sandbox_host(&self, id: SandboxHostId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM sandbox_hosts WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a host another credential. Whether there is such a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn set_sandbox_host_credential(
        &self,
        id: SandboxHostId,
        hash: &str,
    ) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE sandbox_hosts SET credential_hash = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(hash)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Changes what people call a host. Whether there is such a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn rename_sandbox_host(&self, id: SandboxHostId, name: &str) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE sandbox_hosts SET name = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(name)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes whether a host is to take nothing new. Whether there is such a host.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn set_sandbox_host_draining(
        &self,
        id: SandboxHostId,
        draining: bool,
    ) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE sandbox_hosts SET draining = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(i64::from(draining))
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes what a host said about itself, and when.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn note_sandbox_host(
        &self,
        id: SandboxHostId,
        info: &HostInfo,
        now_ms: u64,
    ) -> Result<(), Error> {
        sqlx::query("UPDATE sandbox_hosts SET info = $2, last_seen_at_ms = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(row::to_json(info)?)
            .bind(row::to_i64(now_ms))
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

async fn insert_host(
    connection: &mut AnyConnection,
    host: &StoredHost,
    hash: &str,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO sandbox_hosts (id, name, credential_hash, draining, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(host.id.to_string())
    .bind(&host.name)
    .bind(hash)
    .bind(i64::from(host.draining))
    .bind(row::to_i64(host.created_at_ms))
    .execute(connection)
    .await?;
    Ok(())
}

fn host(found: &AnyRow) -> Result<StoredHost, Error> {
    let info = row::text_or_none(found, "info")?;
    Ok(StoredHost {
        id: row::parsed(found, "id")?,
        name: row::text(found, "name")?,
        draining: row::flag(found, "draining")?,
        created_at_ms: row::number(found, "created_at_ms")?,
        last_seen_at_ms: row::number_or_none(found, "last_seen_at_ms")?,
        // What an older version wrote is told anew as soon as the host connects.
        info: info.and_then(|info| serde_json::from_str(&info).ok()),
    })
}
