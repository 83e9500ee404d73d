//! Who descends from whom, and how much memory they use, from `/proc`.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

/// Every process below `root`, `root` itself not included.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, parent) in all_processes() {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if seen.insert(child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

/// The main memory of these processes, each shared page counted once over all
/// who share it, where the kernel says so; else their resident set.
pub(crate) fn memory_of(pids: &[u32]) -> Option<u64> {
    let bytes: Vec<u64> = pids.iter().filter_map(|&pid| memory_of_one(pid)).collect();
    (!bytes.is_empty()).then(|| bytes.iter().sum())
}

fn memory_of_one(pid: u32) -> Option<u64> {
    let from_rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| kibibytes_after("Pss:", &text));
    from_rollup.or_else(|| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        kibibytes_after("VmRSS:", &status)
    })
}

fn kibibytes_after(key: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

fn all_processes() -> impl Iterator<Item = (u32, u32)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parent_in_stat(&stat)?))
        })
}

/// The parent in a line of `/proc/PID/stat`: the second field after the name,
/// which stands in parentheses and may itself contain anything.
fn parent_in_stat(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_hide_the_parent() {
        assert_eq!(parent_in_stat("12 (a) b (c) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in_stat("12 a S 7"), None);
    }

    #[test]
    fn a_child_and_its_child_are_found_and_have_memory() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "echo started; cat; true"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let below = descendants(std::process::id());
        assert!(below.contains(&child.id()), "{below:?}");
        assert!(memory_of(&[child.id()]).unwrap() > 0);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(memory_of(&[child.id()]), None);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(
            kibibytes_after("Pss:", "Rss:  9 kB\nPss:   12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(kibibytes_after("Pss:", "Rss: 9 kB\n"), None);
    }
}
