//! Git repositories in sandboxes, as REST speaks of them. Git runs inside the sandbox, as
//! its user; nobody outside looks into a repository.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Clones a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitCloneRequest {
    /// Where it is: `https://…`, `http://…`, `ssh://…`, `git://…`, `file://…` of the
    /// sandbox, or `user@host:path`. Without a password: those are secrets.
    pub url: String,
    /// The branch or tag to have; the server's own choice if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where to, from the user's home on; named after the repository if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Answer with events as they come: newline-delimited [`GitCloneEvent`].
    #[serde(default)]
    pub stream: bool,
}

/// A repository that was cloned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GitRepository {
    /// Its whole path.
    pub directory: String,
    /// Its branch; absent where none is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Its commit; absent where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// How a clone goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum GitCloneEvent {
    /// It goes on.
    Progress {
        /// What git does, in its own words, such as `Receiving objects`.
        what: String,
        /// How much of that is done, where it says so: 0 to 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<u8>,
    },
    /// It is there. The last event.
    Done {
        /// What.
        repository: GitRepository,
    },
    /// It is not. The last event.
    Failed {
        /// Why.
        message: String,
    },
}

/// What changed in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct GitStatus {
    /// The repository's own directory.
    pub directory: String,
    /// The branch; absent where none is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit; absent where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch that it follows, such as `origin/main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Commits that the upstream does not have.
    pub ahead: u32,
    /// Commits of the upstream that it does not have.
    pub behind: u32,
    /// What changed, by path. At most 2,000.
    pub files: Vec<GitFile>,
    /// Whether there are more than these.
    pub truncated: bool,
}

/// A file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GitFile {
    /// Its path from the repository's directory on, with a replacement character for what
    /// is not UTF-8.
    pub path: String,
    /// Where it was before, if it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How it differs from the commit where that was staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<GitChange>,
    /// How it differs from what is staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstaged: Option<GitChange>,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GitChange {
    /// It is new.
    Added,
    /// Its content or its permissions.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name.
    Renamed,
    /// It is a copy of another.
    Copied,
    /// It is of another kind, such as a link.
    Retyped,
    /// Git does not know it yet.
    Untracked,
    /// Two sides changed it: it is to be resolved.
    Conflicted,
}

/// The difference of a file or of all, as a unified patch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct GitDiff {
    /// The patch; empty where nothing differs. At most 1 MiB.
    pub patch: String,
    /// Whether there is more than this.
    pub truncated: bool,
}

/// The branches of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct GitBranches {
    /// The latest commit first. At most 500.
    pub branches: Vec<GitBranch>,
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GitBranch {
    /// Its name, such as `main`, or `origin/main` for one of a remote.
    pub name: String,
    /// Whether it is a remote's.
    pub remote: bool,
    /// Whether it is checked out.
    pub current: bool,
    /// Its commit.
    pub commit: String,
    /// The branch that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// When that commit was made.
    pub committed_at_ms: u64,
    /// That commit's first line.
    pub subject: String,
}

/// Checks a branch out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitCheckoutRequest {
    /// The repository, from the user's home on; the home itself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The branch's name. One that only a remote has is made to follow that.
    pub branch: String,
    /// Whether it is new, from what is checked out now.
    #[serde(default)]
    pub create: bool,
}

/// Makes a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitCommitRequest {
    /// The repository, from the user's home on; the home itself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// What it says. 1 to 65,536 bytes.
    pub message: String,
    /// What goes into it, from the repository's directory on; everything that changed if
    /// absent. 1 to 2,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GitCommit {
    /// Its id.
    pub commit: String,
}

/// Pushes what is checked out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitPushRequest {
    /// The repository, from the user's home on; the home itself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Where to; `origin` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GitPush {
    /// Where to.
    pub remote: String,
    /// Which branch.
    pub branch: String,
    /// Whether that had it all before.
    pub up_to_date: bool,
}
