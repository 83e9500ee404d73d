//! Which keys secrets are sealed with, and all that is sealed.

use sqlx::{AssertSqlSafe, Row as _};

use super::{Error, Store, row};
use crate::seal::SealedColumn;

/// A key that the database's secrets are sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    /// Which it is, in the order in which they came.
    pub(crate) generation: u64,
    /// Its id.
    pub(crate) id: String,
    /// A text that only it opens.
    pub(crate) proof: String,
}

/// A sealed text, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Store {
    /// The keys in use, the one that seals last.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn seal_keys(&self) -> Result<Vec<StoredKey>, Error> {
        let rows = sqlx::query("SELECT * FROM seal_keys ORDER BY generation")
            .fetch_all(self.pool())
            .await?;
        let key = |found: &sqlx::any::AnyRow| {
            Ok(StoredKey {
                generation: row::number(found, "generation")?,
                id: row::text(found, "key_id")?,
                proof: row::text(found, "proof")?,
            })
        };
        rows.iter().map(key).collect()
    }

    /// Notes the key that seals from now on. One that was there before takes this place.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when another one took the place, or when the database cannot
    /// be asked.
    pub(crate) async fn add_seal_key(&self, key: &StoredKey, now_ms: u64) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM seal_keys WHERE key_id = $1")
            .bind(&key.id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO seal_keys (generation, key_id, proof, created_at_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(row::to_i64(key.generation))
        .bind(&key.id)
        .bind(&key.proof)
        .bind(row::to_i64(now_ms))
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// All sealed texts of a column.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn sealed(&self, at: &SealedColumn) -> Result<Vec<SealedRow>, Error> {
        let SealedColumn {
            table,
            id,
            name,
            column,
        } = at;
        let query =
            format!("SELECT {id}, {name}, {column} FROM {table} WHERE {column} IS NOT NULL");
        let rows = sqlx::query(AssertSqlSafe(query))
            .fetch_all(self.pool())
            .await?;
        let read = |found: &sqlx::any::AnyRow| {
            Ok(SealedRow {
                id: row::text(found, id)?,
                name: row::text(found, name)?,
                text: row::text(found, column)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts a text that was sealed anew in the place of the one that was read. How many
    /// that was: none, if it changed meanwhile.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn replace_sealed(
        &self,
        at: &SealedColumn,
        old: &SealedRow,
        anew: &str,
    ) -> Result<u64, Error> {
        let SealedColumn {
            table,
            id,
            name,
            column,
        } = at;
        let query = format!(
            "UPDATE {table} SET {column} = $1 WHERE {id} = $2 AND {name} = $3 AND {column} = $4"
        );
        let done = sqlx::query(AssertSqlSafe(query))
            .bind(anew)
            .bind(&old.id)
            .bind(&old.name)
            .bind(&old.text)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected())
    }

    /// Forgets the keys that nothing is sealed with any more, `current` aside. How many.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn retire_seal_keys(
        &self,
        current: &str,
        columns: &[SealedColumn],
    ) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let mut retired = 0;
        for key in sqlx::query("SELECT key_id FROM seal_keys WHERE key_id <> $1")
            .bind(current)
            .fetch_all(&mut *transaction)
            .await?
        {
            let key = row::text(&key, "key_id")?;
            let mut used = 0_i64;
            for SealedColumn { table, column, .. } in columns {
                let query = format!("SELECT COUNT(*) AS used FROM {table} WHERE {column} LIKE $1");
                let found = sqlx::query(AssertSqlSafe(query))
                    .bind(format!("v1.{key}.%"))
                    .fetch_one(&mut *transaction)
                    .await?;
                used += found.try_get::<i64, _>("used")?;
            }
            if used == 0 {
                retired += sqlx::query("DELETE FROM seal_keys WHERE key_id = $1")
                    .bind(&key)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
            }
        }
        transaction.commit().await?;
        Ok(retired)
    }
}
