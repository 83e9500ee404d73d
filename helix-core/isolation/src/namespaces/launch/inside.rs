//! The process in the namespaces, and the sandbox's process 1.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt as _, net::UnixListener},
    },
    path::Path,
    process::ExitCode,
};

use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags, remove_capability_from_bounding_set,
    set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use seccompiler::BpfProgram;

use super::{Doing as _, Failure, Plan, channel, seccomp, sys};
use crate::{guest, network::inside as network};

/// What root of a sandbox without a Docker daemon may do: what installing and running
/// programs needs. With a daemon it may do everything, in its own namespaces.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::IPC_OWNER);

/// What process 1 has of its own from the start.
pub(super) struct Ends {
    /// To stage 0.
    pub(super) inner: OwnedFd,
    /// To the daemon.
    pub(super) network: OwnedFd,
    /// What it serves.
    pub(super) listener: UnixListener,
}

/// Goes into the cgroups and namespaces, forks process 1, and keeps it until stage 0 has
/// taken a hold of it.
pub(super) fn between(plan: &Plan, outer: OwnedFd, ends: Ends) -> ! {
    let forked = enter(plan).and_then(|()| sys::fork().doing("forking process 1"));
    match forked {
        Err(Failure(message)) => {
            let _ = channel::send(&outer, &Err::<(), _>(message), &[]);
            sys::exit(1)
        }
        Ok(sys::Fork::Parent(pid)) => {
            drop(ends);
            let _ = channel::send(&outer, &Ok::<_, String>(pid), &[]);
            // Until stage 0 is through or dead.
            let _: io::Result<((), _)> = channel::receive(&outer);
            sys::exit(0)
        }
        Ok(sys::Fork::Child) => {
            let Ok(ends) = settle(outer, ends) else {
                sys::exit(1)
            };
            if let Err(Failure(message)) = become_guest(plan, &ends) {
                let _ = channel::send(&ends.inner, &Err::<(), _>(message), &[]);
                sys::exit(1)
            }
            if channel::send(&ends.inner, &Ok::<(), String>(()), &[]).is_err() {
                sys::exit(1)
            }
            drop((ends.inner, ends.network));
            let code = guest::run(plan.guest.clone(), ends.listener);
            sys::exit(i32::from(code != ExitCode::SUCCESS))
        }
    }
}

/// Closes everything but its own ends. First of all: what is opened from here on is
/// process 1's own.
fn settle(outer: OwnedFd, ends: Ends) -> io::Result<Ends> {
    const LISTENER: i32 = 3;
    const INNER: i32 = 4;
    const NETWORK: i32 = 5;
    // Out of the way of the numbers that they get.
    let moved = (
        rustix::io::fcntl_dupfd_cloexec(&ends.listener, 16)?,
        rustix::io::fcntl_dupfd_cloexec(&ends.inner, 16)?,
        rustix::io::fcntl_dupfd_cloexec(&ends.network, 16)?,
    );
    sys::place(&moved.0, LISTENER)?;
    sys::place(&moved.1, INNER)?;
    sys::place(&moved.2, NETWORK)?;
    // What owned a descriptor that is closed here must not close it again.
    std::mem::forget((outer, ends, moved));
    sys::close_from(6)?;
    Ok(Ends {
        inner: sys::placed(INNER),
        network: sys::placed(NETWORK),
        listener: UnixListener::from(sys::placed(LISTENER)),
    })
}

fn enter(plan: &Plan) -> Result<(), Failure> {
    for (name, path) in &plan.cgroups.v1 {
        // A thread that moves itself needs no lock over all of the machine's processes,
        // which takes tens of milliseconds.
        std::fs::write(path.join("tasks"), "0").doing(&format!("entering its {name} cgroup"))?;
    }
    sys::unshare(
        UnshareFlags::NEWUSER
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP,
    )
    .doing("making namespaces")
}

/// Everything that may fail and be told of.
fn become_guest(plan: &Plan, ends: &Ends) -> Result<(), Failure> {
    // While the tree is built.
    let filters = seccomp::filters(plan.docker).doing("compiling the system call filters")?;
    let ((), _) = channel::receive(&ends.network).doing("waiting for the network")?;
    rustix::system::sethostname(plan.hostname.as_bytes()).doing("setting the host name")?;
    match &plan.network {
        Some(config) => network::configure(config),
        None => network::configure_loopback(),
    }
    .doing("setting up its network")?;
    let ((), _) = channel::receive(&ends.inner).doing("waiting for the tree")?;
    sys::unshare(UnshareFlags::NEWNS).doing("making a mount namespace")?;
    rustix::process::chdir("/").doing("entering the root")?;
    set_thread_groups(&[]).doing("leaving groups")?;
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_res_gid(gid, gid, gid).doing("becoming root")?;
    set_thread_res_uid(uid, uid, uid).doing("becoming root")?;
    rustix::process::setsid().doing("starting a session")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    write_names(plan)?;
    limits(plan)?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .doing("opening /dev/null")?;
    for number in 0..3 {
        sys::place(&null, number).doing("leaving the daemon's files")?;
    }
    confine(plan, &filters)
}

/// `/etc/hostname` and `/etc/resolv.conf` say what is; `/etc/hosts` is the sandbox's own
/// once it exists. A sandbox without an `/etc` has none of them.
fn write_names(plan: &Plan) -> Result<(), Failure> {
    let etc = Path::new("/etc");
    if !etc.is_dir() {
        return Ok(());
    }
    let hosts = format!(
        "127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost ip6-loopback\n",
        plan.hostname
    );
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(etc.join("hosts"));
    match made {
        Ok(mut file) => file
            .write_all(hosts.as_bytes())
            .doing("writing /etc/hosts")?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // A full disk or a link to nowhere is the sandbox's own doing.
        Err(_) => {}
    }
    for (name, text) in [
        ("hostname", format!("{}\n", plan.hostname)),
        ("resolv.conf", plan.resolv_conf.clone()),
    ] {
        let path = etc.join(name);
        if std::fs::read(&path).is_ok_and(|now| now == text.as_bytes()) {
            continue;
        }
        // As above; and a link goes, so that what is written stands here.
        if path.is_symlink() {
            let _ = std::fs::remove_file(&path);
        }
        let _ = std::fs::write(&path, text);
    }
    Ok(())
}

fn limits(plan: &Plan) -> Result<(), Failure> {
    let (_, most) = {
        let now = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        (now.current, now.maximum)
    };
    // A limit below what was asked, where the host has one, is the host's to raise.
    let files = most.map_or(plan.open_files, |most| most.min(plan.open_files));
    sys::limit(libc::RLIMIT_NOFILE, files).doing("limiting open files")?;
    if let Some(pids) = plan.pids {
        sys::limit(libc::RLIMIT_NPROC, pids.into()).doing("limiting processes")?;
    }
    sys::limit(libc::RLIMIT_CORE, 0).doing("limiting core files")
}

/// Gives up what the sandbox must not have. Nothing after this needs it.
fn confine(plan: &Plan, filters: &[BpfProgram]) -> Result<(), Failure> {
    for filter in filters {
        sys::install_filter(filter).doing("installing a system call filter")?;
    }
    if plan.docker {
        return Ok(());
    }
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if KEPT.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            // The kernel's last capability was the one before.
            Err(rustix::io::Errno::INVAL) => break,
            result => result.doing("giving up a capability")?,
        }
    }
    let sets = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).doing("giving up capabilities")
}
