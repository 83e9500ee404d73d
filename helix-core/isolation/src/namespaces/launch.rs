//! From a running daemon to the first process of a sandbox.
//!
//! The daemon has threads and must not fork, so it starts its own program again with
//! [`ARGUMENT`]: the launcher ([`forks`]), once, which has one thread and is the host's
//! root. It forks a stage 0 for each sandbox. Stage 0 forks a process that takes itself
//! into all namespaces but the mounts' and forks the sandbox's process 1 ([`inside`]).
//! Meanwhile it builds the sandbox's tree of mounts in a mount namespace of its own
//! ([`tree`]). Process 1 waits for its network, which the daemon makes, and until the tree
//! stands; then it copies the mount namespace into
//! one of the sandbox's own (the kernel locks everything in it: root of the sandbox can
//! unmount nothing), gives up what it must not have, and becomes the guest. Everybody else
//! ends. While any part waits for another, the death of that other is seen as the end of
//! a socket, and it ends too.
//!
//! The two sides talk over a packet socket: [`channel`].

pub(super) mod channel;
mod forks;
mod inside;
pub(crate) mod own_ids;
mod seccomp;
mod stage;
mod sys;
mod tree;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use serde::{Deserialize, Serialize};

use crate::{guest::GuestConfig, network};

/// The first argument of a program that is to be the launcher.
pub const ARGUMENT: &str = "helix-isolation-launch";

/// Becomes the launcher of sandboxes if the arguments say so.
///
/// Call it first thing in `main`, while there is one thread. If it returns a code, end
/// with it; else go on.
pub fn launch_main(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    (args.into_iter().nth(1)? == ARGUMENT).then(forks::run)
}

/// Everything that stage 0 must know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// An empty directory to build the tree on.
    pub(super) stage: PathBuf,
    /// The first of the 65,536 ids of the host that the sandbox's ids are.
    pub(super) first_id: u32,
    /// Whether the ids are [`own_ids`], which no mount maps.
    pub(super) own_ids: bool,
    /// Its file systems; the first is the root.
    pub(super) layers: Vec<Layered>,
    /// Whether it has a Docker daemon.
    pub(super) docker: bool,
    /// The host's images for it.
    pub(super) docker_images: PathBuf,
    /// The host's media program, where it has a desktop.
    pub(super) media: Option<PathBuf>,
    /// The host's program that every sandbox has.
    pub(super) tools: Option<PathBuf>,
    /// Its host name.
    pub(super) hostname: String,
    /// Its memory limit: bounds what is kept in memory.
    pub(super) memory_bytes: u64,
    /// The most processes of a user of the sandbox where no cgroup counts them all.
    pub(super) pids: Option<u32>,
    /// The most open files of a process.
    pub(super) open_files: u64,
    /// Its cgroups.
    pub(super) cgroups: Cgroups,
    /// Its name servers, as `/etc/resolv.conf` has them.
    pub(super) resolv_conf: String,
    /// Its side of its network, if it has one.
    pub(super) network: Option<network::inside::Config>,
    /// What the guest gets.
    pub(super) guest: GuestConfig,
}

/// A file system of a sandbox: layers that it shares, and one to write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layered {
    /// Where in the sandbox, without the leading slash; empty for the root.
    pub(super) at: PathBuf,
    /// What its part of the disk is called.
    pub(super) name: String,
    /// The directories that it shares, the uppermost first.
    pub(super) lower: Vec<PathBuf>,
}

/// Where the processes of a sandbox are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cgroups {
    /// Directories of hierarchies of version 1, with the controllers of each, as the
    /// directory below `/sys/fs/cgroup` is called.
    pub(super) v1: Vec<(String, PathBuf)>,
    /// The directory in the hierarchy of version 2.
    pub(super) v2: Option<PathBuf>,
}

/// What stage 0 tells the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// Process 1 exists, in all its namespaces but the mounts', and waits. Its pidfd comes
    /// with this, and a socket to it: a packet there says that its network is there and
    /// its policy holds.
    Prepared {
        /// Its id on the host.
        pid: i32,
    },
    /// Process 1 is about to become the guest.
    Started {
        /// How long each part took, in microseconds, for whoever wants to make it faster.
        times: Vec<(String, u64)>,
    },
    /// Something failed, and nothing is left.
    Failed(String),
}

/// What failed, in words.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

/// Says what was being done when something failed.
pub(super) trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
