//! What the kernel shows of itself: `/proc`, `/sys`.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, mkdirat, symlinkat},
    io::Errno,
    mount::{MountAttrFlags, OpenTreeFlags, open_tree},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    memory,
    mounts::{CLONE_THIS, QUIET, filesystem, move_to, open_existing, place},
};
use crate::namespaces::launch::{Doing as _, Failure, Plan, channel, sys};

/// What `/proc` shows of the machine that a sandbox has no use for.
const MASKED: [&str; 10] = [
    "proc/acpi",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/sysrq-trigger",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/firmware",
];
/// What may be read and not written, whatever the kernel would allow.
const READ_ONLY: [&str; 4] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys"];

/// `/proc` and `/sys`, by a process in the sandbox's namespaces for processes and
/// networks, which the two show.
pub(super) fn attach(plan: &Plan, root: BorrowedFd<'_>, first: i32) -> Result<i32, Failure> {
    let processes =
        File::open(format!("/proc/{first}/ns/pid_for_children")).doing("opening its processes")?;
    let network = File::open(format!("/proc/{first}/ns/net")).doing("opening its network")?;
    move_into_link_name_space(processes.as_fd(), Some(LinkNameSpaceType::ProcessID))
        .doing("entering its processes")?;
    let (socket, child) = channel::pair().doing("making a socket")?;
    match sys::fork().doing("forking")? {
        sys::Fork::Child => {
            let result = show_kernel(plan, root, network.as_fd()).map_err(|error| error.0);
            let _ = channel::send(&child, &result, &[]);
            sys::exit(0)
        }
        sys::Fork::Parent(pid) => {
            drop(child);
            let (result, _): (Result<(), String>, _) =
                channel::receive(&socket).doing("waiting for /proc and /sys")?;
            result.map_err(Failure).map(|()| pid)
        }
    }
}

/// Runs in the sandbox's namespaces for processes and networks.
fn show_kernel(plan: &Plan, root: BorrowedFd<'_>, network: BorrowedFd<'_>) -> Result<(), Failure> {
    let closed = QUIET.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
    let proc = filesystem("proc", &[], &[], closed).doing("mounting /proc")?;
    move_to(
        proc.as_fd(),
        place(root, Path::new("proc"))
            .doing("making /proc")?
            .as_fd(),
    )
    .doing("attaching /proc")?;
    move_into_link_name_space(network, Some(LinkNameSpaceType::Network))
        .doing("entering its network")?;
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let flags = if plan.docker {
        closed
    } else {
        closed.union(read_only)
    };
    let sys = filesystem("sysfs", &[], &[], flags).doing("mounting /sys")?;
    move_to(
        sys.as_fd(),
        place(root, Path::new("sys")).doing("making /sys")?.as_fd(),
    )
    .doing("attaching /sys")?;
    if plan.docker {
        show_cgroups(plan, root)
    } else {
        mask(root)
    }
}

/// Hides what a sandbox has no use for. A sandbox with a Docker daemon has none of these:
/// the kernel lets nobody mount a new `/proc` who sees only a part of one, and its
/// containers need one each. The kernel's own checks hold for both: none of these files is
/// open to a user without privileges on the host, and a sandbox's root is none.
fn mask(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let nothing = open_existing(root, "dev/null").doing("opening /dev/null")?;
    let empty = filesystem(
        "tmpfs",
        &[("size", Path::new("4k")), ("mode", Path::new("555"))],
        &[],
        QUIET.union(MountAttrFlags::MOUNT_ATTR_RDONLY),
    )
    .doing("making an empty directory")?;
    let mut is_attached = false;
    for path in MASKED {
        let target = match open_existing(root, path) {
            Err(Errno::NOENT) => continue,
            other => other.doing("opening what is masked")?,
        };
        let kind = FileType::from_raw_mode(
            rustix::fs::fstat(&target)
                .doing("looking at what is masked")?
                .st_mode,
        );
        if kind != FileType::Directory {
            cover(nothing.as_fd(), target.as_fd()).doing("masking")?;
        } else if is_attached {
            cover(empty.as_fd(), target.as_fd()).doing("masking")?;
        } else {
            // Before Linux 6.15, only a mount that is attached can be cloned.
            move_to(empty.as_fd(), target.as_fd()).doing("masking")?;
            is_attached = true;
        }
    }
    for path in READ_ONLY {
        let target = match open_existing(root, path) {
            Err(Errno::NOENT) => continue,
            other => other.doing("opening what is read-only")?,
        };
        let clone = open_tree(&target, "", CLONE_THIS).doing("making a part of /proc read-only")?;
        let closed = libc::MOUNT_ATTR_RDONLY
            | libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOEXEC;
        sys::map_mount(clone.as_fd(), closed, None).doing("making a part of /proc read-only")?;
        move_to(clone.as_fd(), target.as_fd()).doing("making a part of /proc read-only")?;
    }
    // To let go of a mount takes the kernel as long as all of this: it goes with the process.
    std::mem::forget(empty);
    Ok(())
}

fn cover(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let clone = open_tree(source, "", CLONE_THIS)?;
    move_to(clone.as_fd(), target)
}

/// The sandbox's own cgroups, which its Docker daemon divides further.
fn show_cgroups(plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let what = "showing it its cgroups";
    let at = open_existing(root, "sys/fs/cgroup").doing(what)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if plan.cgroups.v1.is_empty() {
        let Some(path) = &plan.cgroups.v2 else {
            return Ok(());
        };
        let tree = open_tree(CWD, path, flags).doing(what)?;
        return move_to(tree.as_fd(), at.as_fd()).doing(what);
    }
    let top = memory::empty(plan, "755", 64 << 10).doing(what)?;
    move_to(top.as_fd(), at.as_fd()).doing(what)?;
    for (name, path) in &plan.cgroups.v1 {
        mkdirat(&top, name.as_str(), Mode::from_raw_mode(0o755)).doing(what)?;
        let place = open_existing(top.as_fd(), name).doing(what)?;
        let tree = open_tree(CWD, path, flags).doing(what)?;
        move_to(tree.as_fd(), place.as_fd()).doing(what)?;
        for alias in name.split(',').filter(|alias| *alias != name.as_str()) {
            symlinkat(name.as_str(), &top, alias).doing(what)?;
        }
    }
    Ok(())
}
