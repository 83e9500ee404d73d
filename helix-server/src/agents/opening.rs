//! How an agent is started: its entry in the catalogue, filled in for its session.

use helix_base::ExposeSecret as _;
use helix_proto::agents::{AgentSpec, Command, Open, Variable};

use super::Agents;
use crate::{
    seal,
    store::{self, agents::StoredAgent},
};

/// What stands for the session's key.
const API_KEY: &str = "{HELIX_API_KEY}";
/// What stands for the session's model.
const MODEL: &str = "{HELIX_MODEL}";

impl Agents {
    /// What the host of a session is sent to begin a thread, or why there is none. The session gets
    /// a new key; one that it had is worth nothing any more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) async fn opening(
        &self,
        stored: &StoredAgent,
    ) -> Result<Result<Open, String>, store::Error> {
        let name = &stored.agent.agent;
        let Some(entry) = self.inner.store.catalogue_agent(name).await? else {
            return Ok(Err(format!(
                "there is no agent `{name}` in the catalogue any more"
            )));
        };
        let variables = entry.program.environment;
        // In no other place: what a program is started with is seen by its neighbours.
        let key = if variables.iter().any(|it| it.value.contains(API_KEY)) {
            Some(self.inner.keys.make(stored.session_id).await?)
        } else {
            None
        };
        let key = key.as_ref().map_or("", |key| key.expose_secret());
        // Where models are asked, the host of the sandbox knows.
        let filled = |text: &str| text.replace(MODEL, &stored.model);
        let environment = variables.into_iter().map(|variable| Variable {
            value: filled(&variable.value).replace(API_KEY, key),
            name: variable.name,
        });
        let open = Open {
            sandbox: stored.agent.sandbox_id,
            agent: AgentSpec {
                name: name.clone(),
                environment: environment.collect(),
                command: entry.program.command.iter().map(|it| filled(it)).collect(),
                install: entry.program.install,
                directory: stored.agent.directory.clone(),
            },
            resume: None,
        };
        Ok(fitting(open))
    }
}

/// That what came of the entry is within the bounds: a model's name may be in it many times.
fn fitting(open: Open) -> Result<Open, String> {
    let environment = serde_json::to_vec(&open.agent.environment);
    let seals = environment.is_ok_and(|text| text.len() <= seal::LONGEST);
    let name = open.agent.name.clone();
    let command = Command::Open(Box::new(open));
    match (command.check(), command) {
        (Ok(()), Command::Open(open)) if seals => Ok(*open),
        _ => Err(format!(
            "the command or the environment of `{name}` is too large"
        )),
    }
}

/// What stands for the beginning of a thread that does not begin.
pub(super) fn never(stored: &StoredAgent) -> Open {
    Open {
        sandbox: stored.agent.sandbox_id,
        agent: AgentSpec {
            name: stored.agent.agent.clone(),
            command: Vec::new(),
            install: Vec::new(),
            environment: Vec::new(),
            directory: stored.agent.directory.clone(),
        },
        resume: None,
    }
}
