//! The tree of mounts that a sandbox sees, built by the host's root in stage 0's own
//! mount namespace.
//!
//! Two rules. What a sandbox wrote in an earlier life is hostile: nothing here follows a
//! link in it. And every mount is made as the sandbox's root for file systems (with the
//! capabilities of the host's), because only its ids exist on the mounts that map ids.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        CWD, FileType, Mode, OFlags, ResolveFlags, makedev, mkdirat, mknodat, openat2, symlinkat,
    },
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
        mount, move_mount, open_tree, unmount,
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{Doing as _, Failure, Plan, stage, sys};
use crate::namespaces::loops;

/// Where things are below the stage.
const DISK: &str = "disk";
const ROOT: &str = "root";

const QUIET: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

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
        self.memory(plan, root.as_fd())?;
        times.part("dev, tmp and run");
        self.kernel(plan, root.as_fd(), first)?;
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

    /// What is in memory: `/dev`, `/tmp`, `/run`.
    fn memory(&self, plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let half = plan.memory_bytes / 2;
        let device = device_tree(plan, half).doing("making /dev")?;
        move_to(
            device.as_fd(),
            place(root, Path::new("dev")).doing("making /dev")?.as_fd(),
        )
        .doing("attaching /dev")?;
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
            let tree = memory(plan, mode, size).doing(&what)?;
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

    /// `/proc` and `/sys`, by a process in the sandbox's namespaces for processes and
    /// networks, which the two show.
    fn kernel(&self, plan: &Plan, root: BorrowedFd<'_>, first: i32) -> Result<(), Failure> {
        let processes = File::open(format!("/proc/{first}/ns/pid_for_children"))
            .doing("opening its processes")?;
        let network = File::open(format!("/proc/{first}/ns/net")).doing("opening its network")?;
        move_into_link_name_space(processes.as_fd(), Some(LinkNameSpaceType::ProcessID))
            .doing("entering its processes")?;
        let (socket, child) = super::channel::pair().doing("making a socket")?;
        match sys::fork().doing("forking")? {
            sys::Fork::Child => {
                let result = show_kernel(plan, root, network.as_fd()).map_err(|error| error.0);
                let _ = super::channel::send(&child, &result, &[]);
                sys::exit(0)
            }
            sys::Fork::Parent(pid) => {
                drop(child);
                let answer = super::channel::receive(&socket);
                stage::reap(pid);
                let (result, _): (Result<(), String>, _) =
                    answer.doing("waiting for /proc and /sys")?;
                result.map_err(Failure)
            }
        }
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
        let source = if kind == FileType::Directory {
            empty.as_fd()
        } else {
            nothing.as_fd()
        };
        let cover = open_tree(source, "", CLONE_THIS).doing("masking")?;
        move_to(cover.as_fd(), target.as_fd()).doing("masking")?;
    }
    for path in READ_ONLY {
        let target = match open_existing(root, path) {
            Err(Errno::NOENT) => continue,
            other => other.doing("opening what is read-only")?,
        };
        let cover = open_tree(&target, "", CLONE_THIS).doing("making a part of /proc read-only")?;
        let closed = libc::MOUNT_ATTR_RDONLY
            | libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOEXEC;
        sys::map_mount(cover.as_fd(), closed, None).doing("making a part of /proc read-only")?;
        move_to(cover.as_fd(), target.as_fd()).doing("making a part of /proc read-only")?;
    }
    Ok(())
}

const CLONE_THIS: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

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
    let top = memory(plan, "755", 64 << 10).doing(what)?;
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

/// `/dev`, with what every program expects and nothing else.
fn device_tree(plan: &Plan, _half: u64) -> io::Result<OwnedFd> {
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
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
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

fn memory(plan: &Plan, mode: &str, size: u64) -> io::Result<OwnedFd> {
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

/// Mounts a file system, attached nowhere yet.
fn filesystem(
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
fn share(source: &Path, at: &str, users: BorrowedFd<'_>) -> io::Result<()> {
    let tree = open_tree(
        CWD,
        source,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    sys::map_mount(tree.as_fd(), libc::MOUNT_ATTR_RDONLY, Some(users))?;
    directory(CWD, at, 0o700)?;
    attach(tree.as_fd(), CWD, at)
}

fn attach(
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

fn move_to(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    move_mount(
        mount,
        "",
        target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
    .map_err(Into::into)
}

fn directory(at: BorrowedFd<'_>, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    match mkdirat(at, path.as_ref(), Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a path below `root`, following no link.
fn open_existing(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd, Errno> {
    openat2(
        root,
        path.as_ref(),
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// A directory below `root` to mount on; made if it is missing.
fn place(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
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
