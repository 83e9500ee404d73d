//! Limits, freezing and accounts of a sandbox: control groups of version 1 and 2.

use std::{
    fmt::Display,
    io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use helix_proto::sandbox::SandboxLimits;

use super::launch::Cgroups;

/// Without these no limit holds.
const NEEDED: [&str; 4] = ["cpu", "cpuacct", "freezer", "memory"];
const NEEDED_V2: [&str; 3] = ["cpu", "memory", "pids"];
/// The period over which processor time is rationed.
const PERIOD_US: u64 = 100_000;

/// The hierarchies of this machine.
#[derive(Debug, Clone)]
pub(super) struct Hierarchies {
    v1: Vec<Hierarchy>,
    v2: Option<PathBuf>,
    parent: String,
}

#[derive(Debug, Clone)]
struct Hierarchy {
    /// What its directory below `/sys/fs/cgroup` is called, such as `cpu,cpuacct`.
    name: String,
    root: PathBuf,
    controllers: Vec<String>,
}

/// What a sandbox's processes used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) cpu_us: u64,
    pub(super) memory_bytes: u64,
    pub(super) pids: u32,
}

impl Hierarchies {
    /// Finds them; sandboxes get cgroups below `parent`.
    pub(super) fn find(parent: String) -> io::Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let mut found = Self {
            v1: Vec::new(),
            v2: None,
            parent,
        };
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(root), Some(kind), Some(options)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let root = PathBuf::from(root);
            match kind {
                "cgroup2" if found.v2.is_none() => found.v2 = Some(root),
                "cgroup" if !options.contains("name=") => {
                    found.v1.push(Hierarchy::new(root, options))
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Says why limits cannot be kept here, if they cannot.
    pub(super) fn check(&self) -> Result<String, String> {
        if self.is_v2() {
            return Ok("control groups of version 2".into());
        }
        let missing: Vec<_> = NEEDED
            .iter()
            .chain(&["pids"])
            .filter(|name| self.v1_of(name).is_none())
            .copied()
            .collect();
        if missing.is_empty() {
            return Ok("control groups of version 1".into());
        }
        Err(format!(
            "no control group has the controllers {}: mount a hierarchy that has them",
            missing.join(", ")
        ))
    }

    fn is_v2(&self) -> bool {
        self.v2.as_ref().is_some_and(|root| {
            std::fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|controllers| {
                NEEDED_V2
                    .iter()
                    .all(|needed| controllers.split_whitespace().any(|one| one == *needed))
            })
        })
    }

    fn v1_of(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|one| one == controller))
    }

    /// Makes the cgroups that hold those of the sandboxes.
    pub(super) fn prepare(&self) -> io::Result<()> {
        if self.is_v2() {
            let root = self.v2.clone().unwrap_or_default();
            let parent = root.join(&self.parent);
            let wanted = "+cpu +memory +pids";
            write(&root.join("cgroup.subtree_control"), wanted)?;
            directory(&parent)?;
            return write(&parent.join("cgroup.subtree_control"), wanted);
        }
        for hierarchy in &self.v1 {
            let parent = hierarchy.root.join(&self.parent);
            directory(&parent)?;
            inherit_cpuset(hierarchy, &parent)?;
        }
        Ok(())
    }

    /// Where the cgroups of the sandbox `id` are, made or not.
    pub(super) fn of(&self, id: &str, docker: bool) -> Cgroups {
        if self.is_v2() {
            let root = self.v2.clone().unwrap_or_default();
            return Cgroups {
                v1: Vec::new(),
                v2: Some(root.join(&self.parent).join(id)),
            };
        }
        let needed = |hierarchy: &&Hierarchy| {
            docker
                || hierarchy
                    .controllers
                    .iter()
                    .any(|one| one == "pids" || NEEDED.contains(&one.as_str()))
        };
        Cgroups {
            v1: self
                .v1
                .iter()
                .filter(needed)
                .map(|hierarchy| {
                    let path = hierarchy.root.join(&self.parent).join(id);
                    (hierarchy.name.clone(), path)
                })
                .collect(),
            v2: None,
        }
    }

    /// Removes the cgroups that hold those of the sandboxes, if they hold none.
    pub(super) fn dispose(&self) -> io::Result<()> {
        let all = Cgroups {
            v1: self
                .v1
                .iter()
                .map(|one| (one.name.clone(), one.root.join(&self.parent)))
                .collect(),
            v2: self
                .is_v2()
                .then(|| self.v2.clone())
                .flatten()
                .map(|root| root.join(&self.parent)),
        };
        all.remove()
    }
}

impl Hierarchy {
    fn new(root: PathBuf, options: &str) -> Self {
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
}

impl Cgroups {
    fn v1_of(&self, controller: &str) -> Option<&Path> {
        self.v1
            .iter()
            .find(|(name, _)| name.split(',').any(|one| one == controller))
            .map(|(_, path)| path.as_path())
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        self.v1
            .iter()
            .map(|(_, path)| path.as_path())
            .chain(self.v2.as_deref())
    }

    /// Makes them, with the limits. With `owner`, the sandbox's root may divide them.
    pub(super) fn make(&self, limits: &SandboxLimits, owner: Option<u32>) -> io::Result<()> {
        for path in self.all() {
            directory(path)?;
        }
        self.limit(limits)?;
        let Some(owner) = owner else {
            return Ok(());
        };
        for path in self.all() {
            let parts = [
                "",
                "cgroup.procs",
                "tasks",
                "cgroup.threads",
                "cgroup.subtree_control",
            ];
            for part in parts {
                let path = if part.is_empty() {
                    path.to_owned()
                } else {
                    path.join(part)
                };
                match chown(&path, Some(owner), Some(owner)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
        }
        for (name, path) in &self.v1 {
            if name.split(',').any(|one| one == "cpuset") {
                copy_cpuset(path)?;
            }
        }
        Ok(())
    }

    fn limit(&self, limits: &SandboxLimits) -> io::Result<()> {
        let quota = u64::from(limits.cpu_millis) * PERIOD_US / 1000;
        if let Some(path) = &self.v2 {
            write(&path.join("memory.max"), limits.memory_bytes)?;
            write_if_there(&path.join("memory.swap.max"), 0)?;
            write(&path.join("pids.max"), limits.pids)?;
            return write(&path.join("cpu.max"), format!("{quota} {PERIOD_US}"));
        }
        if let Some(path) = self.v1_of("memory") {
            write(&path.join("memory.limit_in_bytes"), limits.memory_bytes)?;
            let with_swap = path.join("memory.memsw.limit_in_bytes");
            write_if_there(&with_swap, limits.memory_bytes)?;
        }
        if let Some(path) = self.v1_of("pids") {
            write(&path.join("pids.max"), limits.pids)?;
        }
        if let Some(path) = self.v1_of("cpu") {
            write(&path.join("cpu.cfs_period_us"), PERIOD_US)?;
            write(&path.join("cpu.cfs_quota_us"), quota)?;
        }
        Ok(())
    }

    /// Asks for all processes to stand still, or to go on.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        if let Some(path) = &self.v2 {
            return write(&path.join("cgroup.freeze"), u8::from(frozen));
        }
        let path = self.freezer()?;
        write(
            &path.join("freezer.state"),
            if frozen { "FROZEN" } else { "THAWED" },
        )
    }

    /// Whether all processes stand still.
    pub(super) fn is_frozen(&self) -> io::Result<bool> {
        if let Some(path) = &self.v2 {
            return Ok(value_of(&path.join("cgroup.events"), "frozen")? == 1);
        }
        let state = std::fs::read_to_string(self.freezer()?.join("freezer.state"))?;
        Ok(state.trim() == "FROZEN")
    }

    fn freezer(&self) -> io::Result<&Path> {
        self.v1_of("freezer")
            .ok_or_else(|| io::Error::other("no control group has the controller freezer"))
    }

    /// What the processes used.
    pub(super) fn usage(&self) -> io::Result<Usage> {
        if let Some(path) = &self.v2 {
            let cache = value_of(&path.join("memory.stat"), "inactive_file").unwrap_or(0);
            return Ok(Usage {
                cpu_us: value_of(&path.join("cpu.stat"), "usage_usec")?,
                memory_bytes: number(&path.join("memory.current"))?.saturating_sub(cache),
                pids: count(number(&path.join("pids.current"))?),
            });
        }
        let of = |controller: &str, file: &str| {
            self.v1_of(controller)
                .map_or(Ok(0), |path| number(&path.join(file)))
        };
        let cache = self.v1_of("memory").map_or(0, |path| {
            value_of(&path.join("memory.stat"), "total_inactive_file").unwrap_or(0)
        });
        Ok(Usage {
            cpu_us: of("cpuacct", "cpuacct.usage")? / 1000,
            memory_bytes: of("memory", "memory.usage_in_bytes")?.saturating_sub(cache),
            pids: count(of("pids", "pids.current")?),
        })
    }

    /// How many processes the kernel killed because the memory was used up.
    pub(super) fn out_of_memory(&self) -> io::Result<u64> {
        if let Some(path) = &self.v2 {
            return value_of(&path.join("memory.events"), "oom_kill");
        }
        self.v1_of("memory").map_or(Ok(0), |path| {
            value_of(&path.join("memory.oom_control"), "oom_kill")
        })
    }

    /// Which processes are in them, by their ids on the host.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for path in self.all() {
            collect(path, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes them, with what the sandbox divided them into. Fails while a process is in
    /// one.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.all().try_for_each(remove)
    }
}

fn collect(path: &Path, found: &mut Vec<i32>) {
    if let Ok(text) = std::fs::read_to_string(path.join("cgroup.procs")) {
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for child in children(path) {
        collect(&child, found);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    for child in children(path) {
        remove(&child)?;
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn children(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// A new cgroup for processors and memory nodes has none; it gets those of its parent.
fn inherit_cpuset(hierarchy: &Hierarchy, path: &Path) -> io::Result<()> {
    if hierarchy.controllers.iter().any(|one| one == "cpuset") {
        copy_cpuset(path)?;
    }
    Ok(())
}

fn copy_cpuset(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = std::fs::read_to_string(parent.join(file))?;
        write(&path.join(file), value.trim())?;
    }
    Ok(())
}

fn directory(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(|error| named(path, &error)),
    }
}

fn write(path: &Path, value: impl Display) -> io::Result<()> {
    std::fs::write(path, format!("{value}")).map_err(|error| named(path, &error))
}

fn write_if_there(path: &Path, value: u64) -> io::Result<()> {
    if path.exists() {
        write(path, value)
    } else {
        Ok(())
    }
}

fn number(path: &Path) -> io::Result<u64> {
    std::fs::read_to_string(path)
        .map_err(|error| named(path, &error))?
        .trim()
        .parse()
        .map_err(io::Error::other)
}

fn value_of(path: &Path, key: &str) -> io::Result<u64> {
    std::fs::read_to_string(path)
        .map_err(|error| named(path, &error))?
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{} has no {key}", path.display())))
}

fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
