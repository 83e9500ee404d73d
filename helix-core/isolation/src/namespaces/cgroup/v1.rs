//! Control groups of version 1: a hierarchy for each controller, or a few.

use std::{
    io,
    path::{Path, PathBuf},
};

use helix_proto::sandbox::SandboxLimits;

use super::{
    PERIOD_US, Usage, count,
    files::{directory, give, number, read, value_of, write, write_if_there},
    quota_us,
};

/// Without these no limit holds.
const NEEDED: [&str; 5] = ["cpu", "cpuacct", "freezer", "memory", "pids"];
/// All that there are. What a hierarchy is mounted with names other things too.
const KNOWN: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];
/// What whoever divides a control group writes to.
const DIVIDED_BY: [&str; 2] = ["cgroup.procs", "tasks"];

/// A hierarchy of this machine.
#[derive(Debug, Clone)]
pub(super) struct Hierarchy {
    /// What its directory below `/sys/fs/cgroup` is called, such as `cpu,cpuacct`.
    pub(super) name: String,
    root: PathBuf,
    controllers: Vec<String>,
}

impl Hierarchy {
    /// The one that is mounted at `root` with these options.
    pub(super) fn new(root: PathBuf, options: &str) -> Self {
        Self {
            name: root
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            controllers: options
                .split(',')
                .filter(|option| KNOWN.contains(option))
                .map(str::to_owned)
                .collect(),
            root,
        }
    }

    /// Whether it has a controller that limits need.
    pub(super) fn is_needed(&self) -> bool {
        NEEDED.iter().any(|name| self.has(name))
    }

    /// The control group `name` in it.
    pub(super) fn at(&self, name: &Path) -> PathBuf {
        self.root.join(name)
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    /// Makes the control group that holds those of the sandboxes.
    pub(super) fn prepare(&self, parent: &Path) -> io::Result<()> {
        let parent = self.at(parent);
        directory(&parent)?;
        if self.has("cpuset") {
            copy_cpuset(&parent)?;
        }
        Ok(())
    }
}

/// Which controllers that limits need are in no hierarchy.
pub(super) fn missing(hierarchies: &[Hierarchy]) -> Vec<&'static str> {
    let has = |name: &&str| hierarchies.iter().any(|hierarchy| hierarchy.has(name));
    NEEDED.into_iter().filter(|name| !has(name)).collect()
}

/// A sandbox's control groups, with the names of their hierarchies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups<'a>(pub(super) &'a [(String, PathBuf)]);

impl Groups<'_> {
    fn of(&self, controller: &str) -> Option<&Path> {
        self.0
            .iter()
            .find(|(name, _)| name.split(',').any(|one| one == controller))
            .map(|(_, path)| path.as_path())
    }

    pub(super) fn make(&self, limits: &SandboxLimits, owner: Option<u32>) -> io::Result<()> {
        for (_, path) in self.0 {
            directory(path)?;
        }
        self.limit(limits)?;
        let Some(owner) = owner else {
            return Ok(());
        };
        for (_, path) in self.0 {
            give(path, &DIVIDED_BY, owner)?;
        }
        self.of("cpuset").map_or(Ok(()), copy_cpuset)
    }

    pub(super) fn limit(&self, limits: &SandboxLimits) -> io::Result<()> {
        if let Some(path) = self.of("memory") {
            let with_swap = path.join("memory.memsw.limit_in_bytes");
            // Neither may ever be less than the other: the larger one goes first.
            if number(&with_swap).is_ok_and(|now| now < limits.memory_bytes) {
                write(&with_swap, limits.memory_bytes)?;
            }
            write(&path.join("memory.limit_in_bytes"), limits.memory_bytes)?;
            write_if_there(&with_swap, limits.memory_bytes)?;
        }
        if let Some(path) = self.of("pids") {
            write(&path.join("pids.max"), limits.pids)?;
        }
        if let Some(path) = self.of("cpu") {
            write(&path.join("cpu.cfs_period_us"), PERIOD_US)?;
            write(&path.join("cpu.cfs_quota_us"), quota_us(limits))?;
        }
        Ok(())
    }

    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        let state = if frozen { "FROZEN" } else { "THAWED" };
        write(&self.freezer()?.join("freezer.state"), state)
    }

    pub(super) fn is_frozen(&self) -> io::Result<bool> {
        Ok(read(&self.freezer()?.join("freezer.state"))?.trim() == "FROZEN")
    }

    fn freezer(&self) -> io::Result<&Path> {
        self.of("freezer")
            .ok_or_else(|| io::Error::other("no control group has the controller freezer"))
    }

    pub(super) fn usage(&self) -> io::Result<Usage> {
        let of = |controller: &str, file: &str| {
            self.of(controller)
                .map_or(Ok(0), |path| number(&path.join(file)))
        };
        let cache = self.of("memory").map_or(0, |path| {
            value_of(&path.join("memory.stat"), "total_inactive_file").unwrap_or(0)
        });
        Ok(Usage {
            cpu_us: of("cpuacct", "cpuacct.usage")? / 1000,
            memory_bytes: of("memory", "memory.usage_in_bytes")?.saturating_sub(cache),
            pids: count(of("pids", "pids.current")?),
        })
    }

    pub(super) fn out_of_memory(&self) -> io::Result<u64> {
        self.of("memory").map_or(Ok(0), |path| {
            value_of(&path.join("memory.oom_control"), "oom_kill")
        })
    }
}

/// A new control group for processors and memory nodes has none; it gets its parent's.
fn copy_cpuset(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        write(&path.join(file), read(&parent.join(file))?.trim())?;
    }
    Ok(())
}
