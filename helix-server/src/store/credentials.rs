//! What proves who is calling: browsers that are signed in, API keys.

use std::{collections::BTreeSet, sync::Arc};

use helix_proto::{ApiKeyId, auth::Scope};

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
                token_hash: Arc::from(hash),
                expires_at_ms: row::number(&found, "expires_at_ms")?,
            },
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
}
