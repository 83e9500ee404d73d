//! The repository that an agent works on, before it begins.

use helix_proto::sandbox::git::GitCloneRequest;

use super::{Actor, Message, Stop};

impl Actor {
    /// Whether a thread has to wait for the repository, which is being cloned then.
    pub(super) fn needs_repository(&mut self) -> bool {
        let Some(repository) = &self.stored.repository else {
            return false;
        };
        if std::mem::replace(&mut self.cloning, true) {
            return true;
        }
        let request = GitCloneRequest {
            url: repository.url.clone(),
            branch: repository.branch.clone(),
            directory: Some(self.stored.agent.directory.clone()),
            stream: false,
        };
        let agents = self.agents.clone();
        let (session, sandbox) = (self.stored.session_id, self.stored.agent.sandbox_id);
        let cloning = async move {
            let workspaces = &agents.inner.workspaces;
            let done = workspaces.clone_into(sandbox, &request, |_| {}).await;
            let done = done
                .map(|_| ())
                .map_err(|failure| failure.error().message.clone());
            agents.tell(session, Message::Cloned(done)).await;
        };
        self.agents.inner.tasks.spawn("clone a repository", cloning);
        true
    }

    /// The prompt that waits for the repository is sent, or ends with the reason. It is tried once:
    /// what is left of it is for people to look at.
    pub(super) async fn cloned(&mut self, done: Result<(), String>) -> Result<(), Stop> {
        self.cloning = false;
        let session = self.stored.session_id;
        self.agents.inner.store.forget_repository(session).await?;
        self.stored.repository = None;
        let step = match done {
            Ok(()) => self.thread().await?,
            Err(reason) => {
                let reason = format!(
                    "the repository was not cloned: {reason}. The next prompt begins without it"
                );
                Some(self.cannot_open(&reason))
            }
        };
        match step {
            Some(step) => self.carry_out(step).await,
            None => Ok(()),
        }
    }
}
