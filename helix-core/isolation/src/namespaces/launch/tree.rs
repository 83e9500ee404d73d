//! The tree of mounts that a sandbox sees, built by the host's root in stage 0's own
//! mount namespace.
//!
//! Two rules. What a sandbox wrote in an earlier life is hostile: nothing here follows a
//! link in it. And every mount is made as the sandbox's root for file systems (with the
//! capabilities of the host's), because only its ids exist on the mounts that map ids.

mod kernel;
mod memory;
mod mounts;

use std::{
    ffi::CString,
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat},
    mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, open_tree, unmount},
};

use self::mounts::{QUIET, attach, directory, filesystem, move_to, place, share, shared};
use super::{Doing as _, Failure, Layered, Plan, stage, sys};
use crate::{TOOLS, desktop, docker::images};

/// Where things are below the stage.
const DISK: &str = "disk";
const ROOT: &str = "root";

/// Builds the tree, and goes into it. `first` is in the sandbox's namespaces. Returns a
/// child that is ending, and must have ended before anything runs in the sandbox.
pub(super) fn build(
    plan: &Plan,
    disk: &OwnedFd,
    first: i32,
    times: &mut stage::Times,
) -> Result<i32, Failure> {
    sys::keep_capabilities().doing("keeping capabilities")?;
    sys::file_ids(plan.first_id, plan.first_id).doing("becoming the sandbox's root")?;
    let users = File::open(format!("/proc/{first}/ns/user")).doing("opening its users")?;
    let users = (!plan.own_ids).then_some(users.as_fd());
    enter_stage(plan)?;
    sys::map_mount(disk.as_fd(), 0, users).doing("mapping the disk's ids")?;
    attach(disk.as_fd(), CWD, DISK).doing("attaching the disk")?;
    for (number, layered) in plan.layers.iter().enumerate() {
        let what = format!("mounting the layers of /{}", layered.at.display());
        layers(layered, number, users, &what)?;
    }
    times.part("layers");
    let root = open_root().doing("opening the root")?;
    memory::attach(plan, root.as_fd())?;
    times.part("dev, tmp and run");
    let ends = kernel::attach(plan, root.as_fd(), first)?;
    times.part("proc and sys");
    if plan.docker {
        docker(root.as_fd()).doing("making a place for Docker's data")?;
        show_images(plan, root.as_fd(), users).doing("showing it the host's Docker images")?;
    }
    if let Some(media) = &plan.media {
        show_program(media, desktop::PROGRAM, root.as_fd())
            .doing("showing it the host's media program")?;
    }
    if let Some(tools) = &plan.tools {
        show_program(tools, TOOLS, root.as_fd()).doing("showing it the host's own program")?;
    }
    rustix::process::chdir(ROOT).doing("entering the root")?;
    rustix::process::pivot_root(".", ".").doing("making it the root")?;
    unmount(".", UnmountFlags::DETACH).doing("leaving the host's root")?;
    rustix::process::chdir("/").doing("entering the root")?;
    times.part("pivot");
    Ok(ends)
}

fn enter_stage(plan: &Plan) -> Result<(), Failure> {
    let stage = filesystem(
        "tmpfs",
        &[("size", Path::new("64k")), ("mode", Path::new("700"))],
        &[],
        QUIET,
    )
    .doing("mounting the stage")?;
    for name in [DISK, ROOT] {
        mkdirat(&stage, name, Mode::RWXU).doing("making the stage")?;
    }
    attach(stage.as_fd(), CWD, &plan.stage).doing("attaching the stage")?;
    rustix::process::fchdir(&stage).doing("entering the stage")
}

/// A layered file system, on the stage's root or at its place below it. Where no mount maps
/// `users`, only the root is layered.
fn layers(
    layered: &Layered,
    number: usize,
    users: Option<BorrowedFd<'_>>,
    what: &str,
) -> Result<(), Failure> {
    let is_root = layered.at.as_os_str().is_empty();
    if let Some(source) = layered.lower.last().filter(|_| users.is_none() && !is_root) {
        return show(source, &layered.at).doing(what);
    }
    let mut lower = Vec::new();
    for (depth, source) in layered.lower.iter().enumerate() {
        let name = format!("l{number}.{depth}");
        share(source, &name, users).doing(&format!("sharing {}", source.display()))?;
        lower.push(name);
    }
    let place_of_own = format!("{DISK}/{}", layered.name);
    let (upper, work) = (
        format!("{place_of_own}/upper"),
        format!("{place_of_own}/work"),
    );
    for path in [&place_of_own, &upper, &work] {
        directory(CWD, path, 0o755).doing("making a layer to write to")?;
    }
    let lower = lower.join(":");
    // Attributes of its own are for the host's root alone.
    let how = users.map_or("userxattr", |_| "redirect_dir=on");
    let options = format!(
        "lowerdir={lower},upperdir={upper},workdir={work},{how},index=off,metacopy=off,xino=off"
    );
    let options = CString::new(options).doing(what)?;
    let overlay = |at: &str| {
        mount(
            "overlay",
            at,
            "overlay",
            MountFlags::NODEV,
            Some(options.as_c_str()),
        )
        .doing(what)
    };
    if is_root {
        return overlay(ROOT);
    }
    let scratch = format!("m{number}");
    directory(CWD, &scratch, 0o700).doing(what)?;
    overlay(&scratch)?;
    let root = open_root().doing(what)?;
    let at = place(root.as_fd(), &layered.at).doing(what)?;
    let tree = open_tree(CWD, &scratch, OpenTreeFlags::OPEN_TREE_CLOEXEC).doing(what)?;
    move_to(tree.as_fd(), at.as_fd()).doing(what)
}

fn open_root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(ROOT, flags, Mode::empty()).map_err(Into::into)
}

/// A place on the disk for a Docker daemon's data, which cannot be on layers.
fn docker(root: BorrowedFd<'_>) -> io::Result<()> {
    let path = format!("{DISK}/docker");
    directory(CWD, &path, 0o710)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, &path, flags)?;
    let place = place(root, Path::new("var/lib/docker"))?;
    move_to(tree.as_fd(), place.as_fd())
}

/// The host's Docker images, for the daemon's data to link to.
fn show_images(plan: &Plan, root: BorrowedFd<'_>, users: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let images = shared(&plan.docker_images, users)?;
    let shown = images::SHOWN.trim_start_matches('/');
    let place = place(root, Path::new(shown))?;
    move_to(images.as_fd(), place.as_fd())
}

/// A program of the host's, where the sandbox looks for it.
fn show_program(program: &Path, shown: &str, root: BorrowedFd<'_>) -> io::Result<()> {
    let shown = Path::new(shown.trim_start_matches('/'));
    let (Some(folder), Some(name)) = (shown.parent(), shown.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let folder = place(root, folder)?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let at = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o555))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let program = open_tree(CWD, program, flags)?;
    sys::set_mounts(
        program.as_fd(),
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
    )?;
    move_to(program.as_fd(), at.as_fd())
}

/// Shows a directory of the host's as it is, read-only, where its files' owners are nobody in
/// the sandbox.
fn show(source: &Path, at: &Path) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, flags)?;
    sys::set_mounts(
        tree.as_fd(),
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
    )?;
    let root = open_root()?;
    move_to(tree.as_fd(), place(root.as_fd(), at)?.as_fd())
}
