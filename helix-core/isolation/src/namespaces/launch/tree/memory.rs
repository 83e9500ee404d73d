//! What is in memory: `/dev`, `/tmp`, `/run`.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat, symlinkat},
    mount::{MountAttrFlags, OpenTreeFlags, open_tree},
};

use super::mounts::{QUIET, filesystem, move_to, place};
use crate::namespaces::launch::{Doing as _, Failure, Plan};

/// The devices that every program expects.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Makes them, and attaches them below the sandbox's root.
pub(super) fn attach(plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let half = plan.memory_bytes / 2;
    let device = device_tree(plan).doing("making /dev")?;
    move_to(
        device.as_fd(),
        place(root, Path::new("dev")).doing("making /dev")?.as_fd(),
    )
    .doing("attaching /dev")?;
    if plan.own_ids {
        borrow_devices(device.as_fd()).doing("showing the host's devices")?;
    }
    let terminals = filesystem(
        "devpts",
        &[
            ("ptmxmode", Path::new("0666")),
            ("mode", Path::new("0620")),
            ("gid", Path::new(&(plan.first_id + 5).to_string())),
        ],
        &["newinstance"],
        MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC),
    )
    .doing("making terminals")?;
    move_to(
        terminals.as_fd(),
        place(root, Path::new("dev/pts"))
            .doing("making /dev/pts")?
            .as_fd(),
    )
    .doing("attaching /dev/pts")?;
    for (at, mode, size) in [
        ("dev/shm", "1777", half),
        ("tmp", "1777", half),
        ("run", "755", plan.memory_bytes / 5),
    ] {
        let what = format!("making /{at}");
        let tree = empty(plan, mode, size).doing(&what)?;
        move_to(
            tree.as_fd(),
            place(root, Path::new(at)).doing(&what)?.as_fd(),
        )
        .doing(&what)?;
        if at == "run" {
            mkdirat(&tree, "lock", Mode::from_raw_mode(0o1777)).doing(&what)?;
        }
    }
    Ok(())
}

/// The host's devices where only the host's root can make any.
fn borrow_devices(tree: BorrowedFd<'_>) -> io::Result<()> {
    for (name, ..) in DEVICES {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let at = openat(tree, name, flags, Mode::from_raw_mode(0o666))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let device = open_tree(CWD, Path::new("/dev").join(name), flags)?;
        move_to(device.as_fd(), at.as_fd())?;
    }
    Ok(())
}

/// `/dev`, with what every program expects and nothing else.
fn device_tree(plan: &Plan) -> io::Result<OwnedFd> {
    let owner = plan.first_id.to_string();
    let tree = filesystem(
        "tmpfs",
        &[
            ("size", Path::new("64k")),
            ("mode", Path::new("755")),
            ("uid", Path::new(&owner)),
            ("gid", Path::new(&owner)),
        ],
        &[],
        MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC),
    )?;
    let made: &[_] = if plan.own_ids { &[] } else { &DEVICES };
    for (name, major, minor) in made.iter().copied() {
        mknodat(
            &tree,
            name,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(major, minor),
        )?;
    }
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlinkat(target, &tree, name)?;
    }
    for name in ["pts", "shm"] {
        mkdirat(&tree, name, Mode::from_raw_mode(0o755))?;
    }
    Ok(tree)
}

/// An empty file system in memory, of the sandbox's root.
pub(super) fn empty(plan: &Plan, mode: &str, size: u64) -> io::Result<OwnedFd> {
    let owner = plan.first_id.to_string();
    filesystem(
        "tmpfs",
        &[
            ("size", Path::new(&size.to_string())),
            ("mode", Path::new(mode)),
            ("uid", Path::new(&owner)),
            ("gid", Path::new(&owner)),
        ],
        &[],
        QUIET,
    )
}
