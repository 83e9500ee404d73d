//! The catalogue of agents.

use helix_proto::session::{AgentProgram, CatalogueAgent, CatalogueAgentDetails, ModelApi};
use sqlx::any::AnyRow;

use crate::store::{Error, Store, row};

fn agent(found: &AnyRow) -> Result<CatalogueAgentDetails, Error> {
    let program: AgentProgram = row::json(found, "program")?;
    Ok(CatalogueAgentDetails {
        agent: CatalogueAgent {
            installs: !program.install.is_empty(),
            name: row::text(found, "name")?,
            title: row::text(found, "title")?,
            description: row::text(found, "description")?,
            model_api: row::variant(found, "model_api")?,
            built_in: row::flag(found, "built_in")?,
            enabled: row::flag(found, "enabled")?,
        },
        program,
    })
}

const fn model_api_text(api: ModelApi) -> &'static str {
    match api {
        ModelApi::ChatCompletions => "chat_completions",
        ModelApi::Responses => "responses",
        ModelApi::Messages => "messages",
        ModelApi::None => "none",
    }
}

impl Store {
    /// Every agent of the catalogue, by name.
    pub(crate) async fn catalogue(&self) -> Result<Vec<CatalogueAgentDetails>, Error> {
        let found = sqlx::query("SELECT * FROM agents ORDER BY name")
            .fetch_all(self.pool())
            .await?;
        found.iter().map(agent).collect()
    }

    /// One agent of the catalogue.
    pub(crate) async fn catalogue_agent(
        &self,
        name: &str,
    ) -> Result<Option<CatalogueAgentDetails>, Error> {
        let found = sqlx::query("SELECT * FROM agents WHERE name = $1")
            .bind(name)
            .fetch_optional(self.pool())
            .await?;
        found.as_ref().map(agent).transpose()
    }

    /// Puts an agent into the catalogue as an administrator says. One that is built in stays so.
    pub(crate) async fn put_catalogue_agent(
        &self,
        details: &CatalogueAgentDetails,
    ) -> Result<(), Error> {
        let agent = &details.agent;
        sqlx::query(
            "INSERT INTO agents
                (name, title, description, model_api, enabled, program, built_in, changed)
             VALUES ($1, $2, $3, $4, $5, $6, 0, 1)
             ON CONFLICT (name) DO UPDATE SET title = excluded.title,
                description = excluded.description, model_api = excluded.model_api,
                enabled = excluded.enabled, program = excluded.program, changed = 1",
        )
        .bind(&agent.name)
        .bind(&agent.title)
        .bind(&agent.description)
        .bind(model_api_text(agent.model_api))
        .bind(i64::from(agent.enabled))
        .bind(row::to_json(&details.program)?)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Has an agent that comes with the control plane be as it came; with `always`, also one that
    /// an administrator changed.
    pub(crate) async fn seed_catalogue_agent(
        &self,
        details: &CatalogueAgentDetails,
        always: bool,
    ) -> Result<(), Error> {
        let agent = &details.agent;
        sqlx::query(
            "INSERT INTO agents
                (name, title, description, model_api, enabled, program, built_in, changed)
             VALUES ($1, $2, $3, $4, $5, $6, 1, 0)
             ON CONFLICT (name) DO UPDATE SET title = excluded.title,
                description = excluded.description, model_api = excluded.model_api,
                enabled = excluded.enabled, program = excluded.program, built_in = 1, changed = 0
             WHERE agents.changed = 0 OR $7 = 1",
        )
        .bind(&agent.name)
        .bind(&agent.title)
        .bind(&agent.description)
        .bind(model_api_text(agent.model_api))
        .bind(i64::from(agent.enabled))
        .bind(row::to_json(&details.program)?)
        .bind(i64::from(always))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Removes an agent that an administrator added. Whether it was there.
    pub(crate) async fn remove_catalogue_agent(&self, name: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM agents WHERE name = $1 AND built_in = 0")
            .bind(name)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}
