//! Nothing is left behind: everything that the kernel holds is counted before and after.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use helix_isolation::{Isolation as _, namespaces::Options};
use libtest_mimic::Trial;
use sha2::{Digest as _, Sha256};

use crate::support::{Phases, Place, trial, within};

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

/// Everything of the kernel's that the sandboxes of one place may leave, by name. Other
/// places of the same machine are not looked at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    processes: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    mounts: BTreeSet<String>,
    loops: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    tables: BTreeSet<String>,
    cgroups: BTreeSet<String>,
}

fn names(path: impl AsRef<Path>) -> BTreeSet<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// What is there of the sandboxes that are kept in `place`.
fn left(place: &Path) -> Left {
    let digest = Sha256::digest(place.as_os_str().as_encoded_bytes());
    let tag: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut left = Left::default();
    let own = crate::support::program(place)
        .into_os_string()
        .into_encoded_bytes();
    for pid in names("/proc") {
        let path = Path::new("/proc").join(&pid);
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        // It is called "(deleted)" as soon as the place is gone.
        let is_own = fs::read_link(path.join("exe"))
            .is_ok_and(|exe| exe.as_os_str().as_encoded_bytes().starts_with(&own));
        if is_own && command.contains(helix_isolation::namespaces::ARGUMENT) {
            for name in names(path.join("ns")) {
                let link = fs::read_link(path.join("ns").join(name)).unwrap_or_default();
                left.namespaces.insert(link.display().to_string());
            }
            left.processes.insert(pid);
        }
    }
    let (short, place) = (&tag[..6], place.display().to_string());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let of_place = mounts.lines().filter(|line| line.contains(&place));
    left.mounts = of_place.map(str::to_owned).collect();
    left.loops = names("/sys/block");
    left.loops.retain(|name| {
        let file = Path::new("/sys/block").join(name).join("loop/backing_file");
        fs::read_to_string(file).is_ok_and(|file| file.starts_with(&place))
    });
    left.interfaces = names("/sys/class/net");
    left.interfaces.retain(|name| name.contains(short));
    let tables = Command::new("nft")
        .args(["list", "tables"])
        .output()
        .unwrap();
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    let own = tables.lines().filter(|line| line.contains(short));
    left.tables = own.map(str::to_owned).collect();
    // Version 2 has them at the top, version 1 in each hierarchy.
    let hierarchies = names("/sys/fs/cgroup").into_iter().chain([String::new()]);
    for hierarchy in hierarchies {
        let path = Path::new("/sys/fs/cgroup").join(&hierarchy);
        let found = names(path).into_iter().filter(|name| name.contains(&tag));
        left.cgroups
            .extend(found.map(|name| format!("{hierarchy}/{name}")));
    }
    left
}

async fn nothing_is_left(place: Place) {
    let path = place.directory.path().to_owned();
    place.close().await;
    let mut seen = Left::default();
    let nothing = || {
        seen = left(&path);
        seen == Left::default()
    };
    assert!(within(nothing).await, "{seen:#?}");
}

async fn lived() {
    let place = Place::new().await;
    for number in 0..5 {
        let sandbox = place.start(&place.spec()).await;
        crate::support::sh(
            &sandbox,
            "(setsid sleep 1000 &) >/dev/null 2>&1; echo x > /etc/x",
        )
        .await;
        if number % 2 == 0 {
            sandbox.pause().await.unwrap();
        }
    }
    let spares = Options::new("").spare_disks;
    let mut during = Left::default();
    let all = || {
        during = left(place.directory.path());
        let counts = [
            during.processes.len(),
            during.loops.len(),
            during.interfaces.len(),
        ];
        // The launcher is a process, too.
        counts == [5 + 1, 5 + spares, 5]
    };
    assert!(within(all).await, "the count sees what runs: {during:#?}");
    assert!(
        !during.tables.is_empty() && !during.cgroups.is_empty(),
        "{during:#?}"
    );
    assert!(during.namespaces.len() >= 5 * 6, "{during:#?}");
    nothing_is_left(place).await;
}

async fn cut_short() {
    let place = Place::new().await;
    for micros in [
        0, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 12_000, 20_000, 40_000,
    ] {
        let sandbox = place.backend().create(&place.spec()).await.unwrap();
        let phases = Phases::default();
        let _ = tokio::time::timeout(Duration::from_micros(micros), sandbox.start(&phases)).await;
    }
    nothing_is_left(place).await;
}

async fn died() {
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
    nothing_is_left(place).await;
}
