//! What an ordinary user's sandboxes do, and what is refused.

use std::{path::Path, sync::Arc, sync::Mutex};

use async_trait::async_trait;
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::{
    ErrorKind, FoundState, Isolation,
    conformance::{self, Subject},
    images::Images,
    namespaces::Options,
};
use helix_proto::sandbox::{Egress, Rootfs, host::SandboxSpec};
use libtest_mimic::Trial;

use crate::support::{Place, open, sh, sh_as, shut_down, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "a sandbox is found again by a process that starts again",
        found_again,
    ));
    trials.push(trial("the contract of a backend holds", the_contract));
    trials.push(trial("what cannot be done is said and refused", refused));
    trials.push(trial(
        "root inside has neither the user's id nor the host's files",
        confined,
    ));
    trials.push(trial(
        "limits hold where a control group is delegated, and else for each user's processes",
        limits,
    ));
    trials.push(trial(
        "a sandbox from an image has its files and may change them",
        from_an_image,
    ));
}

fn spec(place: &Place) -> SandboxSpec {
    SandboxSpec {
        egress: Egress::None,
        ..place.spec()
    }
}

/// Starts a sandbox that another process is to find.
#[tokio::main]
pub(crate) async fn leave(data: &Path) {
    let mut place = Place::at(data);
    place.open().await;
    let sandbox = place.start(&spec(&place)).await;
    sh(&sandbox, "echo here > /tmp/here").await;
}

/// Removes what another process left.
#[tokio::main]
pub(crate) async fn clear(data: &Path) {
    let mut place = Place::at(data);
    place.open().await;
    place.close().await;
}

async fn found_again() {
    let mut place = Place::at(&std::env::current_dir().unwrap().join("data"));
    place.open().await;
    let found = place.backend().found().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].state, FoundState::Running);
    let sandbox = Arc::clone(&found[0].environment);
    assert_eq!(sh(&sandbox, "cat /tmp/here").await, "here\n");
    drop((found, sandbox));
    place.end().await;
}

#[derive(Debug)]
struct UserSubject {
    directory: tempfile::TempDir,
    tasks: Mutex<TaskGroup>,
}

#[async_trait]
impl Subject for UserSubject {
    async fn backend(&self) -> Arc<dyn Isolation> {
        let before = self.tasks.lock().unwrap().clone();
        shut_down(&before).await;
        let tasks = TaskGroup::new();
        *self.tasks.lock().unwrap() = tasks.clone();
        Arc::new(open(self.directory.path(), &tasks).await)
    }

    fn rootfs(&self) -> Rootfs {
        Rootfs::Host
    }
}

async fn the_contract() {
    let subject = UserSubject {
        directory: tempfile::tempdir().unwrap(),
        tasks: Mutex::default(),
    };
    let report = conformance::run(&subject).await;
    assert!(report.broken().is_empty(), "{report}");
    let last = subject.tasks.lock().unwrap().clone();
    shut_down(&last).await;
}

async fn refused() {
    let place = Place::new().await;
    let capabilities = place.backend().capabilities();
    for (name, available) in [
        ("namespaces", true),
        ("images", true),
        ("host_rootfs", true),
        ("disk_limit", false),
        ("network", false),
        ("docker", false),
    ] {
        let one = capabilities.iter().find(|one| one.name == name).unwrap();
        assert_eq!(one.available, available, "{one:?}");
        assert!(!one.detail.is_empty(), "{one:?}");
    }
    for refused in [
        SandboxSpec {
            egress: Egress::Open,
            ..spec(&place)
        },
        SandboxSpec {
            docker: true,
            desktop: None,
            ..spec(&place)
        },
    ] {
        let error = place.backend().create(&refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("root"), "{error}");
    }
    let sandbox = place.start(&spec(&place)).await;
    let error = sandbox.set_egress(&Egress::Open).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(sh(&sandbox, "ls /sys/class/net").await, "lo\n");
    place.close().await;
}

async fn confined() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place)).await;
    // The user, who is 0 in this process, is none of these.
    let map = sh(&sandbox, "cat /proc/self/uid_map").await;
    let map: Vec<_> = map.split_whitespace().collect();
    assert_eq!(map[..], ["0", "1", "65536"]);
    assert_eq!(
        sh(&sandbox, "ls -A /root /mnt /srv /boot | grep -v :")
            .await
            .trim(),
        ""
    );
    let data = place.directory.path().display().to_string();
    assert_eq!(sh(&sandbox, &format!("ls {data} 2>/dev/null")).await, "");
    for refused in [
        "echo x > /usr/bin/new",
        "rm /usr/bin/env",
        "unshare -U true",
        "mount -t tmpfs none /mnt",
        "umount /proc/sys",
        "umount -l /usr",
        "mknod /tmp/disk b 7 0",
        "echo 1 > /proc/sys/vm/drop_caches",
    ] {
        let script = format!("({refused}) >/dev/null 2>&1 && echo allowed");
        assert_eq!(sh(&sandbox, &script).await, "", "{refused}");
    }
    let own = "echo mine > /etc/mine; cd; echo here > file; stat -c '%U %u' file /etc/hosts";
    assert_eq!(sh(&sandbox, own).await, "root 0\nroot 0\n");
    assert!(!Path::new("/etc/mine").exists());
    let user = "cd; pwd; touch here; stat -c %U here; echo > /dev/null && echo written";
    assert_eq!(
        sh_as("user", &sandbox, user).await,
        "/home/user\nuser\nwritten\n"
    );
    place.close().await;
}

async fn limits() {
    let place = Place::new().await;
    let capabilities = place.backend().capabilities();
    let limits = capabilities
        .iter()
        .find(|one| one.name == "limits")
        .unwrap();
    let sandbox = place.start(&spec(&place)).await;
    // Counted without another process: the shell ends when it cannot have one more.
    let bomb = "for i in $(seq 100); do sleep 30 >/dev/null & set -- /proc/[0-9]*; echo $#; done 2>/dev/null";
    let processes = sh_as("user", &sandbox, bomb).await;
    let last = processes.lines().last().and_then(|last| last.parse().ok());
    // The guest is root's.
    let most = if limits.available { 64 } else { 64 + 8 };
    assert!(
        last.is_some_and(|last: u32| (8..=most).contains(&last)),
        "{processes}"
    );
    sandbox.stop().await.unwrap();
    if limits.available {
        let sandbox = place.start(&sandbox.spec()).await;
        let memory = "head -c 400000000 /dev/zero | tail -c 400000000 >/dev/null; echo $?";
        assert_ne!(sh(&sandbox, memory).await.trim(), "0");
        assert!(sandbox.stats().await.unwrap().cpu_us > 0);
    } else {
        println!("skipped: a limit of memory: {}", limits.detail);
    }
    place.close().await;
}

async fn from_an_image() {
    let place = Place::new().await;
    let work = tempfile::tempdir().unwrap();
    let script = "mkdir -p r/bin r/etc && cp /bin/busybox r/bin/ && ln -s busybox r/bin/sh && \
                  echo image > r/etc/origin && chmod 4755 r/bin/busybox && tar -cf root.tar -C r .";
    let made = std::process::Command::new("/bin/sh")
        .args(["-ec", script])
        .current_dir(work.path())
        .status();
    assert!(made.unwrap().success());
    let images = Images::open(Options::new(place.directory.path()).images()).unwrap();
    let tar = work.path().join("root.tar");
    images
        .import(&tar, "small:1", &SystemClock, &mut |_| {})
        .unwrap();
    let image = SandboxSpec {
        rootfs: Rootfs::Image {
            image: "small:1".to_owned(),
        },
        ..spec(&place)
    };
    let sandbox = place.start(&image).await;
    let script = "busybox cat /etc/origin; busybox stat -c '%u %a' /bin/busybox /etc/passwd; \
                  echo new > /etc/origin; busybox rm /bin/busybox; echo $?";
    assert_eq!(sh(&sandbox, script).await, "image\n0 4755\n0 644\n0\n");
    let other = SandboxSpec {
        id: spec(&place).id,
        ..image
    };
    let other = place.start(&other).await;
    assert_eq!(sh(&other, "busybox cat /etc/origin").await, "image\n");
    place.close().await;
    drop(images);
}
