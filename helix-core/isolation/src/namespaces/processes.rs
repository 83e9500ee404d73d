//! A sandbox's processes where no control group holds them: found by their namespace, seen
//! and signalled one by one.

use std::{fs, io, path::PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::cgroup::Usage;

/// In a second, as `/proc` counts: on every architecture that sandboxes run on.
const TICKS: u64 = 100;
/// How often processes that appear meanwhile are looked for.
const MOST_LOOKS: u32 = 1_000;

/// All processes in the namespace of `first`.
fn all(first: i32) -> io::Result<Vec<i32>> {
    let namespace = fs::read_link(of(first, "ns/pid"))?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ended meanwhile is in no namespace.
        if fs::read_link(of(pid, "ns/pid")).is_ok_and(|its| its == namespace) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// What the processes that live use now; of those that ended, what their parents noted.
pub(super) fn usage(first: i32) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for pid in all(first)? {
        if let Some((ticks, bytes)) = accounts(pid) {
            usage.cpu_us += ticks * 1_000_000 / TICKS;
            usage.memory_bytes += bytes;
            usage.pids += 1;
        }
    }
    Ok(usage)
}

/// Processor time in ticks, and bytes of memory that no file backs.
fn accounts(pid: i32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(of(pid, "stat")).ok()?;
    let fields: Vec<_> = fields(&stat)?;
    let ticks = (11..15).filter_map(|at| fields.get(at)?.parse::<u64>().ok());
    let status = fs::read_to_string(of(pid, "status")).ok()?;
    let kilobytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    };
    let memory = ["RssAnon:", "RssShmem:"].into_iter().filter_map(kilobytes);
    Some((ticks.sum(), memory.sum::<u64>() * 1024))
}

/// Those after the name, which may hold anything: the first is the state.
fn fields(stat: &str) -> Option<Vec<&str>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().collect())
}

fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(of(pid, "stat")).unwrap_or_default();
    // What has ended, or is ending, no longer runs either.
    fields(&stat).is_none_or(|fields| matches!(fields.first(), Some(&"T" | &"Z" | &"X")))
}

/// Stops all processes, also those that are forked meanwhile.
pub(super) fn stop(first: i32) -> io::Result<()> {
    for _ in 0..MOST_LOOKS {
        let running: Vec<_> = all(first)?
            .into_iter()
            .filter(|pid| !is_stopped(*pid))
            .collect();
        if running.is_empty() {
            return Ok(());
        }
        signal(first, &running, Signal::STOP)?;
        std::thread::yield_now();
    }
    Err(io::Error::other("more and more processes are forked"))
}

/// Lets all processes go on.
pub(super) fn go_on(first: i32) -> io::Result<()> {
    signal(first, &all(first)?, Signal::CONT)
}

/// Whether all processes are stopped.
pub(super) fn are_stopped(first: i32) -> io::Result<bool> {
    Ok(all(first)?.into_iter().all(is_stopped))
}

fn signal(first: i32, processes: &[i32], signal: Signal) -> io::Result<()> {
    let namespace = fs::read_link(of(first, "ns/pid"))?;
    for pid in processes {
        // One that ended meanwhile needs none, and its id may be another's by now: what is
        // held after the descriptor was opened is what the next line looks at.
        let held = Pid::from_raw(*pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let Some(Ok(held)) = held else {
            continue;
        };
        if fs::read_link(of(*pid, "ns/pid")).is_ok_and(|its| its == namespace) {
            let _ = pidfd_send_signal(&held, signal);
        }
    }
    Ok(())
}

fn of(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}
