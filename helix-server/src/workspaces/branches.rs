//! What `git for-each-ref` says of branches. Pure.

use helix_proto::sandbox::git::{GitBranch, GitBranches};

/// How it is asked: a branch a line, a field between zero bytes.
pub(super) const FORMAT: &str = "--format=%(refname)%00%(objectname)%00%(upstream:short)%00%(HEAD)%00%(committerdate:unix)%00%(symref)%00%(contents:subject)";
/// Branches at most.
pub(super) const COUNT: &str = "--count=500";
/// The longest subject.
const SUBJECT: usize = 200;

/// Reads all of it; what makes no sense is passed over.
pub(super) fn parse(output: &[u8]) -> GitBranches {
    let text = String::from_utf8_lossy(output);
    GitBranches {
        branches: text.lines().filter_map(branch).collect(),
    }
}

fn branch(line: &str) -> Option<GitBranch> {
    let mut fields = line.splitn(7, '\0');
    let mut next = || fields.next();
    let (name, commit, upstream, head) = (next()?, next()?, next()?, next()?);
    let (committed, symref, subject) = (next()?, next()?, next()?);
    // `origin/HEAD` is another name of a branch.
    if !symref.is_empty() {
        return None;
    }
    let local = name.strip_prefix("refs/heads/");
    let remote = name.strip_prefix("refs/remotes/");
    Some(GitBranch {
        name: local.or(remote)?.to_owned(),
        remote: local.is_none(),
        current: head == "*",
        commit: commit.to_owned(),
        upstream: Some(upstream.to_owned()).filter(|it| !it.is_empty()),
        committed_at_ms: committed.parse::<u64>().unwrap_or(0).saturating_mul(1_000),
        subject: subject.chars().take(SUBJECT).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_told_from_those_of_remotes() {
        let said = "refs/heads/main\x0001\x00origin/main\x00*\x001700000000\x00\x00a subject\n\
            refs/remotes/origin/HEAD\x0001\x00\x00 \x001700000000\x00refs/remotes/origin/main\x00a subject\n\
            refs/remotes/origin/main\x0001\x00\x00 \x001700000000\x00\x00a subject\n\
            nonsense\n";
        let branches = parse(said.as_bytes()).branches;
        let seen: Vec<_> = branches
            .iter()
            .map(|it| (it.name.as_str(), it.remote, it.current))
            .collect();
        assert_eq!(seen, [("main", false, true), ("origin/main", true, false)]);
        assert_eq!(branches[0].upstream.as_deref(), Some("origin/main"));
        assert_eq!(branches[0].committed_at_ms, 1_700_000_000_000);
    }
}
