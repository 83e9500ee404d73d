//! Users, browsers that are signed in, and one-time links.

use helix_proto::{
    UserId,
    auth::{Role, User},
};
use sqlx::any::AnyRow;

use super::{Error, Store, Transaction, row};

/// A user and the hash of its password.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: String,
}

fn account(row: &AnyRow) -> Result<Account, Error> {
    Ok(Account {
        user: User {
            id: row::parsed(row, "id")?,
            email: row::text(row, "email")?,
            name: row::text(row, "name")?,
            role: row::variant(row, "role")?,
            created_at_ms: row::number(row, "created_at_ms")?,
        },
        password_hash: row::text(row, "password_hash")?,
    })
}

/// A role as it is stored.
const fn role(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
    }
}

impl Store {
    /// Whether nobody has an account yet.
    pub(crate) async fn has_no_user(&self) -> Result<bool, Error> {
        Ok(sqlx::query("SELECT id FROM users LIMIT 1")
            .fetch_optional(self.pool())
            .await?
            .is_none())
    }

    /// The account of this id.
    pub(crate) async fn account(&self, id: UserId) -> Result<Option<Account>, Error> {
        let found = sqlx::query("SELECT * FROM users WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        found.as_ref().map(account).transpose()
    }

    /// The account of this address, in lower case.
    pub(crate) async fn account_by_email(&self, email: &str) -> Result<Option<Account>, Error> {
        let found = sqlx::query("SELECT * FROM users WHERE email = $1")
            .bind(email)
            .fetch_optional(self.pool())
            .await?;
        found.as_ref().map(account).transpose()
    }

    /// Changes what a user is called.
    pub(crate) async fn rename_user(&self, id: UserId, name: &str) -> Result<(), Error> {
        sqlx::query("UPDATE users SET name = $1 WHERE id = $2")
            .bind(name)
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Changes a password, and signs out all browsers of the user but `keep`.
    pub(crate) async fn change_password(
        &self,
        id: UserId,
        password_hash: &str,
        keep: Option<&str>,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE users SET password_hash = $1 WHERE id = $2")
            .bind(password_hash)
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM sign_ins WHERE user_id = $1 AND token_hash <> $2")
            .bind(id.to_string())
            .bind(keep.unwrap_or_default())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Signs a browser out.
    pub(crate) async fn remove_sign_in(&self, token_hash: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM sign_ins WHERE token_hash = $1")
            .bind(token_hash)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Replaces the set-up link.
    pub(crate) async fn set_setup_link(&self, hash: &str, expires_at_ms: u64) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM one_time_links WHERE user_id IS NULL")
            .execute(&mut *transaction)
            .await?;
        insert_link(&mut transaction, hash, None, expires_at_ms).await?;
        Ok(transaction.commit().await?)
    }

    /// Makes a sign-in link, and forgets links that have ended.
    pub(crate) async fn add_sign_in_link(
        &self,
        hash: &str,
        user: UserId,
        now_ms: u64,
        expires_at_ms: u64,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM one_time_links WHERE expires_at_ms <= $1")
            .bind(row::to_i64(now_ms))
            .execute(&mut *transaction)
            .await?;
        insert_link(&mut transaction, hash, Some(user), expires_at_ms).await?;
        Ok(transaction.commit().await?)
    }

    /// Whether this is a set-up link that still works.
    pub(crate) async fn is_setup_link(&self, hash: &str, now_ms: u64) -> Result<bool, Error> {
        let found = sqlx::query(
            "SELECT 1 FROM one_time_links
             WHERE token_hash = $1 AND user_id IS NULL AND expires_at_ms > $2",
        )
        .bind(hash)
        .bind(row::to_i64(now_ms))
        .fetch_optional(self.pool())
        .await?;
        Ok(found.is_some())
    }
}

async fn insert_link(
    transaction: &mut Transaction,
    hash: &str,
    user: Option<UserId>,
    expires_at_ms: u64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO one_time_links (token_hash, user_id, expires_at_ms) VALUES ($1, $2, $3)",
    )
    .bind(hash)
    .bind(user.map(|user| user.to_string()))
    .bind(row::to_i64(expires_at_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Uses a link up: whether it was there and still worked, and for whom it is.
pub(crate) async fn use_link(
    transaction: &mut Transaction,
    hash: &str,
    now_ms: u64,
) -> Result<Option<Option<UserId>>, Error> {
    let found = sqlx::query(
        "DELETE FROM one_time_links WHERE token_hash = $1 AND expires_at_ms > $2 RETURNING user_id",
    )
    .bind(hash)
    .bind(row::to_i64(now_ms))
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let user = row::text_or_none(&found, "user_id")?;
    let user = user
        .map(|user| user.parse())
        .transpose()
        .map_err(|error| row::corrupt("user_id", &error))?;
    Ok(Some(user))
}

/// Adds an account.
pub(crate) async fn insert_user(
    transaction: &mut Transaction,
    user: &User,
    password_hash: &str,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO users (id, email, name, role, password_hash, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(user.id.to_string())
    .bind(&user.email)
    .bind(&user.name)
    .bind(role(user.role))
    .bind(password_hash)
    .bind(row::to_i64(user.created_at_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The account of this id, within a transaction.
pub(crate) async fn account_within(
    transaction: &mut Transaction,
    id: UserId,
) -> Result<Option<Account>, Error> {
    let found = sqlx::query("SELECT * FROM users WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    found.as_ref().map(account).transpose()
}

/// Signs a browser in, and forgets sign-ins that have ended.
pub(crate) async fn insert_sign_in(
    transaction: &mut Transaction,
    user: UserId,
    token_hash: &str,
    now_ms: u64,
    expires_at_ms: u64,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM sign_ins WHERE expires_at_ms <= $1")
        .bind(row::to_i64(now_ms))
        .execute(&mut **transaction)
        .await?;
    sqlx::query(
        "INSERT INTO sign_ins (token_hash, user_id, created_at_ms, expires_at_ms)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(token_hash)
    .bind(user.to_string())
    .bind(row::to_i64(now_ms))
    .bind(row::to_i64(expires_at_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
