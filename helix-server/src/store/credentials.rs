//! What proves who is calling: browsers that are signed in, API keys.

use std::{collections::BTreeSet, sync::Arc};

use helix_proto::{
    ApiKeyId, UserId,
    auth::{ApiKey, Scope},
};
use sqlx::any::AnyRow;

use super::{Error, Store, row};
use crate::auth::{Credential, Identity};

impl Store {
    /// The user of a browser that is signed in, by the hash of its cookie.
    pub(crate) async fn sign_in(&self, hash: &str) -> Result<Option<Identity>, Error> {
        let found = sqlx::query(
            "SELECT user_id, role, expires_at_ms FROM sign_ins
             JOIN users ON users.id = sign_ins.user_id WHERE token_hash = $1",
        )
        .bind(hash)
        .fetch_optional(self.pool())
        .await?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(Identity {
            user_id: row::parsed(&found, "user_id")?,
            role: row::variant(&found, "role")?,
            credential: Credential::SignIn {
                expires_at_ms: row::number(&found, "expires_at_ms")?,
            },
            secret_hash: Arc::from(hash),
        }))
    }

    /// The user of an API key, by the key's hash, and when it was last used.
    pub(crate) async fn api_key_by_hash(
        &self,
        hash: &str,
    ) -> Result<Option<(Identity, Option<u64>)>, Error> {
        let found = sqlx::query(
            "SELECT api_keys.id AS id, user_id, role, scopes, expires_at_ms, last_used_at_ms
             FROM api_keys JOIN users ON users.id = api_keys.user_id WHERE secret_hash = $1",
        )
        .bind(hash)
        .fetch_optional(self.pool())
        .await?;
        let Some(found) = found else { return Ok(None) };
        let scopes: BTreeSet<Scope> = row::json(&found, "scopes")?;
        let identity = Identity {
            user_id: row::parsed(&found, "user_id")?,
            role: row::variant(&found, "role")?,
            credential: Credential::ApiKey {
                id: row::parsed(&found, "id")?,
                scopes: Arc::new(scopes),
                expires_at_ms: row::number_or_none(&found, "expires_at_ms")?,
            },
            secret_hash: Arc::from(hash),
        };
        Ok(Some((
            identity,
            row::number_or_none(&found, "last_used_at_ms")?,
        )))
    }

    /// Notes that a key was used.
    pub(crate) async fn touch_api_key(&self, id: ApiKeyId, now_ms: u64) -> Result<(), Error> {
        sqlx::query("UPDATE api_keys SET last_used_at_ms = $1 WHERE id = $2")
            .bind(row::to_i64(now_ms))
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The keys of a user, newest first.
    pub(crate) async fn api_keys(&self, user: UserId) -> Result<Vec<ApiKey>, Error> {
        let found = sqlx::query("SELECT * FROM api_keys WHERE user_id = $1 ORDER BY id DESC")
            .bind(user.to_string())
            .fetch_all(self.pool())
            .await?;
        found.iter().map(api_key).collect()
    }

    /// Adds a key, unless the user has `most` of them already.
    pub(crate) async fn add_api_key(
        &self,
        user: UserId,
        key: &ApiKey,
        secret_hash: &str,
        most: u64,
    ) -> Result<bool, Error> {
        let scopes =
            serde_json::to_string(&key.scopes).map_err(|error| row::corrupt("scopes", &error))?;
        let mut transaction = self.begin().await?;
        let found = sqlx::query("SELECT COUNT(*) AS n FROM api_keys WHERE user_id = $1")
            .bind(user.to_string())
            .fetch_one(&mut *transaction)
            .await?;
        if row::number(&found, "n")? >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO api_keys (id, user_id, name, hint, secret_hash, scopes, created_at_ms, expires_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(key.id.to_string())
        .bind(user.to_string())
        .bind(&key.name)
        .bind(&key.hint)
        .bind(secret_hash)
        .bind(scopes)
        .bind(row::to_i64(key.created_at_ms))
        .bind(key.expires_at_ms.map(row::to_i64))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Deletes a key of a user; whether it was there.
    pub(crate) async fn remove_api_key(&self, user: UserId, id: ApiKeyId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM api_keys WHERE id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn api_key(row: &AnyRow) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: row::parsed(row, "id")?,
        name: row::text(row, "name")?,
        hint: row::text(row, "hint")?,
        scopes: row::json(row, "scopes")?,
        created_at_ms: row::number(row, "created_at_ms")?,
        last_used_at_ms: row::number_or_none(row, "last_used_at_ms")?,
        expires_at_ms: row::number_or_none(row, "expires_at_ms")?,
    })
}
