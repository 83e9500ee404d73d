//! What `git status --porcelain=v2 -z --branch` says. Pure.

use helix_proto::sandbox::git::{GitChange, GitFile, GitStatus};

/// Files at most.
const FILES: usize = 2_000;

/// Reads all of it; what makes no sense is passed over. `cut`: whether it is not all.
pub(super) fn parse(directory: &str, output: &[u8], cut: bool) -> GitStatus {
    let mut status = GitStatus {
        directory: directory.to_owned(),
        ..GitStatus::default()
    };
    let whole = if cut {
        // The last entry is not whole.
        let end = output.iter().rposition(|byte| *byte == 0).unwrap_or(0);
        &output[..end]
    } else {
        output
    };
    status.truncated = cut;
    let mut entries = whole.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    while let Some(entry) = entries.next() {
        if let Some(header) = entry.strip_prefix("# ") {
            head(&mut status, header);
            continue;
        }
        let moved = entry.starts_with("2 ");
        let from = if moved { entries.next() } else { None };
        let Some(file) = file(&entry, from.map(Into::into)) else {
            continue;
        };
        if status.files.len() == FILES {
            status.truncated = true;
            break;
        }
        status.files.push(file);
    }
    status
}

fn head(status: &mut GitStatus, header: &str) {
    match header.split_once(' ') {
        Some(("branch.oid", commit)) if commit != "(initial)" => {
            status.commit = Some(commit.to_owned());
        }
        Some(("branch.head", branch)) if branch != "(detached)" => {
            status.branch = Some(branch.to_owned());
        }
        Some(("branch.upstream", upstream)) => status.upstream = Some(upstream.to_owned()),
        Some(("branch.ab", counts)) => {
            let mut counts = counts.split(' ').map(|it| it[1..].parse().unwrap_or(0));
            status.ahead = counts.next().unwrap_or(0);
            status.behind = counts.next().unwrap_or(0);
        }
        _ => {}
    }
}

fn file(entry: &str, from: Option<String>) -> Option<GitFile> {
    let (kind, rest) = entry.split_once(' ')?;
    // How many words stand in front of the path.
    let before = match kind {
        "?" => {
            return Some(GitFile {
                path: rest.to_owned(),
                from: None,
                staged: None,
                unstaged: Some(GitChange::Untracked),
            });
        }
        "1" => 7,
        "2" => 8,
        "u" => 9,
        _ => return None,
    };
    let path = rest.splitn(before + 1, ' ').nth(before)?.to_owned();
    let mut letters = rest.chars();
    let (staged, unstaged) = (letters.next()?, letters.next()?);
    if kind == "u" {
        return Some(GitFile {
            path,
            from: None,
            staged: None,
            unstaged: Some(GitChange::Conflicted),
        });
    }
    Some(GitFile {
        path,
        from,
        staged: change(staged),
        unstaged: change(unstaged),
    })
}

const fn change(letter: char) -> Option<GitChange> {
    Some(match letter {
        'A' => GitChange::Added,
        'M' => GitChange::Modified,
        'D' => GitChange::Deleted,
        'R' => GitChange::Renamed,
        'C' => GitChange::Copied,
        'T' => GitChange::Retyped,
        'U' => GitChange::Conflicted,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAID: &str = "# branch.oid 0123\0# branch.head main\0# branch.upstream origin/main\0# branch.ab +2 -1\0\
        1 .M N... 100644 100644 100644 aa bb a file with blanks\0\
        1 A. N... 000000 100644 100644 00 bb new\0\
        2 RM N... 100644 100644 100644 aa bb R90 to here\0from there\0\
        u UU N... 100644 100644 100644 100644 aa bb cc both\0\
        1 .T N... 100644 100644 120000 aa bb link\0\
        ? täst\u{1f980}\nname\0";

    #[test]
    fn every_kind_of_entry_is_read() {
        let status = parse("/home/user/x", SAID.as_bytes(), false);
        assert_eq!(status.branch.as_deref(), Some("main"));
        assert_eq!(status.commit.as_deref(), Some("0123"));
        assert_eq!(status.upstream.as_deref(), Some("origin/main"));
        assert_eq!((status.ahead, status.behind), (2, 1));
        let files: Vec<_> = status
            .files
            .iter()
            .map(|it| (it.path.as_str(), it.staged, it.unstaged))
            .collect();
        assert_eq!(
            files,
            [
                ("a file with blanks", None, Some(GitChange::Modified)),
                ("new", Some(GitChange::Added), None),
                (
                    "to here",
                    Some(GitChange::Renamed),
                    Some(GitChange::Modified)
                ),
                ("both", None, Some(GitChange::Conflicted)),
                ("link", None, Some(GitChange::Retyped)),
                ("täst\u{1f980}\nname", None, Some(GitChange::Untracked)),
            ]
        );
        assert_eq!(status.files[2].from.as_deref(), Some("from there"));
        assert!(!status.truncated);
    }

    #[test]
    fn a_new_repository_has_a_branch_and_no_commit() {
        let status = parse("/x", b"# branch.oid (initial)\0# branch.head main\0", false);
        assert_eq!(
            (status.commit, status.branch.as_deref()),
            (None, Some("main"))
        );
        let status = parse("/x", b"# branch.oid 01\0# branch.head (detached)\0", false);
        assert_eq!(
            (status.commit.as_deref(), status.branch),
            (Some("01"), None)
        );
    }

    #[test]
    fn too_many_files_and_output_that_was_cut_are_said() {
        let many = "? a\0".repeat(FILES + 1);
        let status = parse("/x", many.as_bytes(), false);
        assert_eq!((status.files.len(), status.truncated), (FILES, true));
        let status = parse("/x", b"? a\0? half of a na", true);
        assert_eq!((status.files.len(), status.truncated), (1, true));
    }

    proptest! {
        #[test]
        fn whatever_a_repository_says_is_survived(said in proptest::collection::vec(any::<u8>(), 0..300), cut: bool) {
            parse("/x", &said, cut);
        }

        #[test]
        fn what_looks_like_it_is_survived(said in "(# branch.ab|# |1 |2 |u |\\? |M|\\.|\0| |\\+|ä){0,40}", cut: bool) {
            parse("/x", said.as_bytes(), cut);
        }
    }
}
