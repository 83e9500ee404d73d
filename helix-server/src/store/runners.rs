//! Runners and join tokens.

use helix_proto::{
    JoinTokenId, RunnerId,
    fleet::{JoinToken, MachineRole},
    runner::RunnerInfo,
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{Error, Store, Transaction, row};

/// A registered runner, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRunner {
    /// Its id.
    pub id: RunnerId,
    /// What people call it.
    pub name: String,
    /// A person told it to take nothing new.
    pub draining: bool,
    /// When it was registered.
    pub created_at_ms: u64,
    /// When it was last heard of.
    pub last_seen_at_ms: Option<u64>,
    /// What it last said about itself.
    pub info: Option<RunnerInfo>,
}

impl StoredRunner {
    /// A runner that was never heard of.
    pub const fn new(id: RunnerId, name: String, created_at_ms: u64) -> Self {
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
    /// The runner that a credential with this hash belongs to.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn runner_by_credential(&self, hash: &str) -> Result<Option<RunnerId>, Error> {
        let found = sqlx::query("SELECT id FROM runners WHERE credential_hash = $1")
            .bind(hash)
            .fetch_optional(self.pool())
            .await?;
        found
            .as_ref()
            .map(|found| row::parsed(found, "id"))
            .transpose()
    }

    /// All runners, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn runners(&self) -> Result<Vec<StoredRunner>, Error> {
        let rows = sqlx::query(
            "SELECT id, name, draining, created_at_ms, last_seen_at_ms, info \
             FROM runners ORDER BY id",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(runner).collect()
    }

    /// Registers a runner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn insert_runner(
        &self,
        runner: &StoredRunner,
        credential_hash: &str,
    ) -> Result<(), Error> {
        let mut connection = self.pool().acquire().await?;
        insert_runner(&mut connection, runner, credential_hash).await
    }

    /// Forgets a runner and its credential. Whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete_runner(&self, id: RunnerId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM runners WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a runner another credential. Whether there is such a runner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn set_runner_credential(&self, id: RunnerId, hash: &str) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE runners SET credential_hash = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(hash)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes whether a runner is to take nothing new. Whether there is such a runner.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn set_runner_draining(&self, id: RunnerId, draining: bool) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE runners SET draining = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(i64::from(draining))
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes what a runner said about itself, and when.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn note_runner(
        &self,
        id: RunnerId,
        info: &RunnerInfo,
        now_ms: u64,
    ) -> Result<(), Error> {
        sqlx::query("UPDATE runners SET info = $2, last_seen_at_ms = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(row::to_json(info)?)
            .bind(row::to_i64(now_ms))
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// All join tokens, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn join_tokens(&self) -> Result<Vec<JoinToken>, Error> {
        let rows = sqlx::query(
            "SELECT id, name, role, uses, max_uses, created_at_ms, expires_at_ms \
             FROM join_tokens ORDER BY id DESC",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(join_token).collect()
    }

    /// Makes a join token.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn insert_join_token(&self, token: &JoinToken, hash: &str) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO join_tokens \
             (id, name, secret_hash, role, uses, max_uses, created_at_ms, expires_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(token.id.to_string())
        .bind(&token.name)
        .bind(hash)
        .bind(role(token.role))
        .bind(i64::from(token.uses))
        .bind(i64::from(token.max_uses))
        .bind(row::to_i64(token.created_at_ms))
        .bind(row::to_i64(token.expires_at_ms))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Forgets a join token; runners that used it stay. Whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete_join_token(&self, id: JoinTokenId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM join_tokens WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Uses a join token once and registers the runner with it, or neither.
    /// Whether the token was good.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn join_runner(
        &self,
        token_hash: &str,
        runner: &StoredRunner,
        credential_hash: &str,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let now_ms = runner.created_at_ms;
        if !use_join_token(&mut transaction, token_hash, MachineRole::Runner, now_ms).await? {
            return Ok(false);
        }
        insert_runner(&mut transaction, runner, credential_hash).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

const fn role(role: MachineRole) -> &'static str {
    match role {
        MachineRole::Runner => "runner",
        MachineRole::SandboxHost => "sandbox_host",
    }
}

/// Uses a join token once. Whether it was good, for a machine of this role.
pub(super) async fn use_join_token(
    transaction: &mut Transaction,
    token_hash: &str,
    wanted: MachineRole,
    now_ms: u64,
) -> Result<bool, Error> {
    let used = sqlx::query(
        "UPDATE join_tokens SET uses = uses + 1 \
         WHERE secret_hash = $1 AND role = $2 AND uses < max_uses AND expires_at_ms > $3",
    )
    .bind(token_hash)
    .bind(role(wanted))
    .bind(row::to_i64(now_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(used.rows_affected() > 0)
}

async fn insert_runner(
    connection: &mut AnyConnection,
    runner: &StoredRunner,
    credential_hash: &str,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO runners (id, name, credential_hash, draining, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(runner.id.to_string())
    .bind(&runner.name)
    .bind(credential_hash)
    .bind(i64::from(runner.draining))
    .bind(row::to_i64(runner.created_at_ms))
    .execute(connection)
    .await?;
    Ok(())
}

fn runner(found: &AnyRow) -> Result<StoredRunner, Error> {
    let info = row::text_or_none(found, "info")?;
    Ok(StoredRunner {
        id: row::parsed(found, "id")?,
        name: row::text(found, "name")?,
        draining: row::flag(found, "draining")?,
        created_at_ms: row::number(found, "created_at_ms")?,
        last_seen_at_ms: row::number_or_none(found, "last_seen_at_ms")?,
        // What an older version wrote is told anew as soon as the runner connects.
        info: info.and_then(|info| serde_json::from_str(&info).ok()),
    })
}

fn join_token(found: &AnyRow) -> Result<JoinToken, Error> {
    let count =
        |column| Ok::<_, Error>(u32::try_from(row::number(found, column)?).unwrap_or(u32::MAX));
    Ok(JoinToken {
        id: row::parsed(found, "id")?,
        name: row::text(found, "name")?,
        role: row::variant(found, "role")?,
        uses: count("uses")?,
        max_uses: count("max_uses")?,
        created_at_ms: row::number(found, "created_at_ms")?,
        expires_at_ms: row::number(found, "expires_at_ms")?,
    })
}
