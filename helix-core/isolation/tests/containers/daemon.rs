//! A Docker daemon for the test alone.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use helix_isolation::network::inside;
use rustix::process::{Pid, Signal, kill_process};

/// The image of the tests.
pub(crate) const IMAGE: &str = "helix-test:latest";
/// The same with a volume.
pub(crate) const WITH_VOLUME: &str = "helix-test:volume";

/// A Docker daemon. Goes when this is dropped.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    pub(crate) fn start(directory: &Path) -> Self {
        // The daemon's usual places, and a containerd of the machine's, are out of sight.
        for place in ["/run", "/etc/docker"] {
            run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", place]));
        }
        inside::configure_loopback().unwrap();
        let log = File::create(directory.join("dockerd.log")).unwrap();
        let child = Command::new("dockerd")
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("dockerd.pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket(directory).display()))
            .args(["--bridge=none", "--iptables=false"])
            .arg(format!("--cgroup-parent=/{}", cgroup(directory)))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Self { child };
        for _ in 0..600 {
            if docker(directory)
                .arg("version")
                .output()
                .unwrap()
                .status
                .success()
            {
                daemon.import(directory);
                return daemon;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(directory.join("dockerd.log")).unwrap();
        panic!("dockerd does not answer: {log}");
    }

    fn import(&self, directory: &Path) {
        let root = directory.join("root");
        for place in ["bin", "etc", "root", "tmp"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        let busybox = Command::new("busybox").arg("which").arg("busybox").output();
        let busybox = String::from_utf8(busybox.unwrap().stdout).unwrap();
        fs::copy(busybox.trim(), root.join("bin/busybox")).unwrap();
        let list = Command::new("busybox").arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines() {
            if name != "busybox" {
                symlink("busybox", root.join("bin").join(name)).unwrap();
            }
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        let tar = directory.join("root.tar");
        let mut pack = Command::new("busybox");
        run(pack
            .args(["tar", "-c", "-C"])
            .arg(&root)
            .arg("-f")
            .arg(&tar)
            .arg("."));
        let preload = "ENV LD_PRELOAD=/lib/none.so FROM_IMAGE=yes";
        run(docker(directory)
            .args(["import", "--change", preload])
            .arg(&tar)
            .arg(IMAGE));
        run(docker(directory)
            .args(["import", "--change", "VOLUME /data"])
            .arg(&tar)
            .arg(WITH_VOLUME));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

/// Where the test's directory is, in the namespaces.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os(crate::DIRECTORY).unwrap())
}

pub(crate) fn socket(directory: &Path) -> PathBuf {
    directory.join("docker.sock")
}

/// The client, for what people do.
pub(crate) fn docker(directory: &Path) -> Command {
    let mut command = Command::new("docker");
    command.env("DOCKER_CONFIG", directory.join("client"));
    command
        .arg("--host")
        .arg(format!("unix://{}", socket(directory).display()));
    command
}

/// Runs a program that must succeed, and returns what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cgroup(directory: &Path) -> String {
    let name = directory.file_name().unwrap().to_string_lossy();
    format!("helix-test-{}", name.trim_start_matches('.'))
}

/// Removes the control groups that the daemon made, in every hierarchy.
pub(crate) fn remove_cgroups(directory: &Path) {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_owned()];
    hierarchies.extend(
        fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    for hierarchy in hierarchies {
        let place = hierarchy.join(cgroup(directory));
        if place.is_dir() && !hierarchy.is_symlink() {
            remove_tree(&place);
        }
    }
}

fn remove_tree(place: &Path) {
    for entry in fs::read_dir(place).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(place).unwrap();
}
