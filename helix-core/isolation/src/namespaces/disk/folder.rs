//! A disk where nobody may mount one: a directory. The kernel holds it to no size.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use crate::namespaces::own_ids;

/// An empty one, at `path`.
pub(super) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    chown(path, Some(own_ids::in_files(0)), Some(own_ids::in_files(0)))
}

/// Copies one with everything that files have; shares blocks where the file system can. Of a
/// sandbox that runs, each file as it is at its turn.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let output = Command::new("cp")
        .args(["--archive", "--reflink=auto", "--no-target-directory", "--"])
        .args([from, to])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    // What of it is there is not to be taken for a copy.
    let _ = fs::remove_dir_all(to);
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("cp failed: {}", said.trim())))
}

/// How many bytes it takes.
pub(super) fn used(path: &Path) -> io::Result<u64> {
    let about = match fs::symlink_metadata(path) {
        // What a sandbox that runs removes meanwhile takes none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        about => about?,
    };
    let mut bytes = about.blocks() * 512;
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            bytes += used(&entry?.path())?;
        }
    }
    Ok(bytes)
}
