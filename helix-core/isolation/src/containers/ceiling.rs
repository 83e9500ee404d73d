//! How many open files a Docker daemon can let a container have.

use std::{io, os::unix::net::UnixStream, path::Path};

/// `CAP_SYS_RESOURCE`, with which a process has more than its own limits.
const SYS_RESOURCE: u64 = 1 << 24;

/// The most open files of a container, where the daemon that listens at `socket` has no
/// right to give more than it has: it would not start one that is to have them.
pub(super) fn open_files(socket: &Path) -> io::Result<Option<u64>> {
    let daemon = rustix::net::sockopt::socket_peercred(UnixStream::connect(socket)?)?;
    let about = format!("/proc/{}", daemon.pid.as_raw_nonzero());
    let status = std::fs::read_to_string(format!("{about}/status"))?;
    let limits = std::fs::read_to_string(format!("{about}/limits"))?;
    Ok(most(&status, &limits))
}

fn most(status: &str, limits: &str) -> Option<u64> {
    let may = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))?;
    if u64::from_str_radix(may.trim(), 16).ok()? & SYS_RESOURCE != 0 {
        return None;
    }
    let mut lines = limits.lines();
    let files = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    files.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_without_the_right_gives_no_more_than_it_has() {
        let limits = "Max processes   1 2 processes\nMax open files            1024   \
                      20000                files\n";
        let without = "Name:\tdockerd\nCapBnd:\t000001fffeffffff\n";
        assert_eq!(most(without, limits), Some(20_000));
        assert_eq!(most("CapBnd:\t000001ffffffffff\n", limits), None);
        assert_eq!(most(without, "Max open files 1024 unlimited files\n"), None);
    }
}
