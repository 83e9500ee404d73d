//! Registered models and what they were measured to need.

use helix_proto::{ModelId, model::Model};
use helix_scheduler::{DeviceClass, LearnedNeed};
use sqlx::any::AnyRow;

use super::{Error, Store, row};

/// What was learned about a model's need, under the settings it was learned with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNeed {
    /// The model.
    pub model: ModelId,
    /// Changes with everything that the need depends on.
    pub memory_key: String,
    /// The devices it was learned on.
    pub class: DeviceClass,
    /// What was learned.
    pub need: LearnedNeed,
}

/// What the header of a model's weights says that it needs on each device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEstimate {
    /// The model.
    pub model: ModelId,
    /// Changes with everything that the estimate depends on.
    pub memory_key: String,
    /// Absent where nothing can be known before a start.
    pub bytes_per_device: Option<u64>,
}

impl Store {
    /// All registered models; what they need and run is not in them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let rows = sqlx::query(
            "SELECT id, name, description, engine, source, settings, is_default, created_at_ms \
             FROM models ORDER BY name",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(model).collect()
    }

    /// Registers a model. If it is to be the default, the one until now is not.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the name is taken.
    pub async fn insert_model(&self, model: &Model) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        if model.default {
            sqlx::query("UPDATE models SET is_default = 0 WHERE is_default = 1")
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(
            "INSERT INTO models \
             (id, name, description, engine, source, settings, is_default, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(model.id.to_string())
        .bind(&model.name)
        .bind(&model.description)
        .bind(model.engine.as_str())
        .bind(row::to_json(&model.source)?)
        .bind(row::to_json(&model.settings)?)
        .bind(i64::from(model.default))
        .bind(row::to_i64(model.created_at_ms))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets a model. Whether there was one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete_model(&self, id: ModelId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM models WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Everything that was learned about what models need.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn learned_needs(&self) -> Result<Vec<StoredNeed>, Error> {
        let rows = sqlx::query("SELECT model_id, memory_key, device_class, need FROM model_memory")
            .fetch_all(self.pool())
            .await?;
        let read = |found: &AnyRow| {
            Ok(StoredNeed {
                model: row::parsed(found, "model_id")?,
                memory_key: row::text(found, "memory_key")?,
                class: DeviceClass(row::text(found, "device_class")?),
                need: row::json(found, "need")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Keeps what was learned, in place of what was known before. Nothing is kept
    /// for a model that is no longer registered.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn keep_need(&self, need: &StoredNeed, now_ms: u64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO model_memory (model_id, memory_key, device_class, need, updated_at_ms) \
             SELECT id, $2, $3, $4, $5 FROM models WHERE id = $1 \
             ON CONFLICT (model_id, memory_key, device_class) \
             DO UPDATE SET need = excluded.need, updated_at_ms = excluded.updated_at_ms",
        )
        .bind(need.model.to_string())
        .bind(&need.memory_key)
        .bind(&need.class.0)
        .bind(row::to_json(&need.need)?)
        .bind(row::to_i64(now_ms))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Everything that was read from headers of weights.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn estimates(&self) -> Result<Vec<StoredEstimate>, Error> {
        let rows =
            sqlx::query("SELECT model_id, memory_key, bytes_per_device FROM model_estimates")
                .fetch_all(self.pool())
                .await?;
        let read = |found: &AnyRow| {
            Ok(StoredEstimate {
                model: row::parsed(found, "model_id")?,
                memory_key: row::text(found, "memory_key")?,
                bytes_per_device: row::number_or_none(found, "bytes_per_device")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Keeps an estimate, in place of an earlier one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn keep_estimate(&self, estimate: &StoredEstimate, now_ms: u64) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO model_estimates (model_id, memory_key, bytes_per_device, updated_at_ms) \
             SELECT id, $2, CAST($3 AS BIGINT), $4 FROM models WHERE id = $1 \
             ON CONFLICT (model_id, memory_key) DO UPDATE SET \
             bytes_per_device = excluded.bytes_per_device, updated_at_ms = excluded.updated_at_ms",
        )
        .bind(estimate.model.to_string())
        .bind(&estimate.memory_key)
        .bind(estimate.bytes_per_device.map(row::to_i64))
        .bind(row::to_i64(now_ms))
        .execute(self.pool())
        .await?;
        Ok(())
    }
}

fn model(found: &AnyRow) -> Result<Model, Error> {
    Ok(Model {
        id: row::parsed(found, "id")?,
        name: row::text(found, "name")?,
        description: row::text(found, "description")?,
        engine: row::variant(found, "engine")?,
        source: row::json(found, "source")?,
        settings: row::json(found, "settings")?,
        default: row::flag(found, "is_default")?,
        created_at_ms: row::number(found, "created_at_ms")?,
        memory: None,
        ready_instances: 0,
        starting_instances: 0,
    })
}
