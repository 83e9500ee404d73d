//! What opens a server in a sandbox at an origin of its own, for one browser.

use super::{Error, Store, row};
use crate::sandboxes::origins::PortOrigin;

/// A token or a cookie, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortPass {
    /// The hash of it.
    pub(crate) hash: String,
    /// The hash of the cookie of the sign-in behind it.
    pub(crate) sign_in: String,
    /// What it opens.
    pub(crate) at: PortOrigin,
    /// When it ends.
    pub(crate) expires_at_ms: u64,
}

/// Passes of one sign-in that are kept; more, and the oldest end.
const MOST: i64 = 256;

impl Store {
    /// Keeps a token, which the browser that has `state` may use once. Forgets what ended.
    ///
    /// # Errors
    /// When the database cannot be asked, or the sign-in or the sandbox is gone.
    pub(crate) async fn add_port_token(
        &self,
        pass: &PortPass,
        state: &str,
        now_ms: u64,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "DELETE FROM port_passes WHERE expires_at_ms <= $1 OR token_hash IN \
             (SELECT token_hash FROM port_passes WHERE sign_in_hash = $2 \
              ORDER BY created_at_ms DESC, token_hash LIMIT $3 OFFSET $4)",
        )
        .bind(row::to_i64(now_ms))
        .bind(&pass.sign_in)
        .bind(i64::from(u32::MAX))
        .bind(MOST - 1)
        .execute(&mut *transaction)
        .await?;
        insert(&mut transaction, pass, Some(state), now_ms).await?;
        Ok(transaction.commit().await?)
    }

    /// Takes a token: it is worth nothing any more. Whether it was one for this server, for a
    /// browser that has one of these states, and had not ended; `cookie` of the sign-in
    /// behind it takes its place then.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn redeem_port_token(
        &self,
        token: &str,
        states: &[String],
        cookie: impl FnOnce(String) -> PortPass,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let found = sqlx::query(
            "DELETE FROM port_passes WHERE token_hash = $1 AND state_hash IS NOT NULL RETURNING *",
        )
        .bind(token)
        .fetch_optional(&mut *transaction)
        .await?;
        let good = match found {
            None => None,
            Some(found) => {
                let pass = cookie(row::text(&found, "sign_in_hash")?);
                let good = states.contains(&row::text(&found, "state_hash")?)
                    && is_for(&found, pass.at)?
                    && row::number(&found, "expires_at_ms")? > now_ms;
                good.then_some(pass)
            }
        };
        if let Some(pass) = &good {
            insert(&mut transaction, pass, None, now_ms).await?;
        }
        transaction.commit().await?;
        Ok(good.is_some())
    }

    /// The hash of the sign-in behind a cookie for a server.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn port_cookie(
        &self,
        hash: &str,
        at: PortOrigin,
        now_ms: u64,
    ) -> Result<Option<String>, Error> {
        let found = sqlx::query(
            "SELECT * FROM port_passes WHERE token_hash = $1 AND state_hash IS NULL AND expires_at_ms > $2",
        )
        .bind(hash)
        .bind(row::to_i64(now_ms))
        .fetch_optional(self.pool())
        .await?;
        match found {
            Some(found) if is_for(&found, at)? => Ok(Some(row::text(&found, "sign_in_hash")?)),
            _ => Ok(None),
        }
    }
}

fn is_for(found: &sqlx::any::AnyRow, at: PortOrigin) -> Result<bool, Error> {
    let port: u64 = row::number(found, "port")?;
    Ok(row::text(found, "sandbox_id")? == at.sandbox.to_string() && port == u64::from(at.port))
}

async fn insert(
    transaction: &mut super::Transaction,
    pass: &PortPass,
    state: Option<&str>,
    now_ms: u64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO port_passes (token_hash, state_hash, sign_in_hash, sandbox_id, port, created_at_ms, expires_at_ms) \
         VALUES ($1, CAST($2 AS TEXT), $3, $4, $5, $6, $7)",
    )
    .bind(&pass.hash)
    .bind(state)
    .bind(&pass.sign_in)
    .bind(pass.at.sandbox.to_string())
    .bind(i64::from(pass.at.port))
    .bind(row::to_i64(now_ms))
    .bind(row::to_i64(pass.expires_at_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
