//! What a sandbox cannot do.

use std::process::Command;

use helix_isolation::Isolation as _;
use libtest_mimic::Trial;

use crate::{
    daemon::run,
    place::{Place, sh, started, trial, tried},
};

/// What must fail inside, even for root, and whether it works for the test itself, which
/// is root in namespaces of its own: so it is known to be the sandbox that refuses.
const REFUSED: [(&str, bool); 9] = [
    (
        "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m && umount /tmp/m",
        true,
    ),
    (
        "ip address add 10.9.9.9/24 dev lo && ip address del 10.9.9.9/24 dev lo",
        true,
    ),
    ("mknod /tmp/helix-disk b 254 0 && rm /tmp/helix-disk", true),
    ("unshare -n true", true),
    ("umount /.helix/program", false),
    ("touch /.helix/program/guest", false),
    ("touch /.helix/door/launch.sock", false),
    ("echo 1 > /proc/sys/kernel/panic", false),
    ("mount -o remount,rw /proc/sys", false),
];

/// What the kernel says to those it refuses.
const REFUSALS: [&str; 3] = ["not permitted", "ermission denied", "ead-only"];

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "root in a sandbox has no rights over mounts, networks, devices and the kernel",
        is_confined,
    ));
    trials.push(trial(
        "an ordinary user in a sandbox has no capabilities at all",
        users_have_nothing,
    ));
}

async fn is_confined() {
    let place = Place::new("confined");
    let backend = place.open().await;
    let sandbox = started(&backend, &place.spec()).await;
    for (script, works_outside) in REFUSED {
        let (code, output) = tried(&sandbox, "root", script).await;
        assert_ne!(code, Some(0), "{script} was not refused");
        let refused = REFUSALS.iter().any(|says| output.contains(says));
        assert!(refused, "{script}: {output}");
        if works_outside {
            run(Command::new("busybox").args(["sh", "-c", script]));
        }
    }
    let status = sh(&sandbox, "cat /proc/1/status").await;
    // The eleven capabilities and no more, no new ones by running a program, a filter.
    for line in ["CapBnd:\t00000000800405fb", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let namespaces = sh(&sandbox, "ls -l /proc/1/ns").await;
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert!(!namespaces.contains(ours.to_str().unwrap()), "{namespaces}");
    backend.remove(sandbox.spec().id).await.unwrap();
}

async fn users_have_nothing() {
    let place = Place::new("users");
    let backend = place.open().await;
    let sandbox = started(&backend, &place.spec()).await;
    let (code, status) = tried(&sandbox, "user", "id -u; cat /proc/self/status").await;
    assert_eq!(code, Some(0), "{status}");
    assert!(status.starts_with("1000\n"), "{status}");
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    backend.remove(sandbox.spec().id).await.unwrap();
}
