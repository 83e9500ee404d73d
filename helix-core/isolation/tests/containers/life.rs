//! What is particular to containers: images, and what is left.

use std::{fs, process::Command};

use helix_isolation::{ErrorKind, Isolation as _};
use helix_proto::{
    SnapshotId, TypedId as _,
    sandbox::{
        Rootfs, SandboxEndKind, SandboxPhase,
        host::{Origin, SandboxSpec},
    },
};
use libtest_mimic::Trial;

use crate::{
    daemon::{IMAGE, WITH_VOLUME, directory, docker, run},
    place::{Phases, Place, sh, started, trial, tried},
};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "a sandbox has its image's variables, its own, its name and its resolver",
        has_what_it_was_given,
    ));
    trials.push(trial(
        "an image with volumes, one made of a sandbox, and what a container cannot be are refused",
        refuses_images,
    ));
    trials.push(trial(
        "a sandbox that uses too much memory ends, and says why",
        runs_out_of_memory,
    ));
    trials.push(trial(
        "when everything is removed, nothing is left",
        leaves_nothing,
    ));
}

async fn has_what_it_was_given() {
    let place = Place::new("given");
    let backend = place.open().await;
    let sandbox = backend.create(&place.spec()).await.unwrap();
    let phases = Phases::default();
    sandbox.start(&phases).await.unwrap();
    let heard = phases.0.lock().unwrap().clone();
    assert_eq!(heard, [SandboxPhase::Isolation, SandboxPhase::Guest]);
    let seen = sh(
        &sandbox,
        "echo $FROM_IMAGE $OF_SPEC $LD_PRELOAD; hostname; id -u",
    )
    .await;
    assert_eq!(seen, "yes yes /lib/none.so\ntest-box\n0\n");
    let resolver = sh(&sandbox, "ip route | head -n 1; cat /etc/resolv.conf").await;
    let gateway = resolver.split_whitespace().nth(2).unwrap();
    assert!(
        resolver.contains(&format!("nameserver {gateway}\n")),
        "{resolver}"
    );
    // Its files belong to it alone: a fork of a fork, with what the first image said.
    let id = sandbox.spec().id;
    let fork = SandboxSpec {
        origin: Some(Origin::Sandbox(id)),
        ..place.spec()
    };
    let fork = started(&backend, &fork).await;
    let second = SandboxSpec {
        origin: Some(Origin::Sandbox(fork.spec().id)),
        ..place.spec()
    };
    let second = started(&backend, &second).await;
    assert_eq!(
        sh(&second, "echo $FROM_IMAGE $LD_PRELOAD").await,
        "yes /lib/none.so\n"
    );
    for one in [fork.spec().id, second.spec().id, id] {
        backend.remove(one).await.unwrap();
    }
}

async fn refuses_images() {
    let place = Place::new("refused");
    let backend = place.open().await;
    let sandbox = started(&backend, &place.spec()).await;
    let snapshot = SnapshotId::from_parts(1, 7);
    sandbox.snapshot(snapshot).await.unwrap();
    let names = run(docker(&directory()).args(["images", "--format", "{{.Repository}}:{{.Tag}}"]));
    let name = names
        .lines()
        .find(|name| name.ends_with(&snapshot.to_string()))
        .unwrap();
    let of = |image: &str| Rootfs::Image {
        image: image.to_owned(),
    };
    for (rootfs, docker, kind) in [
        (of(WITH_VOLUME), false, ErrorKind::Unsupported),
        (of(name), false, ErrorKind::NotFound),
        (of("../containers/json"), false, ErrorKind::Invalid),
        (Rootfs::Host, false, ErrorKind::Unsupported),
        (of(IMAGE), true, ErrorKind::Unsupported),
    ] {
        let what = format!("{rootfs:?} {docker}");
        let spec = SandboxSpec {
            rootfs,
            docker,
            desktop: None,
            ..place.spec()
        };
        let error = backend.create(&spec).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
    }
    backend.remove_snapshot(snapshot).await.unwrap();
    backend.remove(sandbox.spec().id).await.unwrap();
}

async fn runs_out_of_memory() {
    let place = Place::new("memory");
    let backend = place.open().await;
    let sandbox = started(&backend, &place.spec()).await;
    let (code, output) = tried(&sandbox, "root", "head -c 200000000 /dev/zero | tail").await;
    assert_ne!(code, Some(0), "{output}");
    // One of its processes was killed, not the sandbox.
    assert_eq!(sh(&sandbox, "echo here").await, "here\n");
    // What the end of the first process says: nobody asked for it.
    let container = run(docker(&directory()).args(["ps", "--quiet"]));
    let (end, ()) = tokio::join!(sandbox.ended(), async {
        run(docker(&directory()).arg("kill").arg(container.trim()));
    });
    let kinds = [SandboxEndKind::Exited, SandboxEndKind::OutOfMemory];
    assert!(kinds.contains(&end.kind), "{end:?}");
    let error = sandbox.connect().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    backend.remove(sandbox.spec().id).await.unwrap();
}

async fn leaves_nothing() {
    let place = Place::new("left");
    let backend = place.open().await;
    let sandbox = started(&backend, &place.spec()).await;
    let snapshot = SnapshotId::from_parts(1, 8);
    sandbox.snapshot(snapshot).await.unwrap();
    let from = SandboxSpec {
        origin: Some(Origin::Snapshot(snapshot)),
        ..place.spec()
    };
    let from = started(&backend, &from).await;
    let fork = SandboxSpec {
        origin: Some(Origin::Sandbox(from.spec().id)),
        ..place.spec()
    };
    let fork = started(&backend, &fork).await;
    fork.pause().await.unwrap();
    backend.remove_snapshot(snapshot).await.unwrap();
    for one in [&sandbox, &from, &fork] {
        backend.remove(one.spec().id).await.unwrap();
    }
    assert_eq!(
        run(docker(&directory()).args(["ps", "--all", "--quiet"])),
        ""
    );
    assert_eq!(
        run(docker(&directory()).args(["volume", "ls", "--quiet"])),
        ""
    );
    let images = run(docker(&directory()).args(["images", "--all", "--format", "{{.Repository}}"]));
    assert_eq!(
        images.lines().collect::<Vec<_>>(),
        ["helix-test", "helix-test"],
        "{images}"
    );
    for kind in ["sandboxes", "run", "sockets"] {
        let left = fs::read_dir(place.data.join(kind)).unwrap().count();
        assert_eq!(left, 0, "{kind}");
    }
    let interfaces: Vec<_> = fs::read_dir("/proc/sys/net/ipv4/conf")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("hx"))
        .collect();
    assert!(interfaces.is_empty(), "{interfaces:?}");
    let rules = run(Command::new("nft").args(["list", "ruleset"]));
    assert!(!rules.contains("10.213.0.2"), "{rules}");
}
