//! Keys bound to sessions, and what was asked of models with them.

use std::sync::Arc;

use helix_proto::{SessionId, session::ModelUsage};

use super::{Error, Store, row};
use crate::auth::{Credential, Identity};

impl Store {
    /// Makes the key of a session; one that it had is worth nothing any more.
    ///
    /// # Errors
    /// When the database cannot be asked, or the session is not there.
    pub(crate) async fn put_session_key(
        &self,
        session: SessionId,
        secret_hash: &str,
        now_ms: u64,
    ) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO session_keys (session_id, secret_hash, created_at_ms) VALUES ($1, $2, $3)
             ON CONFLICT (session_id) DO UPDATE
             SET secret_hash = excluded.secret_hash, created_at_ms = excluded.created_at_ms",
        )
        .bind(session.to_string())
        .bind(secret_hash)
        .bind(row::to_i64(now_ms))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Ends the key of a session.
    pub(crate) async fn remove_session_key(&self, session: SessionId) -> Result<(), Error> {
        sqlx::query("DELETE FROM session_keys WHERE session_id = $1")
            .bind(session.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Whose session it is, by the hash of its key, and the model that it has.
    pub(crate) async fn session_key_by_hash(&self, hash: &str) -> Result<Option<Identity>, Error> {
        let found = sqlx::query(
            "SELECT sessions.id AS id, sessions.user_id AS user_id, sessions.model AS model, role
             FROM session_keys JOIN sessions ON sessions.id = session_keys.session_id
             JOIN users ON users.id = sessions.user_id WHERE secret_hash = $1",
        )
        .bind(hash)
        .fetch_optional(self.pool())
        .await?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(Identity {
            user_id: row::parsed(&found, "user_id")?,
            role: row::variant(&found, "role")?,
            credential: Credential::SessionKey {
                session: row::parsed(&found, "id")?,
                model: row::text(&found, "model")?.into(),
            },
            secret_hash: Arc::from(hash),
        }))
    }

    /// Adds to what was asked with the keys of sessions; those that are gone are left out.
    pub(crate) async fn add_model_usage(
        &self,
        counted: &[(SessionId, ModelUsage)],
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        for (session, usage) in counted {
            sqlx::query(
                "INSERT INTO session_model_usage (session_id, requests, prompt_tokens, completion_tokens)
                 SELECT id, $2, $3, $4 FROM sessions WHERE id = $1
                 ON CONFLICT (session_id) DO UPDATE SET
                 requests = session_model_usage.requests + excluded.requests,
                 prompt_tokens = session_model_usage.prompt_tokens + excluded.prompt_tokens,
                 completion_tokens = session_model_usage.completion_tokens + excluded.completion_tokens",
            )
            .bind(session.to_string())
            .bind(row::to_i64(usage.requests))
            .bind(row::to_i64(usage.prompt_tokens))
            .bind(row::to_i64(usage.completion_tokens))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// What was asked with the keys of a session.
    pub(crate) async fn model_usage(&self, session: SessionId) -> Result<ModelUsage, Error> {
        let found = sqlx::query("SELECT * FROM session_model_usage WHERE session_id = $1")
            .bind(session.to_string())
            .fetch_optional(self.pool())
            .await?;
        let Some(found) = found else {
            return Ok(ModelUsage::default());
        };
        Ok(ModelUsage {
            requests: row::number(&found, "requests")?,
            prompt_tokens: row::number(&found, "prompt_tokens")?,
            completion_tokens: row::number(&found, "completion_tokens")?,
        })
    }
}
