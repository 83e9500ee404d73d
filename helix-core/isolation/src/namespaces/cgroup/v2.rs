//! Control groups of version 2: one hierarchy, whose control groups give controllers to
//! those below them.
//!
//! One that gives any holds no processes itself. A sandbox's own holds its processes; with
//! a Docker daemon, its guest moves them to a leaf of its own before it divides the rest
//! among containers. The limits stand on the sandbox's own control group, whose files for
//! limits are the host's root's: nothing below can lift them.

use std::{io, path::Path};

use helix_proto::sandbox::SandboxLimits;
use rustix::fs::Access;

use super::{
    PERIOD_US, Usage, count,
    files::{directory, give, number, read, value_of, write, write_if_there},
    quota_us,
};
use crate::namespaces::launch::own_ids;

/// Without these no limit holds.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
/// What a Docker daemon gives its containers as well, where this machine has it.
const WELCOME: [&str; 4] = ["cpuset", "io", "hugetlb", "rdma"];
/// What whoever divides a control group writes to.
const DIVIDED_BY: [&str; 3] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];
/// Where the daemon goes to divide what was delegated to it.
const LEAF: &str = "helix-daemon";
/// The most control groups that a sandbox can divide its own into: they take the kernel's
/// memory. Ten containers for each process that it may have are more than enough.
const MOST_BELOW: u32 = 4_096;
const DEEPEST: u32 = 32;

/// Whether the hierarchy has the controllers that limits need.
pub(super) fn suffices(root: &Path) -> bool {
    let offered = offered(root).unwrap_or_default();
    NEEDED
        .iter()
        .all(|needed| offered.iter().any(|one| one == needed))
}

fn offered(path: &Path) -> io::Result<Vec<String>> {
    let text = read(&path.join("cgroup.controllers"))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// What was delegated to a process that is in `own`: that, unless it went into the leaf before.
pub(super) fn delegated_to(own: &str) -> &str {
    own.strip_suffix(LEAF).unwrap_or(own)
}

/// Whether this process, which is in it and is not the machine's root, may divide it.
pub(super) fn is_delegated(path: &Path) -> bool {
    let may = |file| rustix::fs::access(path.join(file), Access::WRITE_OK).is_ok();
    suffices(path) && may("") && may("cgroup.procs") && may("cgroup.subtree_control")
}

/// Makes the control group that holds those of the sandboxes.
pub(super) fn prepare(root: &Path, parent: &Path) -> io::Result<()> {
    let wanted: Vec<_> = offered(root)?
        .into_iter()
        .filter(|name| NEEDED.contains(&name.as_str()) || WELCOME.contains(&name.as_str()))
        .map(|name| format!("+{name}"))
        .collect();
    let wanted = wanted.join(" ");
    let parent = root.join(parent);
    if own_ids::uses_own_ids() {
        make_room(root)?;
    }
    pass_on(root, &wanted)?;
    directory(&parent)?;
    pass_on(&parent, &wanted)
}

/// Moves this process, and others that a delegated control group was given to, out of the
/// way.
fn make_room(root: &Path) -> io::Result<()> {
    let leaf = root.join(LEAF);
    directory(&leaf)?;
    for process in read(&root.join("cgroup.procs"))?.lines() {
        // One that ended meanwhile is out of the way.
        let _ = write(&leaf.join("cgroup.procs"), process);
    }
    Ok(())
}

/// Gives controllers to the control groups below.
fn pass_on(path: &Path, wanted: &str) -> io::Result<()> {
    write(&path.join("cgroup.subtree_control"), wanted).map_err(|error| {
        // Only a control group other than the machine's root one can hold processes too,
        // which is what a container has for its root.
        if error.kind() == io::ErrorKind::ResourceBusy {
            let path = path.display();
            let message = format!(
                "{path} holds processes, so that it cannot be divided: move them into one below it"
            );
            return io::Error::new(error.kind(), message);
        }
        error
    })
}

pub(super) fn make(path: &Path, limits: &SandboxLimits, owner: Option<u32>) -> io::Result<()> {
    directory(path)?;
    limit(path, limits)?;
    owner.map_or(Ok(()), |owner| give(path, &DIVIDED_BY, owner))
}

/// Without `memory.oom.group`: a program that uses the memory up ends alone, and whoever
/// uses the sandbox can see so from inside.
pub(super) fn limit(path: &Path, limits: &SandboxLimits) -> io::Result<()> {
    write(&path.join("memory.max"), limits.memory_bytes)?;
    write_if_there(&path.join("memory.swap.max"), 0)?;
    write(&path.join("pids.max"), limits.pids)?;
    let quota = quota_us(limits);
    write(&path.join("cpu.max"), format_args!("{quota} {PERIOD_US}"))?;
    write(&path.join("cgroup.max.descendants"), MOST_BELOW)?;
    write(&path.join("cgroup.max.depth"), DEEPEST)
}

pub(super) fn freeze(path: &Path, frozen: bool) -> io::Result<()> {
    write(&path.join("cgroup.freeze"), u8::from(frozen))
}

pub(super) fn is_frozen(path: &Path) -> io::Result<bool> {
    Ok(value_of(&path.join("cgroup.events"), "frozen")? == 1)
}

/// Kills all processes, frozen or not, and those that they are forking.
pub(super) fn kill(path: &Path) -> io::Result<()> {
    write_if_there(&path.join("cgroup.kill"), 1)
}

pub(super) fn usage(path: &Path) -> io::Result<Usage> {
    let cache = value_of(&path.join("memory.stat"), "inactive_file").unwrap_or(0);
    Ok(Usage {
        cpu_us: value_of(&path.join("cpu.stat"), "usage_usec")?,
        memory_bytes: number(&path.join("memory.current"))?.saturating_sub(cache),
        pids: count(number(&path.join("pids.current"))?),
    })
}

pub(super) fn out_of_memory(path: &Path) -> io::Result<u64> {
    value_of(&path.join("memory.events"), "oom_kill")
}
