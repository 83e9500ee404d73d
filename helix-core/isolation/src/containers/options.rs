//! What an administrator decides about the backend.

use std::path::PathBuf;

/// What [`Containers`](super::Containers) is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where what belongs to the sandboxes is kept, besides what the Docker daemon keeps.
    /// Of one daemon only.
    pub data: PathBuf,
    /// The Docker daemon's socket.
    pub socket: PathBuf,
    /// The program to run inside: one whose `main` begins with
    /// [`guest_main`](super::guest_main). The running program itself unless given.
    pub program: PathBuf,
    /// Whether programs inside find [`program`](Self::program), too, at [`TOOLS`](crate::TOOLS).
    pub tools: bool,
    /// The cgroup that holds those of the sandboxes; the Docker daemon's own unless given.
    pub cgroup_parent: Option<String>,
}

impl Options {
    /// With everything in `data`, and the rest as it is for most.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            socket: PathBuf::from("/var/run/docker.sock"),
            program: PathBuf::from("/proc/self/exe"),
            tools: false,
            cgroup_parent: None,
        }
    }
}
