//! The system calls that no crate offers in a safe form: the only `unsafe` code of this
//! backend. Every caller of [`fork`] and [`fork_into`] has a single thread.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use rustix::thread::UnshareFlags;

/// `linux/sched.h`
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A new process, as its two sides see it.
pub(super) enum Fork {
    /// This is the new process.
    Child,
    /// This is the old one; the new one has this id.
    Parent(i32),
}

/// Forks this process, which must have a single thread.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: the process has a single thread (its first call is `launch_main`, before
    // any runtime), so that no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Forks this process, which must have a single thread, into a cgroup of version 2.
pub(super) fn fork_into(cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    let arguments = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD.cast_unsigned().into(),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: u64::from(cgroup.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: without a stack and without CLONE_VM this is a fork; single thread as above.
    // The argument block is of the size that is given, and outlives the call.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => i32::try_from(pid)
            .map(Fork::Parent)
            .map_err(io::Error::other),
    }
}

/// Takes this process, which must have a single thread, into new namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors stay shared: FILES is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags & !UnshareFlags::FILES) }.map_err(Into::into)
}

/// Ends this process at once, without destructors.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code) }
}

/// Changes how a mount maps ids, and its flags, before it is attached anywhere.
pub(super) fn map_mount(
    mount: BorrowedFd<'_>,
    attributes: u64,
    users: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    set_mount(mount, attributes, users, libc::AT_EMPTY_PATH)
}

/// Changes the flags of a mount and of those below it.
pub(super) fn set_mounts(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    set_mount(
        mount,
        attributes,
        None,
        libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    )
}

fn set_mount(
    mount: BorrowedFd<'_>,
    attributes: u64,
    users: Option<BorrowedFd<'_>>,
    flags: libc::c_int,
) -> io::Result<()> {
    let change = libc::mount_attr {
        attr_set: attributes
            | if users.is_some() {
                libc::MOUNT_ATTR_IDMAP
            } else {
                0
            },
        attr_clr: 0,
        propagation: 0,
        userns_fd: users.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: the path is a C string, the block is of the size given; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result)
}

/// Who this process is for file systems. Its capabilities stay as they are where
/// [`keep_capabilities`] was called.
pub(super) fn file_ids(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: plain integers. Both return the former id, so each is called twice: the
    // second time to see whether the first one held.
    let (seen_gid, seen_uid) = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsgid(gid), libc::setfsuid(uid))
    };
    if seen_gid.cast_unsigned() == gid && seen_uid.cast_unsigned() == uid {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

/// Capabilities no longer change with user ids.
pub(super) fn keep_capabilities() -> io::Result<()> {
    use rustix::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits};
    set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP).map_err(Into::into)
}

/// Installs a seccomp filter without giving up that programs gain privileges by exec:
/// the caller has CAP_SYS_ADMIN in its user namespace.
pub(super) fn install_filter(program: &[seccompiler::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: both filter types are the kernel's `struct sock_filter`; the kernel copies
    // the program within the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(result)
}

/// Whether children that end are collected by the kernel.
pub(super) fn forget_children(forget: bool) -> io::Result<()> {
    let handler = if forget { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither is a function of ours.
    if unsafe { libc::signal(libc::SIGCHLD, handler) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes every descriptor from `first` on. What owns one of them must not be dropped
/// after this: the callers never return.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: see above.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })
}

/// Puts `fd` at the number `at`, where it is inherited across exec only if at most 2.
pub(super) fn place(fd: impl AsFd, at: i32) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    let flags = if at <= 2 { 0 } else { libc::O_CLOEXEC };
    if fd == at {
        return Ok(());
    }
    // SAFETY: plain integers; whatever was at `at` is no longer used by the caller.
    check(unsafe { libc::dup3(fd, at, flags) }.into())
}

/// Owns the descriptor that [`place`] put at `at`.
pub(super) fn placed(at: i32) -> OwnedFd {
    // SAFETY: `place` made it, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(at) }
}

/// The user namespace that another one is in.
pub(super) fn parent_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `linux/nsfs.h`
    const NS_GET_PARENT: libc::Ioctl = 0xb702;
    // SAFETY: takes no argument; returns a descriptor that nothing else owns, or -1.
    let parent = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT) };
    if parent < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(parent) })
}

/// The most of something that this process may have.
pub(super) fn limit(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the block outlives the call.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }.into())
}

fn check(result: i64) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
