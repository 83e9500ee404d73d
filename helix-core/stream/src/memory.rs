//! Memory that is shared with what draws.

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};

/// A file in memory that cannot shrink.
pub(crate) fn file(name: &str, bytes: u64) -> rustix::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, bytes)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(fd)
}
