//! Why an engine ended, from its exit and its last words.

use helix_proto::runner::FailureKind;

use super::Fault;
use crate::{
    engine::shows_out_of_memory,
    process::{EXIT_CANNOT_START, Exit},
};

/// How many of the last lines are looked at.
const LINES: usize = 60;

/// How often the kernel has killed a process for want of memory since boot.
pub(super) fn kernel_oom_kills() -> u64 {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = counters
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Why an engine ended that nobody asked to end. `oom_killed` says whether the
/// kernel killed anyone for want of memory while the engine ran.
pub(super) fn diagnose(exit: Exit, log: &[String], oom_killed: bool) -> Fault {
    let log = &log[log.len().saturating_sub(LINES)..];
    let last = log
        .iter()
        .rev()
        .find(|line| is_telling(line))
        .or(log.last());
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    let (kind, message) = if oom_killed && exit.is_sigkill() {
        let message = "the kernel killed the engine because main memory ran out".to_owned();
        (FailureKind::OutOfMemory, message)
    } else if shows_out_of_memory(log) {
        (
            FailureKind::OutOfMemory,
            format!("the engine ran out of memory{last}"),
        )
    } else if exit == Exit::Code(i32::from(EXIT_CANNOT_START)) {
        (
            FailureKind::EngineMissing,
            format!("the engine could not be started{last}"),
        )
    } else {
        (FailureKind::Crashed, format!("the engine {exit}{last}"))
    };
    Fault {
        kind,
        message,
        by_chance: kind == FailureKind::Crashed && lost_its_port(log),
    }
}

/// Whether a line is likely to say what went wrong.
fn is_telling(line: &str) -> bool {
    let line = line.to_lowercase();
    ["error", "fail", "cannot", "could not", "unable", "invalid"]
        .iter()
        .any(|word| line.contains(word))
}

/// Whether someone else took the port between its choice and the engine's start.
fn lost_its_port(log: &[String]) -> bool {
    log.iter().any(|line| {
        let line = line.to_lowercase();
        line.contains("address already in use") || line.contains("couldn't bind")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exit: Exit, log: &[&str], oom_killed: bool) -> (FailureKind, bool) {
        let log: Vec<String> = log.iter().map(|&line| line.to_owned()).collect();
        let fault = diagnose(exit, &log, oom_killed);
        (fault.kind, fault.by_chance)
    }

    #[test]
    fn a_kill_is_the_kernels_only_when_the_kernel_says_so() {
        assert_eq!(
            check(Exit::Signal(9), &[], true),
            (FailureKind::OutOfMemory, false)
        );
        assert_eq!(
            check(Exit::Signal(9), &[], false),
            (FailureKind::Crashed, false)
        );
        assert_eq!(
            check(Exit::Code(1), &["model loaded"], true),
            (FailureKind::Crashed, false)
        );
    }

    #[test]
    fn last_words_tell_memory_ports_and_missing_programs_apart() {
        let oom = ["CUDA error: out of memory", "exiting"];
        assert_eq!(
            check(Exit::Code(1), &oom, false),
            (FailureKind::OutOfMemory, false)
        );
        let port = ["OSError: [Errno 98] Address already in use"];
        assert_eq!(
            check(Exit::Code(1), &port, false),
            (FailureKind::Crashed, true)
        );
        let missing = ["cannot start /x: No such file or directory"];
        assert_eq!(
            check(Exit::Code(127), &missing, false),
            (FailureKind::EngineMissing, false)
        );
    }

    #[test]
    fn the_message_carries_the_line_that_says_most() {
        let log = [
            "E failed to load model '/m.gguf'".to_owned(),
            "cleaning up".to_owned(),
        ];
        let fault = diagnose(Exit::Code(1), &log, false);
        assert_eq!(
            fault.message,
            "the engine exited with code 1: E failed to load model '/m.gguf'"
        );
    }
}
