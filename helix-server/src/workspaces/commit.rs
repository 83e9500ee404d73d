//! What changes a repository.

use std::collections::BTreeSet;

use helix_proto::{
    auth::User,
    sandbox::git::{GitCommit, GitPush, GitStatus},
};

use super::{LOCAL, NETWORK, Workspace, ask::Git, check};
use crate::api::Failure;

/// Paths of a commit at most.
const PATHS: usize = 2_000;
/// The longest message.
const MESSAGE: usize = 64 << 10;

impl Workspace {
    /// Checks a branch out, or makes one from what is checked out.
    ///
    /// # Errors
    /// A name that cannot be one, or what git says.
    pub(crate) async fn checkout(&self, branch: &str, create: bool) -> Result<GitStatus, Failure> {
        let branch = check::branch("branch", branch)?;
        let command: &[&str] = if create {
            &["switch", "--create", &branch]
        } else {
            &["switch", &branch]
        };
        self.git.local(command).await?;
        self.status().await
    }

    /// Commits these of the paths that changed, or everything that did. `author` is who it
    /// is by where the sandbox's git does not say so itself.
    ///
    /// # Errors
    /// A path that did not change, nothing to commit, or what git says.
    pub(crate) async fn commit(
        &self,
        message: &str,
        paths: Option<&[String]>,
        author: &User,
    ) -> Result<GitCommit, Failure> {
        if message.trim().is_empty() || message.len() > MESSAGE || message.contains('\0') {
            let why = "must have 1 to 65,536 bytes, and no zero byte";
            return Err(Failure::invalid("message", why));
        }
        let git = self.git_of(author).await?;
        let mut command = vec!["commit", "--quiet", "--file=-", "--cleanup=strip"];
        let all = match paths {
            None => {
                git.local(&["add", "--all", "--", "."]).await?;
                Vec::new()
            }
            Some(paths) => self.stage(&git, paths).await?,
        };
        if !all.is_empty() {
            command.extend(["--only", "--"]);
            command.extend(all.iter().map(String::as_str));
        }
        // A hook may take its time.
        git.run(&command, message.to_owned(), 5 * LOCAL, |_| ())
            .await?;
        let commit = self.git.text(&["rev-parse", "HEAD"]).await?;
        Ok(GitCommit { commit })
    }

    /// Stages paths that changed; all that are to be committed for them.
    async fn stage(&self, git: &Git, paths: &[String]) -> Result<Vec<String>, Failure> {
        if paths.is_empty() || paths.len() > PATHS {
            let why = format!("must be 1 to {PATHS}, or absent for everything");
            return Err(Failure::invalid("paths", why));
        }
        let status = self.status().await?;
        let (mut fresh, mut all) = (Vec::new(), BTreeSet::new());
        for (at, path) in paths.iter().enumerate() {
            let changed = status.files.iter().find(|file| file.path == *path);
            let file = changed
                .ok_or_else(|| Failure::invalid(format!("paths[{at}]"), "has not changed"))?;
            if file.unstaged.is_some() {
                fresh.push(file.path.as_str());
            }
            all.insert(file.path.clone());
            all.extend(file.from.clone());
        }
        if !fresh.is_empty() {
            let mut add = vec!["add", "--all", "--"];
            add.extend(fresh);
            git.local(&add).await?;
        }
        Ok(all.into_iter().collect())
    }

    /// Git, as this author where it knows of none.
    async fn git_of(&self, author: &User) -> Result<Git, Failure> {
        let mut git = self.git.clone();
        for (key, value, who) in [
            (
                "user.name",
                &author.name,
                ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"],
            ),
            (
                "user.email",
                &author.email,
                ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"],
            ),
        ] {
            let command = ["config", "--get", key];
            let known = self.git.ask(&command, String::new(), LOCAL, |_| ());
            if known.await?.code != Some(0) {
                git = who.iter().fold(git, |git, name| git.with(name, value));
            }
        }
        Ok(git)
    }

    /// Pushes the branch that is checked out to the branch of that name, and has it
    /// follow that.
    ///
    /// # Errors
    /// No branch is checked out, or what git or the server says.
    pub(crate) async fn push(&self, remote: Option<&str>) -> Result<GitPush, Failure> {
        let remote = check::remote(remote.unwrap_or("origin"))?;
        let command = ["symbolic-ref", "--short", "HEAD"];
        let head = self.git.ask(&command, String::new(), LOCAL, |_| ()).await?;
        if head.code != Some(0) {
            return Err(Failure::conflict(
                "no branch is checked out: check one out first",
            ));
        }
        let branch = String::from_utf8_lossy(&head.stdout).trim_end().to_owned();
        let reference = format!("refs/heads/{branch}:refs/heads/{branch}");
        let command = [
            "push",
            "--porcelain",
            "--set-upstream",
            "--",
            &remote,
            &reference,
        ];
        let ended = self
            .git
            .run(&command, String::new(), NETWORK, |_| ())
            .await?;
        let said = String::from_utf8_lossy(&ended.stdout);
        Ok(GitPush {
            up_to_date: said.lines().any(|line| line.starts_with("=\t")),
            remote,
            branch,
        })
    }
}
