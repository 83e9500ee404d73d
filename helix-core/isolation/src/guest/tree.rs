//! A program and everything that it started.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::Read as _,
    thread,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// The variable by which a program's descendants are known, wherever they hide: it holds
/// the id of the exec or terminal. (One that clears it has only left its own sandbox's
/// housekeeping; it stays in the sandbox.)
pub(crate) const MARK: &str = "HELIX_PROGRAM_ID";

/// How often the tree is looked at again for what was born while it was being killed.
const ROUNDS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(5);
/// How many processes are looked at.
const MOST: usize = 65_536;
/// How much of an environment is searched for the mark.
const ENVIRONMENT: u64 = 256 * 1024;

/// Kills a program with its descendants: its children and theirs, its session, and what
/// carries its mark. `leader` is the program's process, if it was not collected yet.
/// Blocks; not for the thread that serves.
pub(crate) fn kill(leader: Option<i32>, id: &str) {
    let mark = format!("{MARK}={id}").into_bytes();
    let mut known: HashSet<i32> = leader.into_iter().collect();
    for _ in 0..ROUNDS {
        let found = members(leader, &mark, &mut known);
        if found.is_empty() {
            return;
        }
        for process in found {
            process.kill();
        }
        thread::sleep(BETWEEN);
    }
    tracing::warn!(id, "processes of a program would not end");
}

/// Kills what is left of a program's own session after its process has ended. What it started
/// in sessions of their own, as a desktop starts its programs, goes on. Blocks; not for the
/// thread that serves.
pub(crate) fn kill_session(leader: i32, id: &str) {
    let mark = format!("{MARK}={id}").into_bytes();
    for _ in 0..ROUNDS {
        // The number may be another's by now; the mark is not.
        let left: Vec<_> = processes()
            .filter(|process| process.session == leader && !process.ended)
            .filter(|process| carries(process, &mark))
            .collect();
        if left.is_empty() {
            return;
        }
        left.into_iter().for_each(Process::kill);
        thread::sleep(BETWEEN);
    }
    tracing::warn!(id, "what was left of a program would not end");
}

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Copy)]
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    started: u64,
    ended: bool,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The fields behind the name, which is in brackets and may hold anything.
    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            ended: matches!(*fields.first()?, "Z" | "X"),
        })
    }

    /// Kills it, if the number still means the same process.
    fn kill(self) {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if Self::read(self.pid).is_some_and(|now| now.started == self.started) {
            // It may have ended by itself.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }
}

/// What runs of the tree; `known` learns every member, so that the children of one that
/// was killed are found in the next round by its number.
fn members(leader: Option<i32>, mark: &[u8], known: &mut HashSet<i32>) -> Vec<Process> {
    let own = getpid().as_raw_nonzero().get();
    let all: HashMap<i32, Process> = processes().map(|process| (process.pid, process)).collect();
    for process in all.values() {
        if Some(process.session) == leader || carries(process, mark) {
            known.insert(process.pid);
        }
    }
    loop {
        let before = known.len();
        for process in all.values() {
            if known.contains(&process.parent) {
                known.insert(process.pid);
            }
        }
        if known.len() == before {
            break;
        }
    }
    let mut found: Vec<Process> = all
        .into_values()
        .filter(|process| known.contains(&process.pid) && !process.ended && process.pid != own)
        .collect();
    known.retain(|pid| Some(*pid) == leader);
    // Parents first, so that none goes on after its children's end.
    found.sort_by_key(|process| (Some(process.pid) != leader, process.started, process.pid));
    found
}

fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .take(MOST)
}

fn carries(process: &Process, mark: &[u8]) -> bool {
    if process.ended {
        return false;
    }
    let mut bytes = Vec::new();
    let read = File::open(format!("/proc/{}/environ", process.pid))
        .and_then(|file| file.take(ENVIRONMENT).read_to_end(&mut bytes));
    read.is_ok()
        && bytes
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_hide_the_fields() {
        let stat = b"42 (a) R 1 b) S 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1";
        let process = Process::parse(42, stat).unwrap();
        assert_eq!(
            (process.parent, process.session, process.started),
            (7, 40, 12345)
        );
        assert!(!process.ended);
        assert!(Process::parse(1, b"1 (x").is_none());
    }

    #[test]
    fn what_is_left_of_a_session_is_killed_and_what_left_the_session_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 300 & echo $! > stays; setsid sleep 300 & echo $! > left; wait";
        let mut leader = std::process::Command::new("setsid")
            .args(["sh", "-c", script])
            .current_dir(&folder)
            .env(MARK, "this_test")
            .spawn()
            .unwrap();
        let child = |name: &str| -> Option<Process> {
            let text = fs::read_to_string(folder.path().join(name)).ok()?;
            let process = Process::read(text.trim().parse().ok()?)?;
            (!process.ended).then_some(process)
        };
        let session = |name| child(name).map(|process| process.session);
        let number = i32::try_from(leader.id()).unwrap();
        for _ in 0..1_000 {
            if session("stays") == Some(number) && session("left").is_some_and(|it| it != number) {
                break;
            }
            thread::sleep(BETWEEN);
        }
        leader.kill().unwrap();
        leader.wait().unwrap();
        assert_eq!(session("stays"), Some(number));
        // Another's mark.
        kill_session(number, "another");
        assert!(child("stays").is_some());
        kill_session(number, "this_test");
        assert!(child("stays").is_none());
        let left = child("left").expect("it goes on");
        left.kill();
    }
}
