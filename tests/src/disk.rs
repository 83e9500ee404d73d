//! Disks that are soon full: memory that a program sees as a disk of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Mounts `$1` bytes on the folder `$0`, for the program after them and what it starts.
const MOUNT: &str = r#"mount -t tmpfs -o size="$1",mode=700 tmpfs "$0" && shift && exec "$@""#;

/// A small disk, as one program sees it.
#[derive(Debug)]
pub struct SmallDisk {
    pid: i32,
    path: PathBuf,
}

impl SmallDisk {
    /// Bytes that it has at first.
    pub const SIZE: u64 = 4 << 20;

    pub(crate) const fn new(pid: i32, path: PathBuf) -> Self {
        Self { pid, path }
    }

    /// A file on it.
    pub(crate) fn read(&self, name: &str) -> String {
        let seen = format!("/proc/{}/root{}/{name}", self.pid, self.path.display());
        fs::read_to_string(seen).unwrap()
    }

    /// Makes room on it.
    ///
    /// # Panics
    /// When the system does not.
    pub fn make_room(&self) {
        let mut mount = Command::new("nsenter");
        mount.args(["--mount", "--target", &self.pid.to_string()]);
        mount
            .args(["mount", "-o", "remount,size=256m"])
            .arg(&self.path);
        assert!(mount.status().unwrap().success(), "{mount:?}");
    }
}

/// Whether this process may mount anything; says so if not.
#[expect(clippy::print_stdout, reason = "who reads the tests' output is told")]
pub fn may_mount() -> bool {
    let may = rustix::process::geteuid().is_root();
    if !may {
        println!("skipped: only root may mount a small disk");
    }
    may
}

/// `command`, with a disk of `bytes` on a folder that it alone sees. The process
/// stays the same one.
pub fn mounted(folder: &Path, bytes: u64, command: &Command) -> Command {
    let mut mounted = Command::new("unshare");
    mounted.args(["--mount", "sh", "-c", MOUNT]).arg(folder);
    mounted.arg(bytes.to_string()).arg(command.get_program());
    mounted.args(command.get_args());
    mounted
}
