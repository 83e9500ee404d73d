//! Whether a path is one that somebody may read who may only read. Pure.

/// Where relative paths begin.
const HOME: &str = "/home/user";
/// Where the kernel and programs keep what they know, environments among it.
const NEVER: [&[u8]; 4] = [b"proc", b"sys", b"dev", b"run"];

/// Whether a path, from the home on where it is relative, is in one of these directories by its
/// name. One with `..` in it is in none; links lead where they lead.
pub(crate) fn readable(directories: &[String], path: &[u8]) -> bool {
    let Some(path) = parts(path) else {
        return false;
    };
    if path.first().is_some_and(|first| NEVER.contains(first)) {
        return false;
    }
    let within = |directory: &String| {
        parts(directory.as_bytes()).is_some_and(|directory| path.starts_with(&directory))
    };
    directories.iter().any(within)
}

/// The names in a path.
fn parts(path: &[u8]) -> Option<Vec<&[u8]>> {
    let from = if path.first() == Some(&b'/') {
        ""
    } else {
        HOME
    };
    let names = from.as_bytes().split(|it| *it == b'/');
    let names = names.chain(path.split(|it| *it == b'/'));
    let names: Vec<_> = names
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    let plain = |name: &&[u8]| *name != b".." && !name.contains(&0);
    names.iter().all(plain).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_reads_what_is_in_the_directory_and_nothing_beside_it() {
        let own = ["/home/user/app/".to_owned()];
        for inside in [
            "/home/user/app",
            "/home/user/app/a b",
            "app/x",
            "./app//x/.",
            "/home//user/./app/x",
        ] {
            assert!(readable(&own, inside.as_bytes()), "{inside}");
        }
        for outside in [
            "",
            "/",
            "/home/user",
            "/home/user/apple",
            "apple",
            "/etc/passwd",
            "app/../.ssh/id",
            "/home/user/app/..",
            "/proc/1/environ",
            "app/a\0b",
        ] {
            assert!(!readable(&own, outside.as_bytes()), "{outside}");
        }
        assert!(!readable(&[], b"app"));
        let root = ["/".to_owned()];
        assert!(readable(&root, b"/etc/hosts"));
        assert!(!readable(&root, b"//proc/1/environ"));
    }
}
