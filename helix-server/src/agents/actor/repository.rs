//! The repository that an agent works on, before it begins.

use std::{convert::Infallible, time::Duration};

use helix_agent::control::Change;
use helix_proto::{SessionId, agents::Entry, sandbox::git::GitCloneRequest};
use tokio::sync::watch;

use super::{Actor, Agents, Message, Stop};
use crate::workspaces::Progress;

/// How often the log says how far git is, at most: each time is a row that stays.
const EVERY: Duration = Duration::from_secs(2);

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
            let begins = Progress {
                what: String::new(),
                percent: None,
            };
            let (heard, progress) = watch::channel(begins.clone());
            agents.tell(session, Message::Cloning(begins)).await;
            let workspaces = &agents.inner.workspaces;
            let cloned = workspaces.clone_into(sandbox, &request, |news| {
                heard.send_replace(news);
            });
            let done = tokio::select! {
                done = cloned => done,
                never = tell_progress(&agents, session, progress) => match never {},
            };
            let done = done
                .map(|_| ())
                .map_err(|failure| failure.error().message.clone());
            agents.tell(session, Message::Cloned(done)).await;
        };
        self.agents.inner.tasks.spawn("clone a repository", cloning);
        true
    }

    /// The log says how far git is, while it is still waited for.
    pub(super) async fn cloning_goes_on(&mut self, progress: Progress) -> Result<(), Stop> {
        if !self.cloning {
            return Ok(());
        }
        let entry = Entry::Cloning {
            // A server chooses some of the words.
            what: self.redacting.whole(&progress.what),
            percent: progress.percent,
        };
        let entry = Box::new(entry);
        self.commit(vec![Change::Log { entry }], None).await
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

/// Tells a session's actor how far git is: the newest of what was heard, now and then. Ends only
/// with git.
async fn tell_progress(
    agents: &Agents,
    session: SessionId,
    mut progress: watch::Receiver<Progress>,
) -> Infallible {
    while progress.changed().await.is_ok() {
        let newest = progress.borrow_and_update().clone();
        agents.tell(session, Message::Cloning(newest)).await;
        tokio::time::sleep(EVERY).await;
    }
    std::future::pending().await
}
