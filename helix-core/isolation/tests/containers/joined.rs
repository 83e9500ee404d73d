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
    trials.push(trial(
        "a container that runs already reaches a sandbox by address, name and localhost once joined",
        joins_one_that_runs,
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

/// A container of its own network that runs, as a desktop does.
struct Desktop(String);

impl Desktop {
    fn start(name: &str, network: &str) -> Self {
        let mut command = docker(&directory());
        command.args(["run", "--detach", "--name", name, "--network", network]);
        command.args(["--entrypoint", "sleep", "-e", "LD_PRELOAD=", IMAGE, "600"]);
        run(&mut command);
        Self(name.to_owned())
    }

    fn sh(&self, script: &str) -> String {
        run(docker(&directory()).args(["exec", &self.0, "sh", "-c", script]))
    }

    /// What is served there; `none` where nothing answers.
    fn fetches(&self, url: &str) -> String {
        self.sh(&format!("timeout 3 wget -q -O - {url} || echo none"))
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        run(docker(&directory()).args(["rm", "--force", &self.0]));
    }
}

async fn joins_one_that_runs() {
    let place = Place::new("veth");
    let backend = place.open().await;
    let spec = SandboxSpec {
        egress: Egress::None,
        ..place.spec()
    };
    let sandbox = backend.create(&spec).await.unwrap();
    run(docker(&directory()).args(["network", "create", "desktops"]));
    let desktop = Desktop::start("desktop", "desktops");
    let refused = backend.join(spec.id, &desktop.0, &[]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let phases = crate::place::Phases::default();
    sandbox.start(&phases).await.unwrap();
    let serve = "mkdir /www && echo from-sandbox > /www/index.html && \
                 httpd -p 80 -h /www && httpd -p 8000 -h /www";
    sh(&sandbox, serve).await;
    let shown = "ip -4 -o address show eth0 | awk '{print $4}' | cut -d / -f 1";
    let address = sh(&sandbox, shown).await.trim().to_owned();
    let urls = [
        format!("http://{address}/"),
        "http://test-box/".to_owned(),
        "http://localhost:8000/".to_owned(),
    ];
    for url in &urls {
        assert_eq!(desktop.fetches(url), "none\n", "{url}");
    }
    for refused in [
        "missing",
        &backend.network_of(spec.id).await.unwrap()["container:".len()..],
    ] {
        let refused = backend.join(spec.id, refused, &[]).await.unwrap_err();
        let kinds = [ErrorKind::NotFound, ErrorKind::Invalid];
        assert!(kinds.contains(&refused.kind()), "{refused}");
    }
    // Twice: the second replaces.
    for _ in 0..2 {
        backend.join(spec.id, &desktop.0, &[8000]).await.unwrap();
    }
    for url in &urls {
        assert_eq!(desktop.fetches(url), "from-sandbox\n", "{url}");
    }
    // What was its own, and what was not asked for, stay as they were.
    assert_eq!(desktop.fetches("http://localhost:80/"), "none\n");
    let gateway = desktop.sh("ip route | grep ^default");
    assert!(gateway.contains("eth0"), "{gateway}");
    // The sandbox reaches it in turn, but nothing behind it.
    desktop.sh("mkdir /www && echo from-desktop > /www/index.html && httpd -p 81 -h /www");
    let other = desktop.sh(shown);
    let fetched = sh(
        &sandbox,
        &format!("timeout 3 wget -q -O - http://{}:81/", other.trim()),
    )
    .await;
    assert_eq!(fetched, "from-desktop\n");
    let beyond = Desktop::start("beyond", "desktops");
    beyond.sh("mkdir /www && echo from-beyond > /www/index.html && httpd -p 81 -h /www");
    let beyond_at = beyond.sh(shown);
    let fetch = format!(
        "timeout 2 wget -q -O - http://{}:81/ 2>/dev/null || echo none",
        beyond_at.trim()
    );
    assert_eq!(desktop.sh(&fetch), "from-beyond\n");
    assert_eq!(sh(&sandbox, &fetch).await, "none\n");
    backend.part(spec.id, &desktop.0).await.unwrap();
    for url in &urls {
        assert_eq!(desktop.fetches(url), "none\n", "{url}");
    }
    // A process that starts again still knows of it, and the end of the sandbox is its end.
    backend.join(spec.id, &desktop.0, &[8000]).await.unwrap();
    drop((sandbox, backend));
    let backend = place.open().await;
    assert_eq!(desktop.fetches(&urls[2]), "from-sandbox\n");
    backend.remove(spec.id).await.unwrap();
    let hosts = desktop.sh("cat /etc/hosts");
    assert!(!hosts.contains("test-box"), "{hosts}");
    assert!(!desktop.sh("ip -o link").contains("hx"), "the pair is left");
    drop((desktop, beyond));
    run(docker(&directory()).args(["network", "rm", "desktops"]));
}
