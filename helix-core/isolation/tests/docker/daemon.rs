//! The daemon itself: starts, breaks, goes on, keeps what it has.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use helix_base::{Clock as _, SystemClock};
use helix_isolation::{Environment, GuestClient, Isolation as _};
use helix_proto::{
    SnapshotId,
    sandbox::{
        Egress, SandboxLimits, SandboxLog, SandboxPhase,
        guest::{ServiceState, ServiceStatus},
        host::{Origin, SandboxSpec},
    },
};
use http::Method;
use libtest_mimic::Trial;

use crate::support::{Phases, Place, sh, sh_as, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "a daemon is ready when its sandbox is, and runs containers",
        ready,
    ));
    trials.push(trial(
        "the sandbox's user may use it, and it is told of",
        told,
    ));
    trials.push(trial(
        "a daemon that is killed is started again, and one that is stopped is not",
        killed,
    ));
    trials.push(trial(
        "images and volumes are kept while a sandbox is stopped, and in its snapshots",
        kept,
    ));
    trials.push(trial(
        "a privileged container with the root of its sandbox reaches no more",
        privileged,
    ));
}

/// A sandbox with a Docker daemon.
pub(crate) fn spec(place: &Place, egress: Egress) -> SandboxSpec {
    SandboxSpec {
        docker: true,
        desktop: None,
        egress,
        limits: SandboxLimits {
            memory_bytes: 1 << 30,
            pids: 1_024,
            disk_bytes: 1 << 30,
            open_files: 65_536,
            ..place.spec().limits
        },
        ..place.spec()
    }
}

/// An image `box`: a static busybox, and the names that it goes by.
pub(crate) async fn import(sandbox: &Arc<dyn Environment>) {
    let script = "set -e; mkdir -p /tmp/box/bin; cp /bin/busybox /tmp/box/bin/; \
        for name in sh cat echo wget httpd sleep id nslookup ls mkdir true mount mknod head rm timeout; do \
        ln -sf busybox /tmp/box/bin/$name; done; \
        tar -C /tmp/box -c . | docker import - box >/dev/null && echo imported";
    assert_eq!(sh(sandbox, script).await, "imported\n");
}

/// Asks the guest for JSON.
async fn ask<T: serde::de::DeserializeOwned>(sandbox: &Arc<dyn Environment>, path: &str) -> T {
    let client = GuestClient::new(Arc::clone(sandbox));
    let answer = client.ask(Method::GET, path, Bytes::new()).await.unwrap();
    serde_json::from_slice(answer.body()).unwrap()
}

async fn ready() {
    let place = Place::new().await;
    let sandbox = place
        .backend()
        .create(&spec(&place, Egress::None))
        .await
        .unwrap();
    let (phases, begun) = (Phases::default(), SystemClock.now());
    sandbox.start(&phases).await.unwrap();
    let took = SystemClock.now().saturating_duration_since(begun);
    let idle = sandbox.stats().await.unwrap().memory_bytes >> 20;
    println!("ready with its Docker daemon after {took:?}, with {idle} MiB of memory in use");
    assert_eq!(phases.0.lock().unwrap().last(), Some(&SandboxPhase::Docker));
    import(&sandbox).await;
    assert_eq!(
        sh(&sandbox, "docker run --rm box echo hello").await,
        "hello\n"
    );
    let build = "mkdir -p /tmp/build && cd /tmp/build && printf 'FROM box\\nRUN echo built > /made\\n\
        CMD [\"cat\", \"/made\"]\\n' > Dockerfile && DOCKER_BUILDKIT=0 docker build -q -t made . \
        >/dev/null 2>&1 && docker run --rm made";
    assert_eq!(sh(&sandbox, build).await, "built\n");
    place.close().await;
}

async fn told() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    let said = sh_as("user", &sandbox, "docker version --format '{{.Server.Os}}'").await;
    assert_eq!(said, "linux\n");
    let status: ServiceStatus = ask(&sandbox, "/docker").await;
    assert_eq!((status.state, status.starts), (ServiceState::Ready, 1));
    let plain = place.start(&place.spec()).await;
    let client = GuestClient::new(Arc::clone(&plain));
    let answer = client
        .ask(Method::GET, "/docker", Bytes::new())
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(sh(&plain, "ls /run/docker.sock 2>/dev/null").await, "");
    place.close().await;
}

async fn killed() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    sh(&sandbox, "kill -9 $(cat /run/docker.pid)").await;
    eventually("it is started again", async || {
        let status: ServiceStatus = ask(&sandbox, "/docker?wait_ms=1000").await;
        (status.state, status.starts) == (ServiceState::Ready, 2)
    })
    .await;
    let log: SandboxLog = ask(&sandbox, "/docker/log?tail=1000").await;
    assert!(
        log.lines.iter().any(|line| line.text.contains("killed")),
        "{log:?}"
    );
    sh(&sandbox, "kill $(cat /run/docker.pid)").await;
    eventually("it stays stopped", async || {
        let status: ServiceStatus = ask(&sandbox, "/docker").await;
        status.state == ServiceState::Stopped
    })
    .await;
    place.close().await;
}

async fn kept() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    sh(
        &sandbox,
        "docker run --rm -v things:/things box sh -c 'echo mine > /things/one'",
    )
    .await;
    sandbox.stop().await.unwrap();
    sandbox.start(&Phases::default()).await.unwrap();
    let read = "docker run --rm -v things:/things box cat /things/one";
    assert_eq!(sh(&sandbox, read).await, "mine\n");
    sandbox.stop().await.unwrap();
    let snapshot: SnapshotId = helix_base::Ids::new(Arc::new(SystemClock)).next();
    sandbox.snapshot(snapshot).await.unwrap();
    let origin = Some(Origin::Snapshot(snapshot));
    let second = place
        .start(&SandboxSpec {
            origin,
            ..spec(&place, Egress::None)
        })
        .await;
    assert_eq!(sh(&second, read).await, "mine\n");
    place.backend().remove_snapshot(snapshot).await.unwrap();
    place.close().await;
}

async fn privileged() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let other = place.start(&place.spec()).await;
    sh(&other, "echo secret > /root/secret").await;
    let seen = sh(
        &sandbox,
        "docker run --rm -v /:/host --pid=host --net=host box sh -c \
        'cat /host/etc/hostname; ls -d /proc/[0-9]*; ls /host/root /host/home' 2>&1",
    )
    .await;
    assert!(seen.contains("test-box"), "{seen}");
    assert!(!seen.contains("secret"), "{seen}");
    let processes = seen
        .lines()
        .filter(|line| line.starts_with("/proc/"))
        .count();
    assert!((1..60).contains(&processes), "{seen}");
    place.close().await;
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(30), asked).await;
    assert!(held.is_ok(), "not within 30 s: {what}");
}
