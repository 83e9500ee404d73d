//! Copies of what any user of the host can read.

use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink},
    path::Path,
};

/// Nothing larger is a configuration.
const LARGEST: u64 = 16 << 20;

/// Made anew for each sandbox or for all of them.
const LEFT_OUT: [&str; 12] = [
    "fstab",
    "group",
    "group-",
    "gshadow",
    "hostname",
    "hosts",
    "machine-id",
    "passwd",
    "passwd-",
    "resolv.conf",
    "shadow",
    "subgid-",
];

/// Whether a user without any privilege could read this.
pub(super) fn is_readable(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let kind = metadata.file_type();
    if kind.is_symlink() {
        true
    } else if kind.is_dir() {
        mode & 0o005 == 0o005
    } else {
        kind.is_file() && mode & 0o004 != 0
    }
}

/// Copies a tree, with its owners and modes, without what is not readable. A tree that
/// does not exist has an empty copy.
pub(super) fn readable(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let Ok(metadata) = fs::symlink_metadata(from) else {
        return Ok(());
    };
    if metadata.is_dir() && is_readable(&metadata) {
        directory(from, to, true)?;
        own(to, &metadata)?;
    }
    Ok(())
}

fn directory(from: &Path, to: &Path, top: bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let left_out = top && LEFT_OUT.iter().any(|one| name == *one);
        // What went away meanwhile is not copied.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if left_out || !is_readable(&metadata) || metadata.len() > LARGEST {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if metadata.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
            lchown(&to, Some(metadata.uid()), Some(metadata.gid()))?;
            continue;
        }
        if metadata.is_dir() {
            fs::create_dir(&to)?;
            directory(&from, &to, false)?;
        } else {
            fs::copy(&from, &to)?;
        }
        own(&to, &metadata)?;
    }
    Ok(())
}

fn own(path: &Path, metadata: &Metadata) -> io::Result<()> {
    chown(path, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o7777))
}
