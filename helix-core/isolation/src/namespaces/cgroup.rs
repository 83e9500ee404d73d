//! Limits, freezing and accounts of a sandbox: control groups of version 1 and 2.

mod files;
mod v1;
mod v2;

use std::{
    io,
    path::{Path, PathBuf},
};

use helix_proto::sandbox::SandboxLimits;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    launch::{Cgroups, own_ids},
    processes,
};

/// The period over which processor time is rationed.
const PERIOD_US: u64 = 100_000;

const NOT_DELEGATED: &str = "no control group is delegated to this daemon: memory and processor \
    time of its sandboxes are not limited, and processes only for each user inside; where control \
    groups are of version 2, start it with `systemd-run --user --property=Delegate=yes`, or from \
    a user service with Delegate=yes";

/// The hierarchies of this machine.
#[derive(Debug, Clone)]
pub(super) struct Hierarchies {
    v1: Vec<v1::Hierarchy>,
    v2: Option<PathBuf>,
    parent: PathBuf,
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
        let found = Self::of_mounts(&mounts, parent.into());
        if own_ids::uses_own_ids() {
            return Ok(found.delegated(&std::fs::read_to_string("/proc/self/cgroup")?));
        }
        Ok(found)
    }

    /// Those in a list of mounts as the kernel writes it.
    fn of_mounts(mounts: &str, parent: PathBuf) -> Self {
        let (mut v1, mut v2) = (Vec::new(), None);
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(root), Some(kind), Some(options)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let root = PathBuf::from(root);
            match kind {
                "cgroup2" if v2.is_none() => v2 = Some(root),
                "cgroup" if !options.contains("name=") => {
                    v1.push(v1::Hierarchy::new(root, options));
                }
                _ => {}
            }
        }
        // Where both are mounted, the controllers are in one of them.
        let v2 = v2.filter(|root| v2::suffices(root));
        Self { v1, v2, parent }
    }

    /// As an ordinary user: what was delegated to this process, or nothing.
    fn delegated(self, own: &str) -> Self {
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let root = self
            .v2
            .zip(path)
            .map(|(root, path)| root.join(v2::delegated_to(path)));
        Self {
            v1: Vec::new(),
            v2: root.filter(|root| v2::is_delegated(root)),
            parent: self.parent,
        }
    }

    /// Makes sandboxes without cgroups.
    pub(super) fn give_up(&mut self) {
        (self.v1, self.v2) = (Vec::new(), None);
    }

    /// Says why limits cannot be kept here, if they cannot.
    pub(super) fn check(&self) -> Result<String, String> {
        if self.v2.is_some() {
            return Ok("control groups of version 2".into());
        }
        if own_ids::uses_own_ids() {
            return Err(NOT_DELEGATED.to_owned());
        }
        let missing = v1::missing(&self.v1);
        if missing.is_empty() {
            return Ok("control groups of version 1".into());
        }
        Err(format!(
            "no control group has the controllers {}: mount a hierarchy that has them",
            missing.join(", ")
        ))
    }

    /// Makes the cgroups that hold those of the sandboxes.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match &self.v2 {
            Some(root) => v2::prepare(root, &self.parent),
            None => self.v1.iter().try_for_each(|one| one.prepare(&self.parent)),
        }
    }

    /// Where the cgroups of the sandbox `id` are, made or not.
    pub(super) fn of(&self, id: &str, docker: bool) -> Cgroups {
        self.at(&self.parent.join(id), |one| docker || one.is_needed())
    }

    /// Removes the cgroups that hold those of the sandboxes, if they hold none.
    pub(super) fn dispose(&self) -> io::Result<()> {
        self.at(&self.parent, |_| true).remove()
    }

    fn at(&self, path: &Path, wanted: impl Fn(&v1::Hierarchy) -> bool) -> Cgroups {
        match &self.v2 {
            Some(root) => Cgroups {
                v1: Vec::new(),
                v2: Some(root.join(path)),
            },
            None => Cgroups {
                v1: self
                    .v1
                    .iter()
                    .filter(|one| wanted(one))
                    .map(|one| (one.name.clone(), one.at(path)))
                    .collect(),
                v2: None,
            },
        }
    }
}

/// Of a sandbox; each does what its name says in the version that the sandbox has.
impl Cgroups {
    fn v1(&self) -> v1::Groups<'_> {
        v1::Groups(&self.v1)
    }

    /// Whether there are none, as for an ordinary user to whom none is delegated.
    pub(super) fn are_none(&self) -> bool {
        self.v1.is_empty() && self.v2.is_none()
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        self.v1
            .iter()
            .map(|(_, path)| path.as_path())
            .chain(self.v2.as_deref())
    }

    /// Makes them, with the limits. With `owner`, the sandbox's root may divide them.
    pub(super) fn make(&self, limits: &SandboxLimits, owner: Option<u32>) -> io::Result<()> {
        match &self.v2 {
            Some(path) => v2::make(path, limits, owner),
            None => self.v1().make(limits, owner),
        }
    }

    /// Changes the limits.
    pub(super) fn limit(&self, limits: &SandboxLimits) -> io::Result<()> {
        match &self.v2 {
            Some(path) => v2::limit(path, limits),
            None => self.v1().limit(limits),
        }
    }

    /// Asks for all processes to stand still, or to go on. Where there are no cgroups, those
    /// in the namespace of `first`; so in what follows.
    pub(super) fn freeze(&self, frozen: bool, first: i32) -> io::Result<()> {
        match &self.v2 {
            Some(path) => v2::freeze(path, frozen),
            None if self.are_none() && frozen => processes::stop(first),
            None if self.are_none() => processes::go_on(first),
            None => self.v1().freeze(frozen),
        }
    }

    /// Whether all processes stand still.
    pub(super) fn is_frozen(&self, first: i32) -> io::Result<bool> {
        match &self.v2 {
            Some(path) => v2::is_frozen(path),
            None if self.are_none() => processes::are_stopped(first),
            None => self.v1().is_frozen(),
        }
    }

    /// What the processes used.
    pub(super) fn usage(&self, first: i32) -> io::Result<Usage> {
        match &self.v2 {
            Some(path) => v2::usage(path),
            None if self.are_none() => processes::usage(first),
            None => self.v1().usage(),
        }
    }

    /// How many processes the kernel killed because the memory was used up.
    pub(super) fn out_of_memory(&self) -> io::Result<u64> {
        match &self.v2 {
            Some(path) => v2::out_of_memory(path),
            None => self.v1().out_of_memory(),
        }
    }

    /// Kills what is in them. What is being forked may escape; the next call finds it.
    pub(super) fn kill(&self) -> io::Result<()> {
        if let Some(path) = &self.v2 {
            return v2::kill(path);
        }
        let mut found = Vec::new();
        for path in self.all() {
            files::collect(path, &mut found);
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            // One that ended meanwhile is what was wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(())
    }

    /// Removes them, with what the sandbox divided them into. Fails while a process is in
    /// one.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.all().try_for_each(files::remove)
    }
}

/// How much processor time in a period the limits give.
fn quota_us(limits: &SandboxLimits) -> u64 {
    u64::from(limits.cpu_millis) * PERIOD_US / 1000
}

fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a hierarchy of version 2 with these controllers.
    fn hierarchy(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
        root
    }

    fn found(root: &Path, more: &str) -> Hierarchies {
        let mounts = format!(
            "cgroup2 {} cgroup2 rw,nsdelegate 0 0\n{more}",
            root.display()
        );
        Hierarchies::of_mounts(&mounts, "sandboxes".into())
    }

    const V1: &str = "cgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
        cgroup /cg/memory cgroup rw,memory 0 0\n\
        cgroup /cg/freezer cgroup rw,freezer 0 0\n\
        cgroup /cg/devices cgroup rw,devices 0 0\n\
        cgroup /cg/systemd cgroup rw,xattr,name=systemd 0 0\n";

    #[test]
    fn version_2_is_used_where_it_has_the_controllers() {
        let root = hierarchy("cpuset cpu io memory pids misc\n");
        let hierarchies = found(root.path(), "");
        assert_eq!(hierarchies.check().unwrap(), "control groups of version 2");
        let path = root.path().join("sandboxes/one");
        assert_eq!(hierarchies.of("one", true).v2, Some(path));
        hierarchies.prepare().unwrap();
        let given = root.path().join("sandboxes/cgroup.subtree_control");
        let given = std::fs::read_to_string(given).unwrap();
        assert_eq!(given, "+cpuset +cpu +io +memory +pids");
    }

    #[test]
    fn an_ordinary_user_has_what_was_delegated_wherever_the_daemon_is_in_it() {
        let root = hierarchy("memory\n");
        let own = root.path().join("user.slice/service");
        std::fs::create_dir_all(own.join("helix-daemon")).unwrap();
        for file in ["cgroup.procs", "cgroup.subtree_control"] {
            std::fs::write(own.join(file), "").unwrap();
        }
        let found = |inside: &str| {
            let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", root.path().display());
            let found = Hierarchies::of_mounts(&mounts, "sandboxes".into());
            // The machine's root may have what the user was not given.
            let found = Hierarchies {
                v2: Some(root.path().to_owned()),
                ..found
            };
            found.delegated(&format!("1:name=systemd:/\n0::/{inside}\n"))
        };
        assert_eq!(found("user.slice/service").v2, None);
        std::fs::write(own.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        for inside in ["user.slice/service", "user.slice/service/helix-daemon"] {
            let v2 = found(inside).v2.unwrap();
            assert_eq!(v2.components().collect::<PathBuf>(), own, "{inside}");
        }
    }

    #[test]
    fn version_1_is_used_where_version_2_has_no_controllers() {
        let root = hierarchy("\n");
        let hierarchies = found(root.path(), V1);
        let why = hierarchies.check().unwrap_err();
        assert!(why.contains("controllers pids:"), "{why}");
        let hierarchies = found(
            root.path(),
            &format!("{V1}cgroup /cg/pids cgroup rw,pids 0 0\n"),
        );
        assert_eq!(hierarchies.check().unwrap(), "control groups of version 1");
        let names = |docker| {
            let cgroups = hierarchies.of("one", docker);
            assert_eq!(cgroups.v2, None);
            cgroups.v1.into_iter().map(|(name, _)| name)
        };
        let (few, all) = (names(false), names(true));
        assert_eq!(
            few.collect::<Vec<_>>(),
            ["cpu,cpuacct", "memory", "freezer", "pids"]
        );
        assert!(all.eq(["cpu,cpuacct", "memory", "freezer", "devices", "pids"]));
    }
}
