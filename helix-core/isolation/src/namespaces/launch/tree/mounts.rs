//! The calls that make mounts.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    },
};

use crate::namespaces::launch::sys;

pub(super) const QUIET: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

pub(super) const CLONE_THIS: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// Mounts a file system, attached nowhere yet.
pub(super) fn filesystem(
    kind: &str,
    settings: &[(&str, &Path)],
    flags: &[&str],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in settings {
        fsconfig_set_string(&context, *key, *value)?;
    }
    for flag in flags {
        fsconfig_set_flag(&context, *flag)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(Into::into)
}

/// Attaches a read-only clone of a directory's mount, with the sandbox's ids.
pub(super) fn share(source: &Path, at: &str, users: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let tree = shared(source, users)?;
    directory(CWD, at, 0o700)?;
    attach(tree.as_fd(), CWD, at)
}

/// A read-only clone of a directory's mount, with the sandbox's ids.
pub(super) fn shared(source: &Path, users: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, source, flags)?;
    sys::map_mount(tree.as_fd(), libc::MOUNT_ATTR_RDONLY, users)?;
    Ok(tree)
}

pub(super) fn attach(
    mount: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    at: impl AsRef<Path>,
) -> io::Result<()> {
    move_mount(
        mount,
        "",
        directory,
        at.as_ref(),
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(Into::into)
}

pub(super) fn move_to(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    move_mount(
        mount,
        "",
        target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
    .map_err(Into::into)
}

pub(super) fn directory(at: BorrowedFd<'_>, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    match mkdirat(at, path.as_ref(), Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a path below `root`, following no link.
pub(super) fn open_existing(
    root: BorrowedFd<'_>,
    path: impl AsRef<Path>,
) -> Result<OwnedFd, Errno> {
    openat2(
        root,
        path.as_ref(),
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// A directory below `root` to mount on; made if it is missing.
pub(super) fn place(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut so_far = PathBuf::new();
    for part in path {
        let parent = open_existing(
            root,
            if so_far.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &so_far
            },
        )?;
        directory(parent.as_fd(), part, 0o755)?;
        so_far.push(part);
    }
    let place = open_existing(root, path)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
    if kind == FileType::Directory {
        Ok(place)
    } else {
        Err(io::Error::other(format!(
            "/{} is not a directory in the sandbox",
            path.display()
        )))
    }
}
