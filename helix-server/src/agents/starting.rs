//! Sessions with an agent, as they begin.

use helix_proto::{
    sandbox::{CreateSandboxRequest, SandboxState, git::GitCloneRequest},
    session::{CatalogueAgent, CreateSessionAgent, Session, SessionAgent},
};

use super::Agents;
use crate::{
    api::Failure,
    auth::Identity,
    store::{agents::NewAgent, sandboxes::StoredSandbox},
    workspaces::Workspaces,
};

/// Where an agent begins, unless somebody says otherwise: the home of a sandbox's user.
const HOME: &str = "/home/user";

/// A session that begins, checked already.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) title: Option<String>,
    pub(crate) model: String,
    pub(crate) agent: CreateSessionAgent,
}

impl Agents {
    /// Begins a session with an agent, in a sandbox of the caller or in a new one.
    ///
    /// # Errors
    /// No such agent or sandbox; what making a sandbox fails with.
    pub(crate) async fn create(
        &self,
        caller: &Identity,
        new: NewSession,
    ) -> Result<Session, Failure> {
        let asked = new.agent;
        let entry = self.startable("agent.agent", &asked.agent).await?;
        let clone = asked.repository.as_ref().map(|repository| {
            Workspaces::checked(&GitCloneRequest {
                url: repository.url.clone(),
                branch: repository.branch.clone(),
                directory: asked.directory.clone(),
                stream: false,
            })
        });
        let clone = clone.transpose()?;
        let directory = asked.directory.or(clone.and_then(|clone| clone.directory));
        let directory = match directory {
            None => HOME.to_owned(),
            Some(directory) if directory.starts_with('/') => directory,
            Some(directory) => format!("{HOME}/{directory}"),
        };
        let (sandbox, owns_sandbox) = self
            .sandbox_for(caller, asked.sandbox_id, asked.sandbox)
            .await?;
        let agent = SessionAgent {
            agent: entry.name,
            title: entry.title,
            sandbox_id: sandbox.id(),
            directory,
            owns_sandbox,
        };
        let new_agent = NewAgent {
            agent,
            host_id: sandbox.host_id,
            repository: asked.repository,
        };
        let sessions = &self.inner.sessions;
        let made = sessions
            .create(caller.user_id, new.title, new.model, Some(new_agent))
            .await;
        if made.is_err() && owns_sandbox {
            // Nobody would delete it.
            self.inner.sandboxes.delete(sandbox.id()).await?;
        }
        Ok(made?)
    }

    /// An entry of the catalogue that sessions may begin with; `field` is where its name stood.
    pub(super) async fn startable(
        &self,
        field: &'static str,
        name: &str,
    ) -> Result<CatalogueAgent, Failure> {
        let entry = self.inner.store.catalogue_agent(name).await?;
        let entry = entry
            .ok_or_else(|| Failure::invalid(field, "there is no such agent"))?
            .agent;
        if !entry.enabled {
            return Err(Failure::invalid(field, "the agent is switched off"));
        }
        Ok(entry)
    }

    /// The sandbox to work in, and whether it was made for this.
    async fn sandbox_for(
        &self,
        caller: &Identity,
        id: Option<helix_proto::SandboxId>,
        make: Option<CreateSandboxRequest>,
    ) -> Result<(StoredSandbox, bool), Failure> {
        let both = "exactly one of `sandbox_id` and `sandbox` is needed";
        let (id, made) = match (id, make) {
            (Some(id), None) => (id, false),
            (None, Some(request)) => (self.inner.sandboxes.create(caller, request).await?.id, true),
            _ => return Err(Failure::invalid("agent", both)),
        };
        let found = self.inner.store.sandbox(id).await?;
        // An agent works for the session's user alone: not even an administrator's works in
        // somebody else's.
        let found = found
            .filter(|it| it.user_id == caller.user_id && it.state != SandboxState::Deleted)
            .ok_or_else(|| Failure::invalid("agent.sandbox_id", "there is no such sandbox"))?;
        Ok((found, made))
    }
}
