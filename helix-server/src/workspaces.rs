//! Git repositories in sandboxes: clone, status, diff, branches, commit, push.
//!
//! **Invariant.** Git runs inside the sandbox, as its user, by what runs programs there:
//! nothing of a repository is read outside. What a caller names is an argument of git and
//! never goes through a shell; what could be taken for an option is refused. What git
//! writes is bounded, and each of its runs ends.

use helix_proto::{
    SandboxId,
    sandbox::git::{GitCloneRequest, GitRepository},
};

use crate::{
    api::{Failure, check::line},
    sandboxes::Sandboxes,
};

mod ask;
mod branches;
mod check;
mod commit;
mod look;
mod progress;
mod status;

use ask::{Git, LOCAL, NETWORK};
pub use progress::Progress;

/// Git repositories in sandboxes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Workspaces {
    sandboxes: Sandboxes,
}

/// A repository in a sandbox, to be asked.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// In the repository's own directory.
    git: Git,
    directory: String,
}

impl Workspaces {
    pub(crate) const fn new(sandboxes: Sandboxes) -> Self {
        Self { sandboxes }
    }

    /// The repository that a directory of a sandbox is in. Who asks is for the caller to check.
    ///
    /// # Errors
    /// Not found, no repository, or a sandbox that cannot be asked.
    pub(crate) async fn open(
        &self,
        id: SandboxId,
        directory: Option<&str>,
    ) -> Result<Workspace, Failure> {
        let directory = directory.map(check::directory).transpose()?;
        Workspace::at(self.git(id).await?.within(directory)).await
    }

    /// What a clone is to be, with the name of its directory, from the user's home on.
    ///
    /// # Errors
    /// A request that cannot be one.
    pub(crate) fn checked(request: &GitCloneRequest) -> Result<GitCloneRequest, Failure> {
        let asked = check::clone(request)?;
        Ok(GitCloneRequest {
            url: asked.url,
            branch: asked.branch,
            directory: Some(asked.directory),
            stream: false,
        })
    }

    /// Clones a repository into a sandbox that runs, with the secrets that it is given.
    /// `heard` is told how it goes. Who asks is for the caller to check.
    ///
    /// # Errors
    /// A request that cannot be one, a sandbox that cannot be asked, or what git says.
    pub async fn clone_into(
        &self,
        id: SandboxId,
        request: &GitCloneRequest,
        mut heard: impl FnMut(Progress),
    ) -> Result<GitRepository, Failure> {
        let asked = check::clone(request)?;
        // They may not have been given yet to one that has just started.
        self.sandboxes.give_secrets(id, false).await?;
        let git = self.git(id).await?;
        let mut command = vec!["clone", "--progress"];
        if let Some(branch) = &asked.branch {
            command.extend(["--branch", branch]);
        }
        command.extend(["--", &asked.url, &asked.directory]);
        let mut parser = progress::Parser::default();
        let hear = |said: &str| parser.push(said).into_iter().for_each(&mut heard);
        git.run(&command, String::new(), NETWORK, hear).await?;
        let workspace = Workspace::at(git.within(Some(asked.directory))).await?;
        workspace.repository().await
    }

    async fn git(&self, id: SandboxId) -> Result<Git, Failure> {
        let client = self.sandboxes.client_of(id).await?;
        Ok(Git::new(client, id))
    }

    /// Has a sandbox have its secrets before git asks a server.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn prepare(&self, id: SandboxId) -> Result<(), Failure> {
        self.sandboxes.give_secrets(id, false).await
    }
}

impl Workspace {
    async fn at(git: Git) -> Result<Self, Failure> {
        let top = git.text(&["rev-parse", "--show-toplevel"]).await?;
        let directory = line("directory", &top, 4_096)?;
        Ok(Self {
            git: git.within(Some(directory.clone())),
            directory,
        })
    }

    /// What it is.
    async fn repository(&self) -> Result<GitRepository, Failure> {
        let status = self.status().await?;
        Ok(GitRepository {
            directory: status.directory,
            branch: status.branch,
            commit: status.commit,
        })
    }
}
