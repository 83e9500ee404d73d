//! A Docker daemon of a sandbox's own, inside it.
//!
//! The guest ([`guest`](crate::guest)) starts `dockerd` as root of the sandbox, in the
//! sandbox's own user, network, mount and cgroup namespaces: whatever a container is given
//! there, it reaches the sandbox and no more. The data is on the sandbox's disk, so it is
//! limited with it, kept while the sandbox is stopped, and part of its snapshots: a
//! sandbox made from a snapshot has its images without loading them.
//!
//! [`Docker`] starts it again when it breaks, a bounded number of times, and knows the
//! names of its containers ([`Directory`](names::Directory)). The host asks for them
//! through the guest ([`GuestNames`]) to answer the sandbox's DNS questions: for the host,
//! they are a hostile sandbox's words, and only its own questions are answered with them.

mod api;
mod daemon;
pub mod images;
pub mod names;
mod prepare;
mod relay;
mod routes;

pub use daemon::Docker;
pub use prepare::on_this_system;
pub use relay::{GuestNames, until_ready};
pub use routes::routes;

/// The socket that it listens on.
pub const SOCKET: &str = "/run/docker.sock";
/// Where its data is: a directory of the sandbox's disk, not of a layered file system.
pub const DATA: &str = "/var/lib/docker";
