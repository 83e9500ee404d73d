//! Nothing is left behind: everything that the kernel holds is counted before and after.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use helix_isolation::Isolation as _;
use libtest_mimic::Trial;

use crate::support::{Phases, Place, eventually, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial("nothing is left of sandboxes that lived", lived));
    trials.push(trial(
        "nothing is left of starts that were cut short",
        cut_short,
    ));
    trials.push(trial(
        "nothing is left when the daemon died in the middle of a start",
        died,
    ));
}

/// Everything of the kernel's that a sandbox may leave, by name.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    namespaces: BTreeSet<String>,
    mounts: usize,
    loops: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    tables: String,
    cgroups: BTreeSet<String>,
    processes: BTreeSet<String>,
}

fn left() -> Left {
    let mut namespaces = BTreeSet::new();
    let mut processes = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        if command.contains(helix_isolation::namespaces::ARGUMENT) {
            processes.insert(format!("{} {command}", path.display()));
            for namespace in fs::read_dir(path.join("ns"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let link = fs::read_link(namespace.path()).unwrap_or_default();
                namespaces.insert(link.display().to_string());
            }
        }
    }
    let names = |path: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let loops = names("/sys/block")
        .into_iter()
        .filter(|name| fs::metadata(format!("/sys/block/{name}/loop")).is_ok())
        .collect();
    let mut cgroups = BTreeSet::new();
    for controller in names("/sys/fs/cgroup") {
        for name in names(&format!("/sys/fs/cgroup/{controller}")) {
            if name.starts_with("helix-") {
                cgroups.insert(format!("{controller}/{name}"));
            }
        }
    }
    let own = |name: &String| name.starts_with("hx");
    Left {
        namespaces,
        mounts: fs::read_to_string("/proc/mounts").unwrap().lines().count(),
        loops,
        interfaces: names("/sys/class/net").into_iter().filter(own).collect(),
        tables: nft(),
        cgroups,
        processes,
    }
}

fn nft() -> String {
    let output = Command::new("nft")
        .args(["list", "tables"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn same_as(before: Left) {
    eventually("everything is as it was", || left() == before).await;
}

async fn lived() {
    let before = left();
    let place = Place::new().await;
    for _ in 0..5 {
        let sandbox = place.start(&place.spec()).await;
        crate::support::sh(
            &sandbox,
            "(setsid sleep 1000 &) >/dev/null 2>&1; echo x > /etc/x",
        )
        .await;
        if place.spec().id.to_string().len() % 2 == 0 {
            sandbox.pause().await.unwrap();
        }
    }
    let during = left();
    assert!(
        during.processes.len() >= 5 && during.loops.len() >= 5,
        "{during:?}"
    );
    place.close().await;
    same_as(before).await;
}

async fn cut_short() {
    let before = left();
    let place = Place::new().await;
    for micros in [
        0, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 12_000, 20_000, 40_000,
    ] {
        let sandbox = place.backend().create(&place.spec()).await.unwrap();
        let phases = Phases::default();
        let _ = tokio::time::timeout(Duration::from_micros(micros), sandbox.start(&phases)).await;
    }
    place.close().await;
    same_as(before).await;
}

async fn died() {
    let before = left();
    let mut place = Place::new().await;
    for micros in [1_000, 3_000, 6_000, 9_000, 12_000, 20_000, 40_000, 80_000] {
        // Another process makes it, and is killed.
        place.end().await;
        let mut daemon = tokio::process::Command::new(std::env::current_exe().unwrap())
            .arg(crate::DAEMON)
            .arg(place.directory.path())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut started = tokio::io::BufReader::new(daemon.stdout.take().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut started, &mut line)
            .await
            .unwrap();
        assert_eq!(line, "starting\n");
        let _ = tokio::time::timeout(Duration::from_micros(micros), daemon.wait()).await;
        daemon.kill().await.unwrap();
        place.open().await;
    }
    place.close().await;
    same_as(before).await;
}
