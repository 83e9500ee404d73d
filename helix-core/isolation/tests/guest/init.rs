//! The guest as the first process of a namespace of its own.

use std::{
    env,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use helix_isolation::guest::{GuestConfig, run};
use helix_proto::sandbox::guest::{Exec, ExecList, ExecResult, Output};
use serde_json::{Value, json};

use crate::support::{Running, eventually, is_root};

/// Tells this program that it is to be a guest, and where.
const SOCKET: &str = "HELIX_TEST_GUEST_SOCKET";

/// Not a test: what the other tests here start in a namespace.
#[test]
fn child_that_is_a_guest_where_a_test_asks_for_it() {
    let Some(socket) = env::var_os(SOCKET) else {
        return;
    };
    assert_eq!(std::process::id(), 1);
    let listener = UnixListener::bind(socket).unwrap();
    run(GuestConfig::default(), listener);
}

/// A guest as process 1 of its own namespace of processes.
struct Init {
    child: Child,
    socket: PathBuf,
}

impl Drop for Init {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn start(dir: &Path) -> Option<Init> {
    if !is_root() {
        return None;
    }
    let socket = dir.join("init");
    let child = Command::new("unshare")
        .args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            "init::child_that_is_a_guest_where_a_test_asks_for_it",
            "--nocapture",
        ])
        .env(SOCKET, &socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut init = Init { child, socket };
    eventually("the guest listens", async || {
        // A moment before it listens, the socket is there and refuses.
        std::os::unix::net::UnixStream::connect(&init.socket).is_ok()
            || init.child.try_wait().unwrap().is_some()
    })
    .await;
    if init.child.try_wait().unwrap().is_some() {
        println!("skipped: this machine allows no namespace of processes");
        return None;
    }
    Some(init)
}

impl Init {
    /// The guest seen from outside: the only child of `unshare`.
    fn pid(&self) -> i32 {
        let of = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
        children.trim().parse().unwrap()
    }
}

async fn sh(client: &Running, script: &str) -> String {
    let request: Value = json!({"command": ["sh", "-c", script], "user": "root", "cwd": "/"});
    match client.post::<ExecResult>("/exec", request).await.stdout {
        Output::Text(text) => text,
        Output::Base64(text) => panic!("{text}"),
    }
}

#[tokio::test]
async fn orphans_are_collected() {
    let dir = tempfile::tempdir().unwrap();
    let Some(init) = start(dir.path()).await else {
        return;
    };
    let client = Running::client(&init.socket);
    let left = sh(&client, "(sleep 0.05 & sleep 0.05 & echo left)").await;
    assert_eq!(left, "left\n");
    let zombies =
        "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; ps -e | grep -c sleep";
    eventually("no process is left", async || {
        sh(&client, zombies).await == "0\n0\n"
    })
    .await;
}

#[tokio::test]
async fn it_ends_when_asked_and_asks_what_runs_to_end_first() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut init) = start(dir.path()).await else {
        return;
    };
    let client = Running::client(&init.socket);
    let note = dir.path().join("note");
    let script = format!(
        "trap 'echo asked > {0}; exit' TERM; echo > {0}.up; while :; do sleep 0.05; done",
        note.display()
    );
    let request = json!({"command": ["sh", "-c", script], "user": "root", "background": true});
    client.post::<Exec>("/exec", request).await;
    eventually("it runs", async || note.with_extension("up").exists()).await;
    let pid = rustix::process::Pid::from_raw(init.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    eventually("it ends", async || init.child.try_wait().unwrap().is_some()).await;
    assert_eq!(std::fs::read_to_string(note).unwrap(), "asked\n");
}

#[tokio::test]
async fn an_idle_guest_has_little_memory_of_its_own_also_after_a_flood() {
    let dir = tempfile::tempdir().unwrap();
    let Some(init) = start(dir.path()).await else {
        return;
    };
    let client = Running::client(&init.socket);
    let own = || {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", init.pid())).unwrap();
        let field = |name: &str| -> u64 {
            let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace()
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        };
        field("Private_Dirty:")
    };
    assert_eq!(sh(&client, "echo up").await, "up\n");
    println!("{} KiB of its own when idle", own());
    for _ in 0..20 {
        let request = json!({
            "command": ["sh", "-c", "head -c 6000000 /dev/zero; head -c 6000000 /dev/zero >&2"],
            "user": "root",
            "cwd": "/",
            "background": true,
        });
        client.post::<Exec>("/exec", request).await;
    }
    eventually("all have ended", async || {
        let list: ExecList = client.get("/exec").await;
        list.execs.iter().all(|exec| exec.exit.is_some())
    })
    .await;
    println!("{} KiB of its own after floods", own());
    assert!(own() < 80 << 10, "{} KiB", own());
}
