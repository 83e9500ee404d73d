//! The sandbox in which an agent works.

use std::sync::Arc;

use helix_isolation::{Environment, GuestClient};
use helix_proto::{SandboxId, sandbox::SandboxState};

use crate::{
    sandbox::{Counts, InUse},
    sandboxes::Sandboxes,
};

/// A sandbox, which may come and go.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) sandboxes: Sandboxes,
    pub(super) id: SandboxId,
}

/// How a sandbox is, for its agents.
#[derive(Debug)]
pub(super) enum Standing {
    /// It runs.
    Runs(Arc<dyn Environment>),
    /// It will run, or goes on, without anybody being told by the agent.
    Waits(&'static str),
    /// It does not run, and why: what ran in it is gone.
    Ended(String),
    /// There is none.
    Gone,
}

impl Place {
    pub(super) fn standing(&self) -> Standing {
        let Some(sandbox) = self.sandboxes.find(self.id) else {
            return Standing::Gone;
        };
        match sandbox.status().state {
            SandboxState::Running => match sandbox.environment() {
                Ok(environment) => Standing::Runs(environment),
                Err(error) => Standing::Ended(error.message),
            },
            SandboxState::Creating => Standing::Waits("the sandbox is being made"),
            SandboxState::Paused => Standing::Waits("the sandbox is paused"),
            SandboxState::Stopped => Standing::Ended("the sandbox is stopped".to_owned()),
            SandboxState::Failed => Standing::Ended("the sandbox has failed".to_owned()),
            SandboxState::Deleted => Standing::Gone,
        }
    }

    /// What answers in it, while it runs.
    pub(super) fn guest(&self) -> Result<GuestClient, String> {
        match self.standing() {
            Standing::Runs(environment) => Ok(GuestClient::new(environment)),
            Standing::Waits(why) => Err(why.to_owned()),
            Standing::Ended(why) => Err(why),
            Standing::Gone => Err("the sandbox is gone".to_owned()),
        }
    }

    /// Waits until what the host puts into it is there.
    pub(super) async fn furnished(&self) {
        if let Some(sandbox) = self.sandboxes.find(self.id) {
            sandbox.furnished().await;
        }
    }

    /// Whether it has a desktop.
    pub(super) fn has_desktop(&self) -> bool {
        let sandbox = self.sandboxes.find(self.id);
        sandbox.is_some_and(|sandbox| sandbox.spec().desktop.is_some())
    }

    /// It is in use for as long as this is kept; none where it does not run.
    pub(super) fn used(&self) -> Option<InUse> {
        let (_, in_use) = self.sandboxes.find(self.id)?.enter(Counts::Use).ok()?;
        Some(in_use)
    }
}
