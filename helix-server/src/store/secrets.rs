//! Users' secrets, and which of them sandboxes are given.

use helix_proto::{
    SandboxHostId, SandboxId, UserId,
    secret::{Secret, SecretKind},
};
use sqlx::any::AnyRow;

use super::{
    Error, Store, row,
    sandboxes::{StoredSandbox, read},
};

/// A secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredSecret {
    /// Whose it is.
    pub(crate) user_id: UserId,
    /// What people see of it.
    pub(crate) shown: Secret,
    /// Its value, sealed.
    pub(crate) sealed: String,
}

impl Store {
    /// Adds a secret or changes one, unless it would be one more than `most`. Whether
    /// there was room.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn put_secret(&self, secret: &StoredSecret, most: u64) -> Result<bool, Error> {
        let user = secret.user_id.to_string();
        let mut transaction = self.begin().await?;
        // Takes the user's lock, so that two do not both find the last free place.
        sqlx::query("UPDATE users SET name = name WHERE id = $1")
            .bind(&user)
            .execute(&mut *transaction)
            .await?;
        let others = sqlx::query(
            "SELECT COUNT(*) AS others FROM user_secrets WHERE user_id = $1 AND name <> $2",
        )
        .bind(&user)
        .bind(&secret.shown.name)
        .fetch_one(&mut *transaction)
        .await?;
        if row::number(&others, "others")? >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO user_secrets (user_id, name, kind, sealed, hint, created_at_ms, updated_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) \
             ON CONFLICT (user_id, name) DO UPDATE SET kind = excluded.kind, \
             sealed = excluded.sealed, hint = excluded.hint, updated_at_ms = excluded.updated_at_ms",
        )
        .bind(&user)
        .bind(&secret.shown.name)
        .bind(row::to_json(&secret.shown.kind)?)
        .bind(&secret.sealed)
        .bind(&secret.shown.hint)
        .bind(row::to_i64(secret.shown.updated_at_ms))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// A user's secrets, by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn secrets(&self, user: UserId) -> Result<Vec<StoredSecret>, Error> {
        let rows = sqlx::query("SELECT * FROM user_secrets WHERE user_id = $1 ORDER BY name")
            .bind(user.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(secret).collect()
    }

    /// Deletes a secret; no sandbox is given it any more. Whether it was there.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn delete_secret(&self, user: UserId, name: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM user_secrets WHERE user_id = $1 AND name = $2")
            .bind(user.to_string())
            .bind(name)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The secrets that a sandbox is given, by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn secrets_of_sandbox(
        &self,
        sandbox: SandboxId,
    ) -> Result<Vec<StoredSecret>, Error> {
        let rows = sqlx::query(
            "SELECT user_secrets.* FROM user_secrets JOIN sandbox_secrets \
             ON sandbox_secrets.user_id = user_secrets.user_id \
             AND sandbox_secrets.name = user_secrets.name \
             WHERE sandbox_secrets.sandbox_id = $1 ORDER BY user_secrets.name",
        )
        .bind(sandbox.to_string())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(secret).collect()
    }

    /// Has a sandbox be given these of its user's secrets and no others. Those that the
    /// user does not have are not given.
    ///
    /// # Errors
    /// When the database cannot be asked, or the sandbox is gone.
    pub(crate) async fn set_sandbox_secrets(
        &self,
        sandbox: SandboxId,
        user: UserId,
        names: &[String],
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM sandbox_secrets WHERE sandbox_id = $1")
            .bind(sandbox.to_string())
            .execute(&mut *transaction)
            .await?;
        for name in names {
            sqlx::query(
                "INSERT INTO sandbox_secrets (sandbox_id, user_id, name) \
                 SELECT $1, user_id, name FROM user_secrets WHERE user_id = $2 AND name = $3",
            )
            .bind(sandbox.to_string())
            .bind(user.to_string())
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The sandboxes of a host that are given any secret.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sandboxes_with_secrets(
        &self,
        host: SandboxHostId,
    ) -> Result<Vec<StoredSandbox>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM sandboxes WHERE host_id = $1 \
             AND id IN (SELECT sandbox_id FROM sandbox_secrets)",
        )
        .bind(host.to_string())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read::sandbox).collect()
    }

    /// The sandboxes that are given a secret.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sandboxes_with_secret(
        &self,
        user: UserId,
        name: &str,
    ) -> Result<Vec<SandboxId>, Error> {
        let rows =
            sqlx::query("SELECT sandbox_id FROM sandbox_secrets WHERE user_id = $1 AND name = $2")
                .bind(user.to_string())
                .bind(name)
                .fetch_all(self.pool())
                .await?;
        rows.iter()
            .map(|found| row::parsed(found, "sandbox_id"))
            .collect()
    }
}

fn secret(found: &AnyRow) -> Result<StoredSecret, Error> {
    let kind: SecretKind = row::json(found, "kind")?;
    Ok(StoredSecret {
        user_id: row::parsed(found, "user_id")?,
        shown: Secret {
            name: row::text(found, "name")?,
            kind,
            hint: row::text(found, "hint")?,
            created_at_ms: row::number(found, "created_at_ms")?,
            updated_at_ms: row::number(found, "updated_at_ms")?,
        },
        sealed: row::text(found, "sealed")?,
    })
}
