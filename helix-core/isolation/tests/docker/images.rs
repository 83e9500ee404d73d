//! Images of the host: imported once, in every sandbox's Docker daemon.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use helix_base::{Clock as _, SystemClock};
use helix_isolation::{
    Environment, ErrorKind, GuestClient, Isolation as _,
    docker::images::DockerImages,
    namespaces::{Options, import_docker_image},
};
use helix_proto::{
    SnapshotId,
    sandbox::{
        Egress,
        host::{HostImage, Origin, SandboxSpec},
    },
};
use libtest_mimic::Trial;

use crate::{
    daemon::{import, spec},
    support::{Phases, Place, sh, trial},
};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "an image that was imported on the host is in every sandbox, without a copy",
        shared,
    ));
    trials.push(trial(
        "what one sandbox does to an image of the host no other sees",
        apart,
    ));
    trials.push(trial(
        "an image of the host stays while a sandbox or a snapshot may need it",
        kept,
    ));
    trials.push(trial(
        "a file that holds no image is refused, and leaves nothing",
        refused,
    ));
}

/// Bytes of the image's own file: more than all that a sandbox's daemon writes by itself.
const LARGE: usize = 8 << 20;

/// What `docker save` wrote of two images, the second one upon the first: a layer that
/// removes what is below it, and one that hides it.
async fn saved(place: &Place) -> PathBuf {
    let sandbox = place.start(&spec(place, Egress::None)).await;
    import(&sandbox).await;
    let megabytes = LARGE >> 20;
    let script = format!(
        "set -e; mkdir /tmp/b; cd /tmp/b; printf 'FROM box\\nRUN mkdir /old && echo one > /old/a \
         && echo gone > /gone && cat /dev/urandom | head -c {megabytes}m > /large\\n\
         RUN rm /gone && rm -r /old && mkdir /old && echo two > /old/b\\n' > Dockerfile; \
         export DOCKER_BUILDKIT=0; docker build -q -t made:1 . >/dev/null 2>&1; \
         mkdir -p /var/tmp; docker save box:latest made:1 -o /var/tmp/saved.tar && echo saved"
    );
    assert_eq!(sh(&sandbox, &script).await, "saved\n");
    let client = GuestClient::new(Arc::clone(&sandbox));
    let content = client.read("root", "/var/tmp/saved.tar").await.unwrap();
    let path = place.directory.path().join("saved.tar");
    std::fs::write(&path, content).unwrap();
    place.backend().remove(sandbox.spec().id).await.unwrap();
    path
}

async fn imported(place: &Place, from: &Path) -> Result<Vec<HostImage>, helix_isolation::Error> {
    let options = Options::new(place.directory.path());
    let never = std::future::pending();
    import_docker_image(&options, from, Arc::new(SystemClock), &|_| (), never).await
}

fn store(place: &Place) -> DockerImages {
    DockerImages::open(Options::new(place.directory.path()).docker_images()).unwrap()
}

/// How many bytes a sandbox's disk takes.
async fn bytes(sandbox: &Arc<dyn Environment>) -> u64 {
    sh(sandbox, "sync").await;
    sandbox.stats().await.unwrap().disk_bytes
}

const NAMES: &str = "docker images --format '{{.Repository}}:{{.Tag}}' | sort | tr '\\n' ' '";
const LOOK: &str = "docker run --rm made:1 sh -c 'ls /old /gone 2>/dev/null; cat /old/b'";

async fn shared() {
    let place = Place::new().await;
    let plain = place.start(&spec(&place, Egress::None)).await;
    let without = bytes(&plain).await;
    let file = saved(&place).await;
    let begun = SystemClock.now();
    imported(&place, &file).await.unwrap();
    println!(
        "imported after {:?}",
        SystemClock.now().saturating_duration_since(begun)
    );
    let images = store(&place).list().unwrap();
    let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["box:latest", "made:1"]);
    assert!(images[1].size_bytes > LARGE as u64);
    assert!(!place.directory.path().join("loader").exists());
    for _ in 0..2 {
        let sandbox = place
            .backend()
            .create(&spec(&place, Egress::None))
            .await
            .unwrap();
        let begun = SystemClock.now();
        sandbox.start(&Phases::default()).await.unwrap();
        println!(
            "ready after {:?}",
            SystemClock.now().saturating_duration_since(begun)
        );
        assert_eq!(sh(&sandbox, NAMES).await, "box:latest made:1 ");
        assert_eq!(sh(&sandbox, LOOK).await, "/old:\nb\ntwo\n");
        let more = bytes(&sandbox).await.saturating_sub(without);
        println!("takes {more} bytes more than without images");
        assert!(more < LARGE as u64 / 4, "{more}");
        // Everything that reads a layer: saving, and building upon it.
        let more = "cd /tmp && docker save made:1 | tar t | grep -c manifest.json; \
            printf 'FROM made:1\\nRUN echo more > /old/c\\n' > Dockerfile; \
            DOCKER_BUILDKIT=0 docker build -q -t more . >/dev/null 2>&1; \
            docker run --rm more cat /old/b /old/c";
        assert_eq!(sh(&sandbox, more).await, "1\ntwo\nmore\n");
    }
    // Who was there before has them when it starts again.
    assert_eq!(sh(&plain, NAMES).await, "");
    plain.stop().await.unwrap();
    plain.start(&Phases::default()).await.unwrap();
    assert_eq!(sh(&plain, LOOK).await, "/old:\nb\ntwo\n");
    place.close().await;
}

async fn apart() {
    let place = Place::new().await;
    let file = saved(&place).await;
    imported(&place, &file).await.unwrap();
    let one = place.start(&spec(&place, Egress::None)).await;
    let other = place.start(&spec(&place, Egress::None)).await;
    // In a container, as root on what the daemon has, and by the daemon itself.
    let tried = "docker run --rm made:1 sh -c 'echo bad > /old/b; rm -r /bin/ls'; \
        cd /var/lib/docker/overlay2; for layer in */diff; do \
        (echo bad > $layer/bad) 2>/dev/null && test -L $layer && echo WROTE $layer; \
        rm -f $layer/old/b 2>/dev/null; done; \
        mount -o remount,rw /run/helix-docker/images 2>/dev/null && echo WRITABLE; \
        umount /run/helix-docker/images 2>/dev/null && echo UNMOUNTED; \
        chown 1 /run/helix-docker/images/overlay2/*/diff 2>/dev/null && echo OWNED; true";
    assert_eq!(sh(&one, tried).await, "");
    assert_eq!(sh(&one, LOOK).await, "/old:\nb\ntwo\n");
    let removed = "docker rmi made:1 box >/dev/null && docker images -q | wc -l";
    assert_eq!(sh(&one, removed).await, "0\n");
    assert_eq!(sh(&other, LOOK).await, "/old:\nb\ntwo\n");
    let new = place.start(&spec(&place, Egress::None)).await;
    assert_eq!(sh(&new, LOOK).await, "/old:\nb\ntwo\n");
    // What was removed stays so.
    one.stop().await.unwrap();
    one.start(&Phases::default()).await.unwrap();
    assert_eq!(sh(&one, NAMES).await, "");
    place.close().await;
}

async fn kept() {
    let mut place = Place::new().await;
    let file = saved(&place).await;
    imported(&place, &file).await.unwrap();
    let again = imported(&place, &file).await.unwrap();
    assert_eq!(again.len(), store(&place).list().unwrap().len());
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    sandbox.stop().await.unwrap();
    let id = sandbox.spec().id;
    let snapshot: SnapshotId = helix_base::Ids::new(Arc::new(SystemClock)).next();
    sandbox.snapshot(snapshot).await.unwrap();
    let refused = store(&place).remove("made:1").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains(&id.to_string()), "{refused}");
    place.backend().remove(id).await.unwrap();
    drop(sandbox);
    place.open().await;
    let refused = store(&place).remove("made:1").unwrap_err();
    assert!(
        refused.to_string().contains(&snapshot.to_string()),
        "{refused}"
    );
    let origin = Some(Origin::Snapshot(snapshot));
    let second = SandboxSpec {
        origin,
        ..spec(&place, Egress::None)
    };
    let second = place.start(&second).await;
    place.backend().remove_snapshot(snapshot).await.unwrap();
    assert_eq!(sh(&second, LOOK).await, "/old:\nb\ntwo\n");
    place.backend().remove(second.spec().id).await.unwrap();
    drop(second);
    for image in ["made:1", "box:latest"] {
        store(&place).remove(image).unwrap();
    }
    assert_eq!(store(&place).list().unwrap(), []);
    let layers = place.directory.path().join("docker-images/data/overlay2");
    assert_eq!(std::fs::read_dir(layers).unwrap().count(), 0);
    place.close().await;
}

async fn refused() {
    let place = Place::new().await;
    let file = place.directory.path().join("no-image");
    std::fs::write(&file, "no image").unwrap();
    let refused = imported(&place, &file).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert!(!place.directory.path().join("loader").exists());
    let folder = imported(&place, place.directory.path()).await;
    assert_eq!(folder.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store(&place).list().unwrap(), []);
    place.close().await;
}
