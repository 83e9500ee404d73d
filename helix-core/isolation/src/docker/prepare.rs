//! What has to be there before the daemon starts.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{DATA, SOCKET};

/// Where our own files for it are: in memory, made anew at each start of the sandbox.
const PLACE: &str = "/run/helix-docker";
const CGROUPS: &str = "/sys/fs/cgroup";
/// How often processes are moved out of the way before they are too many.
const MOST_MOVES: u32 = 100;
/// The group whose members may use it.
const GROUP: &str = "docker";
/// Where its programs are looked for.
const PATHS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// What cannot be had without: who looks for it finds out before the daemon does.
const NEEDED: [&str; 4] = ["dockerd", "containerd", "runc", "iptables"];

/// Makes what has to be there, and says how to start the daemon.
pub(super) fn command(env: &BTreeMap<String, String>) -> io::Result<Command> {
    if let Some(missing) = missing() {
        return Err(io::Error::other(format!(
            "the sandbox's system has no {missing}: install Docker in its image, or on the host \
             where the sandbox has the host's system (Debian: docker.io)"
        )));
    }
    let place = Path::new(PLACE);
    fs::create_dir_all(place.join("bin"))?;
    // A daemon.json that came with the system was written for another daemon.
    fs::write(place.join("daemon.json"), "{}\n")?;
    prefer_nftables(&place.join("bin"))?;
    remove(SOCKET)?;
    remove("/run/docker.pid")?;
    divide(Path::new(CGROUPS))?;
    let mut command = Command::new(find("dockerd").unwrap_or_else(|| "dockerd".into()));
    command
        .args(["--host", &format!("unix://{SOCKET}"), "--data-root", DATA])
        .args(["--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"])
        .args(["--config-file", &format!("{PLACE}/daemon.json")])
        .args(["--storage-driver", "overlay2"])
        .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
        .args(["--oom-score-adjust", "0", "--shutdown-timeout", "5"])
        .args(["--log-level", "warn"]);
    if has_group() {
        command.args(["--group", GROUP]);
    } else {
        command.args(["--group", "root"]);
    }
    let path = format!("{PLACE}/bin:{}", PATHS.join(":"));
    command
        .env_clear()
        .envs(env)
        .envs([("PATH", path.as_str()), ("HOME", "/root"), ("USER", "root")])
        .current_dir("/")
        .stdin(Stdio::null());
    Ok(command)
}

/// Whether sandboxes with this machine's system can have a Docker daemon: how, or why not.
///
/// # Errors
///
/// What is missing, and what to do.
pub fn on_this_system() -> Result<String, String> {
    match missing() {
        None => Ok("this machine's own Docker programs; images need theirs".to_owned()),
        Some(program) => Err(format!(
            "this machine has no {program}: install Docker (Debian: docker.io), or start \
             sandboxes with Docker from images that have it"
        )),
    }
}

fn missing() -> Option<&'static str> {
    NEEDED.into_iter().find(|program| find(program).is_none())
}

fn find(program: &str) -> Option<PathBuf> {
    let at = PATHS.iter().map(|path| Path::new(path).join(program));
    at.into_iter().find(|path| path.is_file())
}

/// No sandbox can load the modules that the older kind of iptables needs, whichever the
/// system prefers.
fn prefer_nftables(bin: &Path) -> io::Result<()> {
    for program in ["iptables", "iptables-save", "iptables-restore"] {
        let (name, suffix) = program.split_once('-').map_or((program, ""), |(name, _)| {
            (name, &program["iptables".len()..])
        });
        if let Some(newer) = find(&format!("{name}-nft{suffix}")) {
            let link = bin.join(program);
            remove(&link)?;
            symlink(newer, link)?;
        }
    }
    Ok(())
}

/// A cgroup of version 2 is divided only while no process is in it: moves those that are
/// to one below it.
fn divide(root: &Path) -> io::Result<()> {
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else {
        return Ok(());
    };
    let leaf = root.join("init");
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // What is forked meanwhile is where its parent was.
    for _ in 0..MOST_MOVES {
        for process in fs::read_to_string(root.join("cgroup.procs"))?.lines() {
            // One that ended meanwhile is in no cgroup.
            let _ = fs::write(leaf.join("cgroup.procs"), process);
        }
        match pass_on(root, &controllers) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            result => return result,
        }
    }
    Err(io::Error::other(
        "its cgroup cannot be divided: more and more processes are forked in it",
    ))
}

fn pass_on(root: &Path, controllers: &str) -> io::Result<()> {
    controllers.split_whitespace().try_for_each(|controller| {
        let enabled = root.join("cgroup.subtree_control");
        fs::write(enabled, format!("+{controller}"))
    })
}

fn has_group() -> bool {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    groups
        .lines()
        .any(|line| line.split(':').next() == Some(GROUP))
}

fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_of_version_2_is_divided_with_its_processes_in_a_leaf() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        fs::write(root.path().join("cgroup.procs"), "1\n").unwrap();
        divide(root.path()).unwrap();
        let moved = fs::read_to_string(root.path().join("init/cgroup.procs")).unwrap();
        assert_eq!(moved, "1");
        let enabled = fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(enabled, "+memory");
        divide(root.path()).unwrap();
    }

    #[test]
    fn cgroups_of_version_1_are_left_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        divide(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_newer_iptables_come_first_where_they_are() {
        let bin = tempfile::tempdir().unwrap();
        prefer_nftables(bin.path()).unwrap();
        prefer_nftables(bin.path()).unwrap();
        if find("iptables-nft").is_some() {
            let to = fs::read_link(bin.path().join("iptables")).unwrap();
            assert!(to.ends_with("iptables-nft"), "{}", to.display());
        }
        if find("iptables-nft-save").is_some() {
            let to = fs::read_link(bin.path().join("iptables-save")).unwrap();
            assert!(to.ends_with("iptables-nft-save"), "{}", to.display());
        }
    }
}
