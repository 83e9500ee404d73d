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
    fs::File,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat},
    mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, open_tree, unmount},
};

use self::mounts::{QUIET, attach, directory, filesystem, move_to, place, share};
use super::{Doing as _, Failure, Plan, stage, sys};
use crate::namespaces::loops;

/// Where things are below the stage.
const DISK: &str = "disk";
const ROOT: &str = "root";

/// A tree that is being built.
pub(super) struct Tree {
    disk: OwnedFd,
}

impl Tree {
    /// Mounts what needs no ids yet: the disk.
    pub(super) fn new(plan: &Plan) -> Result<Self, Failure> {
        sys::keep_capabilities().doing("keeping capabilities")?;
        sys::file_ids(plan.first_id, plan.first_id).doing("becoming the sandbox's root")?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(&plan.disk)
            .doing("opening the disk")?;
        let (path, _device) = loops::attach(&file).doing("making a loop device for the disk")?;
        let disk = filesystem(
            "ext4",
            &[("source", &path), ("errors", Path::new("remount-ro"))],
            &["discard", "noinit_itable"],
            QUIET,
        )
        .doing("mounting the disk")?;
        Ok(Self { disk })
    }

    /// Builds the tree, and goes into it.
    pub(super) fn build(
        &mut self,
        plan: &Plan,
        first: i32,
        times: &mut stage::Times,
    ) -> Result<(), Failure> {
        let users = File::open(format!("/proc/{first}/ns/user")).doing("opening its users")?;
        self.enter_stage(plan)?;
        sys::map_mount(self.disk.as_fd(), 0, Some(users.as_fd()))
            .doing("mapping the disk's ids")?;
        attach(self.disk.as_fd(), CWD, DISK).doing("attaching the disk")?;
        self.layers(plan, users.as_fd())?;
        times.part("layers");
        let root = rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .doing("opening the root")?;
        memory::attach(plan, root.as_fd())?;
        times.part("dev, tmp and run");
        kernel::attach(plan, root.as_fd(), first)?;
        times.part("proc and sys");
        if plan.docker {
            self.docker(root.as_fd())?;
        }
        rustix::process::chdir(ROOT).doing("entering the root")?;
        rustix::process::pivot_root(".", ".").doing("making it the root")?;
        unmount(".", UnmountFlags::DETACH).doing("leaving the host's root")?;
        rustix::process::chdir("/").doing("entering the root")?;
        times.part("pivot");
        Ok(())
    }

    fn enter_stage(&self, plan: &Plan) -> Result<(), Failure> {
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

    /// The layered file systems, the root first.
    fn layers(&self, plan: &Plan, users: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut number = 0;
        for layered in &plan.layers {
            let mut lower = Vec::new();
            for source in &layered.lower {
                let name = format!("l{number}");
                number += 1;
                share(source, &name, users).doing(&format!("sharing {}", source.display()))?;
                lower.push(name);
            }
            let upper = format!("{DISK}/{}/upper", layered.name);
            let work = format!("{DISK}/{}/work", layered.name);
            for path in [&format!("{DISK}/{}", layered.name), &upper, &work] {
                directory(CWD, path, 0o755).doing("making a layer to write to")?;
            }
            let options = format!(
                "lowerdir={},upperdir={upper},workdir={work},redirect_dir=on,index=off,metacopy=off,xino=off",
                lower.join(":"),
            );
            let what = format!("mounting the layers of /{}", layered.at.display());
            let target = Path::new(ROOT);
            let options = std::ffi::CString::new(options).doing(&what)?;
            let scratch = if layered.at.as_os_str().is_empty() {
                target.to_owned()
            } else {
                let scratch = PathBuf::from(format!("m{number}"));
                directory(CWD, &scratch, 0o700).doing(&what)?;
                scratch
            };
            mount(
                "overlay",
                &scratch,
                "overlay",
                MountFlags::NODEV,
                Some(options.as_c_str()),
            )
            .doing(&what)?;
            if scratch != target {
                let root = rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
                    .doing(&what)?;
                let place = place(root.as_fd(), &layered.at).doing(&what)?;
                let tree =
                    open_tree(CWD, &scratch, OpenTreeFlags::OPEN_TREE_CLOEXEC).doing(&what)?;
                move_to(tree.as_fd(), place.as_fd()).doing(&what)?;
            }
        }
        Ok(())
    }

    /// A place on the disk for a Docker daemon's data, which cannot be on layers.
    fn docker(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let what = "making a place for Docker's data";
        let path = format!("{DISK}/docker");
        directory(CWD, &path, 0o710).doing(what)?;
        let tree = open_tree(
            CWD,
            &path,
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
        .doing(what)?;
        let place = place(root, Path::new("var/lib/docker")).doing(what)?;
        move_to(tree.as_fd(), place.as_fd()).doing(what)
    }
}
