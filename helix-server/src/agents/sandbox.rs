//! Whether a sandbox is there for an agent.

use helix_proto::{SandboxId, sandbox::SandboxState};

use super::Agents;
use crate::store;

/// Whether a sandbox is there for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It runs.
    There,
    /// It is being made, or started; it has a deadline for that.
    Coming,
    /// It does not run, and why.
    Gone(String),
}

impl Agents {
    /// How a sandbox is now.
    pub(super) async fn place(&self, id: SandboxId) -> Result<Place, store::Error> {
        let Some(sandbox) = self.inner.store.sandbox(id).await? else {
            return Ok(Place::Gone("the sandbox was deleted".to_owned()));
        };
        let because = |what: &str| match &sandbox.end {
            Some(end) => format!("{what}: {}", end.message),
            None => what.to_owned(),
        };
        Ok(match sandbox.state {
            SandboxState::Running | SandboxState::Paused => Place::There,
            SandboxState::Creating => Place::Coming,
            SandboxState::Stopped => Place::Gone(because("the sandbox was stopped")),
            SandboxState::Failed => Place::Gone(because("the sandbox failed")),
            SandboxState::Deleted => Place::Gone("the sandbox was deleted".to_owned()),
        })
    }
}
