//! Another container of the same daemon with a sandbox's network, and what the daemon has.

use helix_isolation::{ErrorKind, Isolation as _};
use helix_proto::{
    SnapshotId,
    sandbox::{Egress, host::SandboxSpec},
};
use libtest_mimic::Trial;

use crate::{
    daemon::{IMAGE, WITH_VOLUME, directory, docker, run},
    place::{Place, sh, started, trial},
};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "the images of the daemon are listed, and none that was made of a sandbox",
        lists_images,
    ));
    trials.push(trial(
        "a container that joins a sandbox has its address, its localhost, its names and its policy",
        joins,
    ));
}

async fn lists_images() {
    let place = Place::new("images");
    let backend = place.open().await;
    let sandbox = started(&backend, &place.spec()).await;
    let snapshot: SnapshotId = place.ids.next();
    sandbox.snapshot(snapshot).await.unwrap();
    let images = backend.images().await.unwrap();
    let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, [IMAGE, WITH_VOLUME]);
    let id = run(docker(&directory()).args(["inspect", "--format", "{{.Id}}", IMAGE]));
    assert_eq!(images[0].digest, id.trim());
    assert!(images[0].size_bytes > 1 << 20, "{images:?}");
    assert!(images[0].created_at_ms > 1_600_000_000_000, "{images:?}");
    backend.remove(sandbox.spec().id).await.unwrap();
    backend.remove_snapshot(snapshot).await.unwrap();
}

async fn joins() {
    let place = Place::new("joined");
    let backend = place.open().await;
    let spec = SandboxSpec {
        egress: Egress::None,
        ..place.spec()
    };
    let sandbox = backend.create(&spec).await.unwrap();
    let refused = backend.network_of(spec.id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    sandbox
        .start(&crate::place::Phases::default())
        .await
        .unwrap();
    let serve = "mkdir /www && echo from-sandbox > /www/index.html && httpd -p 80 -h /www";
    sh(&sandbox, serve).await;
    let network = backend.network_of(spec.id).await.unwrap();
    let joined = |script: &str| {
        let mut command = docker(&directory());
        command.args(["run", "--rm", "--network", &network, "--entrypoint", "sh"]);
        command.args(["-e", "LD_PRELOAD=", IMAGE, "-c", script]);
        run(&mut command)
    };
    let address = "ip -4 -o address show eth0 | awk '{print $4}'";
    assert_eq!(joined(address), sh(&sandbox, address).await);
    for url in ["http://localhost/", "http://test-box/"] {
        let fetch =
            format!("for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - {url} && break; sleep 1; done");
        assert_eq!(joined(&fetch), "from-sandbox\n", "{url}");
    }
    let resolver = "cat /etc/resolv.conf";
    assert_eq!(joined(resolver), sh(&sandbox, resolver).await);
    // A service of the host, which listens, and which no sandbox reaches.
    let service = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let gateway = sh(&sandbox, "ip route | head -n 1 | cut -d ' ' -f 3").await;
    std::net::TcpStream::connect((gateway.trim(), port)).unwrap();
    let tried = format!(
        "nc -w 2 {} {port} </dev/null >/dev/null 2>&1 && echo open || echo no",
        gateway.trim()
    );
    assert_eq!(joined(&tried), "no\n");
    backend.remove(spec.id).await.unwrap();
    let gone = backend.network_of(spec.id).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}
