//! The operating system's limits on this process. They hold for the whole process,
//! so it is a daemon's `main` that raises them, and never a library.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as the system lets this process: every
/// connection takes a descriptor, and shells start programs with room for a
/// thousand. Programs that are started from here on inherit it.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::debug!(limit = ?limit.current, "the limit of open files was raised"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}
