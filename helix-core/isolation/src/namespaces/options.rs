//! What an administrator decides about the backend.

use std::path::PathBuf;

use crate::network;

/// What [`Namespaces`](super::Namespaces) is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything of the sandboxes is kept. Of one daemon only.
    pub data: PathBuf,
    /// The program to start as launcher: one whose `main` begins with
    /// [`launch_main`](super::launch_main). The running program itself unless given.
    pub program: PathBuf,
    /// The program that serves desktops ([`desktop`](crate::desktop)); without it, no
    /// sandbox has one.
    pub media: Option<PathBuf>,
    /// The program that every sandbox finds as [`TOOLS`](crate::TOOLS), read-only; the libraries
    /// that it needs are of the sandbox's own system. None unless given.
    pub tools: Option<PathBuf>,
    /// The first id of the host that is given to sandboxes, 65,536 to each.
    pub first_id: u32,
    /// How many sandboxes there may be: that many ranges of ids are theirs.
    pub most: u32,
    /// The name of the cgroup that holds those of the sandboxes, directly below the root
    /// of each hierarchy, so that they outlive the daemon's own. One per data directory
    /// unless given.
    pub cgroup: Option<String>,
    /// How many empty disks are kept in advance, of the size that was asked for last: a
    /// sandbox that finds one starts several times faster. Each takes some hundred
    /// kilobytes of disk and a loop device.
    pub spare_disks: usize,
    /// How the sandboxes' network is made; as usual for this data directory unless given.
    pub network: Option<network::Options>,
}

impl Options {
    /// With everything in `data`, and the rest as it is for most.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            program: PathBuf::from("/proc/self/exe"),
            media: None,
            tools: None,
            first_id: 0x5000_0000,
            most: 4_096,
            cgroup: None,
            spare_disks: 4,
            network: None,
        }
    }

    /// Where the images are, for [`Images`](crate::images::Images) of another process.
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }
    /// Where the Docker images for sandboxes are, for
    /// [`DockerImages`](crate::docker::images::DockerImages) of another process.
    pub fn docker_images(&self) -> PathBuf {
        self.data.join("docker-images")
    }
}
