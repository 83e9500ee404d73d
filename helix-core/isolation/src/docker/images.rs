//! Docker images that an administrator imported, in every sandbox's Docker daemon.
//!
//! A host keeps them unpacked, once ([`DockerImages`]). A sandbox sees them in `/run`,
//! read-only and with its own ids, by one mount; before its daemon starts, the guest puts
//! them into the daemon's data: the records, which are small, as copies, and for
//! each layer a symbolic link to its files. So an image takes no space in a sandbox, its
//! files are in memory once for all, and nothing that a sandbox does changes them. What the
//! sandbox's daemon removes or replaces are its own links and records.
//!
//! They are not hard links, which cannot lead from one file system to another, and each
//! sandbox has one of its own: that is how its disk is limited. Overlays may have their
//! lower layers anywhere.
//!
//! Who unpacks an image is a real daemon in a sandbox that is thrown away
//! ([`import_docker_image`](crate::namespaces::import_docker_image)): an image is as
//! hostile as what runs from it.

mod data;
mod give;
mod store;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::store::DockerImages;
pub(crate) use self::{data::Data, give::give, store::Importing};

/// Where a sandbox sees the images.
pub(crate) const SHOWN: &str = "/run/helix-docker/images";

/// An image that a sandbox's Docker daemon is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerImage {
    /// Its id, `sha256:…`: the digest of its configuration.
    pub id: String,
    /// Its names, such as `debian:12`.
    pub names: Vec<String>,
}
