//! A sandbox's life.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::{
    FoundState, Isolation,
    conformance::{self, Subject},
    images::Images,
    namespaces::Options,
};
use helix_proto::sandbox::{Rootfs, SandboxEndKind, SandboxPhase, host::Origin};
use libtest_mimic::Trial;

use crate::support::{Phases, Place, open, sh, sh_as, shut_down, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial("the contract of a backend holds", the_contract));
    trials.push(trial(
        "a sandbox starts, answers, stops, keeps its files and is removed",
        a_life,
    ));
    trials.push(trial("twenty sandboxes start at once", twenty_at_once));
    trials.push(trial(
        "a hundred sandboxes that are made at once have a disk each",
        a_hundred_made,
    ));
    trials.push(trial(
        "a sandbox goes on without the process that made it, and is found again",
        adopted,
    ));
    trials.push(trial(
        "a fork has the files of its origin, and they are its users' own",
        forked,
    ));
    trials.push(trial(
        "a sandbox from an image has its files, a user of its own, and not the host's",
        from_an_image,
    ));
    trials.push(trial(
        "the end of the first process is heard of, also after a restart",
        ended,
    ));
}

#[derive(Debug)]
struct HostSubject {
    directory: tempfile::TempDir,
    tasks: Mutex<TaskGroup>,
}

#[async_trait]
impl Subject for HostSubject {
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
    let subject = HostSubject {
        directory: tempfile::tempdir().unwrap(),
        tasks: Mutex::default(),
    };
    let report = conformance::run(&subject).await;
    assert!(report.broken().is_empty(), "{report}");
    let last = subject.tasks.lock().unwrap().clone();
    shut_down(&last).await;
    let tasks = TaskGroup::new();
    let backend = open(subject.directory.path(), &tasks).await;
    backend.dispose().await.unwrap();
    shut_down(&tasks).await;
}

async fn a_life() {
    let place = Place::new().await;
    let sandbox = place.backend().create(&place.spec()).await.unwrap();
    let phases = Phases::default();
    sandbox.start(&phases).await.unwrap();
    assert_eq!(
        *phases.0.lock().unwrap(),
        [SandboxPhase::Isolation, SandboxPhase::Guest]
    );
    assert_eq!(sh(&sandbox, "id -u; hostname").await, "0\ntest-box\n");
    assert_eq!(
        sh_as(
            "user",
            &sandbox,
            "id -un; cd; pwd; touch here; stat -c %U here"
        )
        .await,
        "user\n/home/user\nuser\n"
    );
    let kept = "echo kept > /etc/kept; rm /usr/bin/env; cat /etc/kept";
    assert_eq!(sh(&sandbox, kept).await, "kept\n");
    sandbox.stop().await.unwrap();
    sandbox.start(&Phases::default()).await.unwrap();
    let seen = sh(
        &sandbox,
        "cat /etc/kept; test -e /usr/bin/env || echo removed",
    )
    .await;
    assert_eq!(seen, "kept\nremoved\n");
    assert!(!Path::new("/etc/kept").exists());
    assert!(Path::new("/usr/bin/env").exists());
    place.close().await;
}

async fn twenty_at_once() {
    let place = Place::new().await;
    let specs: Vec<_> = (0..20).map(|_| place.spec()).collect();
    let started = specs.iter().map(|spec| async {
        let sandbox = place.start(spec).await;
        sh(&sandbox, "cat /proc/self/uid_map").await
    });
    let mut maps = futures_util::future::join_all(started).await;
    maps.sort();
    maps.dedup();
    assert_eq!(maps.len(), 20, "each has ids of its own");
    place.close().await;
}

async fn a_hundred_made() {
    let place = Place::new().await;
    let specs: Vec<_> = (0..100).map(|_| place.spec()).collect();
    let made = specs.iter().map(|spec| place.backend().create(spec));
    for sandbox in futures_util::future::join_all(made).await {
        sandbox.unwrap();
    }
    place.close().await;
}

async fn adopted() {
    let mut place = Place::new().await;
    let spec = place.spec();
    let sandbox = place.start(&spec).await;
    sh(
        &sandbox,
        "echo here > /tmp/here; (sleep 1000 &) >/dev/null 2>&1",
    )
    .await;
    let before = sh(&sandbox, "readlink /proc/1/ns/net").await;
    drop(sandbox);
    place.open().await;
    let found = place.backend().found().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].state, FoundState::Running);
    let again = Arc::clone(&found[0].environment);
    assert_eq!(again.spec(), spec);
    assert_eq!(sh(&again, "cat /tmp/here").await, "here\n");
    assert_eq!(sh(&again, "readlink /proc/1/ns/net").await, before);
    drop((found, again));
    place.close().await;
}

async fn forked() {
    let place = Place::new().await;
    let origin = place.start(&place.spec()).await;
    sh_as("user", &origin, "echo mine > /home/user/mine").await;
    sh(&origin, "echo roots > /root/file").await;
    let mut spec = place.spec();
    spec.origin = Some(Origin::Sandbox(origin.spec().id));
    spec.limits.disk_bytes *= 2;
    let fork = place.start(&spec).await;
    let seen = sh(
        &fork,
        "cat /root/file; stat -c '%U %u' /root/file /home/user/mine",
    )
    .await;
    assert_eq!(seen, "roots\nroot 0\nuser 1000\n");
    assert_eq!(
        sh_as("user", &fork, "echo more >> ~/mine; cat ~/mine").await,
        "mine\nmore\n"
    );
    let larger = sh(&fork, "df --output=size -B1M / | tail -1").await;
    assert!(larger.trim().parse::<u64>().unwrap() > 400, "{larger}");
    place.close().await;
}

async fn ended() {
    let mut place = Place::new().await;
    let spec = place.spec();
    drop(place.start(&spec).await);
    place.open().await;
    let found = place.backend().found().await.unwrap();
    let sandbox = Arc::clone(&found[0].environment);
    drop(found);
    let pid = place.first_process(spec.id);
    let (end, ()) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(20), sandbox.ended()),
        async { rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap() }
    );
    assert_eq!(end.unwrap().kind, SandboxEndKind::Exited);
    assert_eq!(
        place.backend().found().await.unwrap()[0].state,
        FoundState::Stopped
    );
    sandbox.start(&Phases::default()).await.unwrap();
    drop(sandbox);
    place.close().await;
}

/// A tar of a root with a shell and what that needs.
fn small_root(place: &Path) -> PathBuf {
    let script = "mkdir -p r/bin r/etc && cp /bin/dash r/bin/sh && cp /bin/cat /bin/ls /usr/bin/id r/bin && \
                  ldd /bin/dash /bin/ls /usr/bin/id | grep -o '/[^ ]*' | grep -v : | sort -u | \
                  while read lib; do mkdir -p r$(dirname $lib); cp -L $lib r$lib; done && \
                  echo image > r/etc/origin && tar -cf root.tar -C r .";
    let made = std::process::Command::new("/bin/sh")
        .args(["-ec", script])
        .current_dir(place)
        .status();
    assert!(made.unwrap().success());
    place.join("root.tar")
}

async fn from_an_image() {
    let place = Place::new().await;
    let work = tempfile::tempdir().unwrap();
    let tar = small_root(work.path());
    let images = Images::open(Options::new(place.directory.path()).images()).unwrap();
    let image = images
        .import(&tar, "small:1", &SystemClock, &mut |_| {})
        .unwrap();
    assert_eq!(
        place.backend().images().await.unwrap(),
        std::slice::from_ref(&image)
    );
    for name in ["small:1", image.digest.as_str()] {
        let mut spec = place.spec();
        spec.rootfs = Rootfs::Image {
            image: name.to_owned(),
        };
        let sandbox = place.start(&spec).await;
        let seen = sh(
            &sandbox,
            "cat /etc/origin /etc/hostname; echo new > /etc/origin; ls /",
        )
        .await;
        assert!(seen.starts_with("image\ntest-box\nbin\n"), "{seen}");
        assert!(
            !seen.contains("usr\n") || Path::new("/lib64").exists(),
            "{seen}"
        );
        let user = sh_as("user", &sandbox, "id -u; cd; cat /etc/passwd").await;
        assert!(user.starts_with("1000\n"), "{user}");
        assert!(
            user.contains("user:x:1000:1000::/home/user:/bin/sh"),
            "{user}"
        );
    }
    place.close().await;
}
