//! What is asked of a repository without changing it.

use helix_proto::sandbox::git::{GitBranches, GitDiff, GitStatus};

use super::{LOCAL, Workspace, ask, branches, check, status};
use crate::api::Failure;

impl Workspace {
    /// What changed.
    ///
    /// # Errors
    /// What git says.
    pub(crate) async fn status(&self) -> Result<GitStatus, Failure> {
        let command = [
            "status",
            "--porcelain=v2",
            "-z",
            "--branch",
            "--untracked-files=all",
        ];
        let ended = self.git.local(&command).await?;
        Ok(status::parse(
            &self.directory,
            &ended.stdout,
            ended.truncated,
        ))
    }

    /// How a file, or everything that git knows, differs: from what is staged, or `staged`
    /// from the commit. A file that git does not know yet differs from nothing.
    ///
    /// # Errors
    /// A path that cannot be one, or what git says.
    pub(crate) async fn diff(&self, path: Option<&str>, staged: bool) -> Result<GitDiff, Failure> {
        let mut command = vec!["diff", "--no-color", "--no-ext-diff"];
        if staged {
            command.push("--staged");
        }
        command.push("--");
        if let Some(path) = path {
            check::path("path", path)?;
            command.push(path);
        }
        let mut ended = self.git.local(&command).await?;
        if let Some(path) = path
            && !staged
            && ended.stdout.is_empty()
        {
            let others = [
                "ls-files",
                "--others",
                "--exclude-standard",
                "-z",
                "--",
                path,
            ];
            if !self.git.local(&others).await?.stdout.is_empty() {
                let command = [
                    "diff",
                    "--no-color",
                    "--no-ext-diff",
                    "--no-index",
                    "--",
                    "/dev/null",
                    path,
                ];
                ended = self.git.ask(&command, String::new(), LOCAL, |_| ()).await?;
                // 1 says that there is a difference.
                if !matches!(ended.code, Some(0 | 1)) && !ended.truncated {
                    return Err(ask::failed(&ended, LOCAL));
                }
            }
        }
        Ok(GitDiff {
            patch: String::from_utf8_lossy(&ended.stdout).into_owned(),
            truncated: ended.truncated,
        })
    }

    /// Its branches, and those of remotes.
    ///
    /// # Errors
    /// What git says.
    pub(crate) async fn branches(&self) -> Result<GitBranches, Failure> {
        let ended = self
            .git
            .local(&[
                "for-each-ref",
                branches::FORMAT,
                branches::COUNT,
                "--sort=-committerdate",
                "refs/heads",
                "refs/remotes",
            ])
            .await?;
        Ok(branches::parse(&ended.stdout))
    }
}
