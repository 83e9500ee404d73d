//! Sandboxes as containers of a Docker daemon, through the whole path.
//!
//! The test runs itself once more in namespaces of its own for networks, mounts and
//! processes, with the control plane, the sandbox host and a Docker daemon that is its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use helix_proto::sandbox::{Sandbox, SandboxState};
use helix_tests::{
    DatabaseKind, SandboxHost, World, eventually, eventually::SOON, process::Process,
    programs::programs,
};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::json;

/// Set in the namespaces: the directory of the Docker daemon.
const DIRECTORY: &str = "HELIX_TEST_CONTAINERS";
const IMAGE: &str = "helix-test:1";

#[test]
fn sandboxes_are_containers_of_a_docker_daemon_for_everyone_who_uses_them() {
    match std::env::var_os(DIRECTORY) {
        Some(directory) => within(Path::new(&directory)),
        None => in_namespaces(),
    }
}

#[expect(clippy::print_stdout, reason = "who reads the tests' output is told")]
fn in_namespaces() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    // What has to be built is built where the network is.
    let _ = programs();
    let directory = tempfile::Builder::new()
        .prefix("helix-docker-")
        .tempdir()
        .unwrap();
    let status = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("sandboxes_are_containers_of_a_docker_daemon_for_everyone_who_uses_them")
        .env(DIRECTORY, directory.path())
        .status()
        .unwrap();
    remove_cgroups(&cgroup(directory.path()));
    assert!(status.success());
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    let programs = ["dockerd", "docker", "nft", "unshare", "busybox", "ip"];
    let there = |program: &&str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|path| path.join(program).is_file())
    };
    let missing = programs.iter().find(|program| !there(program))?;
    Some(format!("needs {missing}"))
}

fn within(directory: &Path) {
    for place in ["/run", "/etc/docker"] {
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", place]));
    }
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(live(directory));
}

async fn live(directory: &Path) {
    let mut docker = Docker::start(directory).await;
    let world = World::empty(DatabaseKind::Sqlite).await;
    let socket = docker.socket().display().to_string();
    let settings = vec![
        ("HELIX_SANDBOX_ISOLATION__BACKEND", "docker".to_owned()),
        ("HELIX_SANDBOX_ISOLATION__DOCKER_SOCKET", socket),
    ];
    let host = SandboxHost::with_settings(&world, settings).await;

    // The host says what it is, what it has, and what it cannot do.
    let info = host.view().await.info.unwrap();
    assert_eq!(info.backend, "docker");
    let images: Vec<_> = info
        .images
        .iter()
        .map(|image| image.name.as_str())
        .collect();
    assert_eq!(images, [IMAGE]);
    let docker_inside = info.capabilities.iter().find(|one| one.name == "docker");
    assert!(!docker_inside.unwrap().available);

    let rootfs = json!({ "kind": "image", "image": IMAGE });
    let one = json!({ "name": "one", "rootfs": rootfs, "env": { "GREETING": "hello" } });
    let one = host.sandbox(one).await;
    let said = host
        .shell(&one, "hostname; echo $GREETING; echo kept > /tmp/note")
        .await;
    assert_eq!(said, "one\nhello\n");
    let containers = docker.run(&["ps", "--format", "{{.Label \"helix.sandbox\"}} {{.State}}"]);
    assert_eq!(containers, format!("{} running\n", one.id));
    host.shell(&one, "httpd -p 8000 -h /").await;
    let served = async |host: &SandboxHost, sandbox: &Sandbox| {
        host.call(Method::GET, sandbox, "/ports/8000/tmp/note", "")
            .await
    };
    assert_eq!(
        served(&host, &one).await,
        (StatusCode::OK, b"kept\n".to_vec())
    );

    // What this backend lacks is refused with the reason.
    let with_docker = json!({ "name": "two", "rootfs": rootfs, "docker": true });
    let asked = world.admin.request(Method::POST, "/api/v1/sandboxes");
    let refused = asked.json(&with_docker).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let why = refused.text().await.unwrap();
    assert!(why.contains("no Docker daemon of its own"), "{why}");

    let (status, _) = host.call(Method::POST, &one, "/pause", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = host.call(Method::POST, &one, "/resume", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = host
        .call(Method::POST, &one, "/fork", "{\"name\":\"fork\"}")
        .await;
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
    let fork: Sandbox = serde_json::from_slice(&body).unwrap();
    let fork = host.until(&fork, SandboxState::Running).await;
    assert_eq!(
        host.shell(&fork, "cat /tmp/note; echo new > /tmp/note")
            .await,
        "kept\n"
    );

    // The built-in agent is there, whatever the image has.
    let agent = host
        .shell(&one, "/run/helix/helix-sandbox agent --help")
        .await;
    assert!(agent.contains("Agent Client Protocol"), "{agent}");

    let mut host = host;
    for signal in [Signal::TERM, Signal::KILL] {
        host = host.restarted(signal).await;
        host.until(&one, SandboxState::Running).await;
        let again = served(&host, &one).await;
        assert_eq!(
            again,
            (StatusCode::OK, b"kept\n".to_vec()),
            "it has gone on"
        );
    }
    host.delete(&one).await;
    host.delete(&fork).await;
    assert_eq!(docker.run(&["ps", "--all", "--quiet"]), "");
    assert_eq!(
        docker.run(&["images", "--format", "{{.Repository}}:{{.Tag}}"]),
        format!("{IMAGE}\n")
    );
    host.end().await;
    let tables = Command::new("nft")
        .args(["list", "tables"])
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&tables.stdout).contains("helix_"));
    docker.process.stop().await;
}

/// A Docker daemon of the test's own, with one image.
struct Docker {
    directory: PathBuf,
    process: Process,
}

impl Docker {
    async fn start(directory: &Path) -> Self {
        let mut command = Command::new("dockerd");
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "dockerd.pid"),
        ] {
            command.arg(option).arg(directory.join(name));
        }
        let socket = directory.join("docker.sock");
        command.args(["--bridge=none", "--iptables=false"]);
        command.arg(format!("--host=unix://{}", socket.display()));
        command.arg(format!("--cgroup-parent=/{}", cgroup(directory)));
        let docker = Self {
            directory: directory.to_owned(),
            process: Process::start(&mut command, &directory.join("dockerd.log")),
        };
        eventually("the Docker daemon", SOON, async || {
            let asked = docker.command(&["version"]).output().unwrap();
            if asked.status.success() {
                Ok(())
            } else {
                Err(docker.process.log())
            }
        })
        .await;
        docker.import();
        docker
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_CONFIG", self.directory.join("client"));
        command.arg(format!("--host=unix://{}", self.socket().display()));
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments))
    }

    fn import(&self) {
        let root = self.directory.join("root");
        for place in ["bin", "etc", "root", "tmp"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        fs::set_permissions(root.join("tmp"), open).unwrap();
        let busybox = run(Command::new("busybox").args(["which", "busybox"]));
        fs::copy(busybox.trim(), root.join("bin/busybox")).unwrap();
        for name in run(Command::new("busybox").arg("--list")).lines() {
            if name != "busybox" {
                std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
            }
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        let tar = self.directory.join("root.tar");
        run(Command::new("busybox")
            .args(["tar", "-c", "-C"])
            .arg(&root)
            .arg("-f")
            .arg(&tar)
            .arg("."));
        self.run(&["import", &tar.display().to_string(), IMAGE]);
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cgroup(directory: &Path) -> String {
    directory
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// Removes what the daemon made, in every hierarchy.
fn remove_cgroups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_owned()];
    let below = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    hierarchies.extend(below.filter(|path| path.is_dir() && !path.is_symlink()));
    for place in hierarchies
        .into_iter()
        .map(|hierarchy| hierarchy.join(name))
    {
        if place.is_dir() {
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
