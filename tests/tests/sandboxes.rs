//! Sandboxes through the whole path: REST, control plane, tunnel, host, sandbox.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Outbound, OutboundOptions, TaskGroup};
use helix_proto::{
    desktop::{Codec, Down, Frame, Greeting, Key, Size, Up},
    sandbox::{Egress, Sandbox, SandboxLog, SandboxState},
};
use helix_tests::{
    DatabaseKind, SandboxHost, World, eventually, eventually::SOON, process::with_argument,
    sandbox_host::may_host,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_runs_programs_pauses_forks_outlives_its_hosts_daemon_and_leaves_nothing() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.201.0.0/16").await;
    let one = host
        .sandbox(json!({ "name": "one", "env": { "GREETING": "hello" } }))
        .await;

    assert_eq!(
        host.shell(&one, "id -un; hostname; echo $GREETING").await,
        "user\none\nhello\n"
    );
    let file = "/files/content?path=/home/user/note";
    let (status, _) = host.call(Method::PUT, &one, file, "kept").await;
    assert!(status.is_success());
    assert_eq!(host.call(Method::GET, &one, file, "").await.1, b"kept");

    // Something listens inside, and goes on whatever becomes of the host's daemon.
    let marker = format!("marked-{}", one.id);
    let serve = format!("python3 -m http.server 8000 --bind 127.0.0.1; : {marker}");
    let serve = json!({ "command": ["bash", "-c", serve], "background": true });
    let (status, _) = host
        .call(Method::POST, &one, "/exec", serve.to_string())
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let served = async |host: &SandboxHost| {
        eventually("the port", SOON, async || {
            match host.call(Method::GET, &one, "/ports/8000/note", "").await {
                (StatusCode::OK, body) => Ok(body),
                other => Err(other),
            }
        })
        .await
    };
    assert_eq!(served(&host).await, b"kept");
    assert_eq!(with_argument(&marker).len(), 1);

    let (status, _) = host.call(Method::POST, &one, "/pause", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, why) = host
        .call(Method::POST, &one, "/exec", "{\"command\":[\"true\"]}")
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(String::from_utf8_lossy(&why).contains("resume it first"));
    let (status, _) = host.call(Method::POST, &one, "/resume", "").await;
    assert_eq!(status, StatusCode::OK);

    // The policy holds for the fork too.
    let none = json!({ "egress": { "mode": "none" } }).to_string();
    let (status, _) = host.call(Method::PATCH, &one, "", none).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = host
        .call(Method::POST, &one, "/fork", "{\"name\":\"two\"}")
        .await;
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
    let two: Sandbox = serde_json::from_slice(&body).unwrap();
    let two = host.until(&two, SandboxState::Running).await;
    assert_eq!(two.egress, Egress::None);
    assert_eq!(host.shell(&two, "cat note; echo new > note").await, "kept");
    assert_eq!(host.shell(&one, "cat note").await, "kept");

    let mut host = host;
    for signal in [Signal::TERM, Signal::KILL] {
        host = host.restarted(signal).await;
        let again = host.until(&one, SandboxState::Running).await;
        assert_eq!(again.egress, Egress::None);
        assert_eq!(served(&host).await, b"kept", "the program has gone on");
    }

    host.delete(&one).await;
    host.delete(&two).await;
    assert_eq!(with_argument(&marker), Vec::<i32>::new());
    for folder in ["sandboxes", "lives"] {
        let left: Vec<_> = std::fs::read_dir(host.data.join(folder)).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&host.data.display().to_string()));
    host.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_typed_into_through_the_control_plane_and_attached_to_again() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.202.0.0/16").await;
    let sandbox = host.sandbox(json!({ "name": "terminal" })).await;
    let (status, body) = host.call(Method::POST, &sandbox, "/terminals", "{}").await;
    assert_eq!(status, StatusCode::CREATED);
    let terminal: Value = serde_json::from_slice(&body).unwrap();
    let path = format!(
        "{}/api/v1/sandboxes/{}/terminals/{}/attach",
        world.server.url(),
        sandbox.id,
        terminal["id"].as_str().unwrap()
    );
    let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
    let attach = async || {
        let mut headers = reqwest::header::HeaderMap::new();
        let bearer = format!("Bearer {}", world.admin.key());
        headers.insert("authorization", bearer.parse().unwrap());
        outbound
            .websocket(&path.parse().unwrap(), headers)
            .await
            .unwrap()
    };
    let mut first = attach().await;
    first
        .send(b"echo $((6*7))-seen\n".to_vec().into())
        .await
        .unwrap();
    until_said(&mut first, "42-seen").await;
    drop(first);
    // What was said before is shown again to whoever attaches.
    let mut second = attach().await;
    until_said(&mut second, "42-seen").await;
    host.delete(&sandbox).await;
    host.end().await;
}

async fn until_said<M: Into<bytes::Bytes>, E: std::fmt::Debug>(
    socket: &mut (impl futures_util::Stream<Item = Result<M, E>> + Unpin),
    text: &str,
) {
    let mut said = Vec::new();
    let heard = tokio::time::timeout(Duration::from_secs(60), async {
        while !String::from_utf8_lossy(&said).contains(text) {
            let message: bytes::Bytes = socket.next().await.unwrap().unwrap().into();
            said.extend_from_slice(&message);
        }
    });
    heard
        .await
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said)));
}

/// The certificate of an authority that nobody else knows.
fn authority(name: &str) -> String {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    authority.self_signed(&key).unwrap().pem()
}

/// An address of this machine that is not its loopback. Nothing is sent to find it.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        _ => None,
    }
}

/// Leads from an address of this machine to a service on its loopback, for as long as the test runs.
async fn lead(from: Ipv4Addr, to: SocketAddr, tasks: &TaskGroup) -> SocketAddr {
    let listener = TcpListener::bind((from, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let group = tasks.clone();
    tasks.spawn("lead", async move {
        while let Ok((mut near, _)) = listener.accept().await {
            group.spawn("connection", async move {
                if let Ok(mut far) = TcpStream::connect(to).await {
                    // Either side may leave.
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                }
            });
        }
    });
    address
}

/// Says whether a TCP connection comes to be, from inside.
fn connecting(to: SocketAddr) -> String {
    let (host, port) = (to.ip(), to.port());
    format!(
        "python3 -c 'import socket; socket.create_connection((\"{host}\", {port}), 3)' \
         2>/dev/null && echo reached || echo held"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_gets_the_hosts_authorities_and_proxies_and_reaches_the_control_plane() {
    if !may_host() {
        return;
    }
    let Some(own) = own_address() else {
        println!("skipped: this machine has no address but its loopback");
        return;
    };
    let world = World::empty(DatabaseKind::Sqlite).await;
    let tasks = TaskGroup::new();
    let server: SocketAddr = world.server.url().replace("http://", "").parse().unwrap();
    let control_plane = lead(own, server, &tasks).await;
    let another = lead(own, server, &tasks).await;
    let bundle = world.folder().join("authority.pem");
    let authority = authority("Helix tests own authority");
    std::fs::write(&bundle, &authority).unwrap();
    let url = format!("http://{control_plane}");
    let settings = [
        ("HELIX_SANDBOX_SERVER", url.as_str()),
        (
            "HELIX_SANDBOX_OUTBOUND__CA_BUNDLE",
            bundle.to_str().unwrap(),
        ),
        ("HELIX_SANDBOX_ISOLATION__SUBNET", "10.204.0.0/16"),
        ("HTTPS_PROXY", "http://proxy.example.com:3128"),
        ("NO_PROXY", ".internal.example.com"),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    let host = SandboxHost::with_settings(&world, settings.into()).await;
    let sandbox = host.sandbox(json!({ "name": "surrounded" })).await;

    // Programs trust the authority beside those of the system, by the variables that they read.
    let names =
        "import ssl; print([c[\"subject\"] for c in ssl.create_default_context().get_ca_certs()])";
    let trusted = host.shell(&sandbox, &format!("python3 -c '{names}'")).await;
    assert!(trusted.contains("Helix tests own authority"), "{trusted}");
    let put = "cat /usr/local/share/ca-certificates/helix-host.crt; echo $SSL_CERT_FILE";
    let put = host.shell(&sandbox, put).await;
    assert!(put.contains(authority.trim()), "{put}");
    assert!(put.ends_with("helix-all.pem\n"), "{put}");
    let proxies = host
        .shell(&sandbox, "echo $HTTPS_PROXY $https_proxy; echo $NO_PROXY")
        .await;
    let expected = "http://proxy.example.com:3128 http://proxy.example.com:3128\n\
                    localhost,127.0.0.1,::1,.internal.example.com\n";
    assert_eq!(proxies, expected);

    // The control plane is reached, and nothing else on the same address of the machine.
    let ask = format!(
        "python3 -c 'import urllib.request as u; print(u.urlopen(\"{url}/healthz\").read())'"
    );
    assert_eq!(host.shell(&sandbox, &ask).await, "b'ok\\n'\n");
    assert_eq!(host.shell(&sandbox, &connecting(another)).await, "held\n");
    assert_eq!(host.shell(&sandbox, &connecting(server)).await, "held\n");
    let none = json!({ "egress": { "mode": "none" } }).to_string();
    let (status, _) = host.call(Method::PATCH, &sandbox, "", none).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        host.shell(&sandbox, &connecting(control_plane)).await,
        "held\n"
    );
    host.delete(&sandbox).await;
    host.end().await;
    tasks.shutdown(Duration::from_secs(5)).await;
}

/// Waits for what a shell says.
async fn says(host: &SandboxHost, sandbox: &Sandbox, line: &str, what: &str) {
    eventually(line, SOON, async || {
        let said = host.shell(sandbox, &format!("{line} 2>&1 || true")).await;
        if said.trim() == what {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}

const FETCH: &str = "python3 -c 'import sys, urllib.request as r; \
                     print(r.urlopen(sys.argv[1], timeout=3).read().decode())'";

#[tokio::test(flavor = "multi_thread")]
async fn docker_in_a_sandbox_has_the_hosts_images_is_reached_by_name_and_says_what_it_did() {
    if !may_host() || !has_docker() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.203.0.0/16").await;
    let first = host
        .sandbox(json!({ "name": "first", "docker": true }))
        .await;
    let make = "set -e; cd; mkdir -p box/bin; cp /bin/busybox box/bin; \
        for name in sh mkdir echo httpd; do ln -s busybox box/bin/$name; done; \
        tar -C box -c . | docker import - box:1 >/dev/null; docker save box:1 > box.tar";
    assert_eq!(host.shell(&first, make).await, "");
    let path = "/files/content?path=/home/user/box.tar";
    let (status, tar) = host.call(Method::GET, &first, path, "").await;
    assert_eq!(status, StatusCode::OK);
    let file = world.folder().join("box.tar");
    std::fs::write(&file, tar).unwrap();

    // Beside the host that runs, for every sandbox from then on.
    let file = file.to_str().unwrap();
    let imported = host.command(&["docker-image", "import", file]);
    assert!(imported.status.success(), "{imported:?}");
    let listed = host.command(&["docker-image", "list"]).stdout;
    assert!(String::from_utf8_lossy(&listed).starts_with("box:1\tsha256:"));
    let one = host.sandbox(json!({ "name": "one", "docker": true })).await;
    let run = "docker run -d --name web -p 8000:80 box:1 sh -c \
        'mkdir /www && echo from-web > /www/index.html && exec httpd -f -p 80 -h /www' >/dev/null";
    assert_eq!(host.shell(&one, run).await, "");
    for url in ["http://web", "http://localhost:8000"] {
        says(&host, &one, &format!("{FETCH} {url}"), "from-web").await;
    }
    let fetch = format!("{FETCH} http://web 2>/dev/null || echo no");
    assert_eq!(host.shell(&first, &fetch).await, "no\n");
    let used = host.command(&["docker-image", "remove", "box:1"]);
    assert!(!used.status.success());
    assert!(String::from_utf8_lossy(&used.stderr).contains(&one.id.to_string()));

    // What the daemon wrote is in the sandbox's log, beside what the host says.
    let lost = "docker run --name lost box:1 no-such-program >/dev/null 2>&1; \
        docker inspect --format '{{.Id}}' lost";
    let lost = host.shell(&one, lost).await;
    eventually("Docker's lines in the log", SOON, async || {
        let (status, log) = host.call(Method::GET, &one, "/logs", "").await;
        let log: SandboxLog = serde_json::from_slice(&log).unwrap();
        let has = |source: &str, text: &str| {
            let mut lines = log.lines.iter();
            lines.any(|line| line.source == source && line.text.contains(text))
        };
        let in_order = log.lines.is_sorted_by_key(|line| line.at_ms);
        let told = has("docker", lost.trim()) && has("host", "running");
        match status == StatusCode::OK && told && in_order {
            true => Ok(()),
            false => Err(log),
        }
    })
    .await;

    // The host's daemon ends, and the next one finds everything as it was.
    let host = host.restarted(Signal::KILL).await;
    host.until(&one, SandboxState::Running).await;
    says(&host, &one, &format!("{FETCH} http://web"), "from-web").await;
    host.delete(&one).await;
    host.delete(&first).await;
    let removed = host.command(&["docker-image", "remove", "box:1"]);
    assert!(removed.status.success(), "{removed:?}");
    host.end().await;
}

/// Whether sandboxes here can have Docker; says so where they cannot.
#[expect(clippy::print_stdout, reason = "who reads the tests' output is told")]
fn has_docker() -> bool {
    let missing = helix_isolation::docker::on_this_system().err();
    let missing = missing.or_else(|| {
        let there = std::path::Path::new("/bin/busybox").exists();
        (!there).then(|| "there is no /bin/busybox".to_owned())
    });
    if let Some(why) = &missing {
        println!("skipped: no Docker in sandboxes: {why}");
    }
    missing.is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_is_watched_and_its_picture_taken_through_the_whole_path() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.205.0.0/16").await;
    let desktop = json!({ "kind": "sway", "width": 640, "height": 360 });
    let sandbox = host
        .sandbox(json!({ "name": "desk", "desktop": desktop }))
        .await;
    let shot = eventually("the desktop", SOON, async || {
        match host
            .call(Method::GET, &sandbox, "/desktop/screenshot", "")
            .await
        {
            (StatusCode::OK, picture) => Ok(picture),
            other => Err(other),
        }
    });
    assert!(shot.await.starts_with(b"\x89PNG"));

    let url = format!(
        "{}/api/v1/sandboxes/{}/desktop",
        world.server.url().replace("http", "ws"),
        sandbox.id
    );
    let mut headers = reqwest::header::HeaderMap::new();
    let bearer = format!("Bearer {}", world.admin.key());
    headers.insert("authorization", bearer.parse().unwrap());
    let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
    let mut socket = outbound
        .websocket(&url.parse().unwrap(), headers)
        .await
        .unwrap();
    let hello = Up::Hello(Greeting {
        looks_on: false,
        patches: false,
        size: Size::new(640, 360).unwrap(),
        codecs: vec![Codec::H264],
        name: "a test".to_owned(),
    });
    socket.send(hello.encode().unwrap().into()).await.unwrap();
    // A first picture that needs no other, of the size that was asked for; then, of what is
    // typed, more.
    let first = next_frame(&mut socket).await;
    assert!(first.flags.key && first.sequence == 1, "{first:?}");
    assert_eq!(first.size, Size::new(640, 360).unwrap());
    let (a, queue) = (Key::new(30, 0).unwrap(), 0);
    for message in [
        Up::Painted { sequence: 1, queue },
        Up::Key { key: a, down: true },
        Up::Key {
            key: a,
            down: false,
        },
    ] {
        socket.send(message.encode().unwrap().into()).await.unwrap();
    }
    assert!(next_frame(&mut socket).await.sequence > 1);
    drop(socket);
    host.delete(&sandbox).await;
    host.end().await;
}

async fn next_frame<M, E>(
    socket: &mut (impl futures_util::Stream<Item = Result<M, E>> + futures_util::Sink<M> + Unpin),
) -> Frame
where
    M: Into<bytes::Bytes> + From<bytes::Bytes>,
    E: std::fmt::Debug,
{
    let mut ping = tokio::time::interval(Duration::from_secs(2));
    let frame = async {
        loop {
            let message: bytes::Bytes = tokio::select! {
                message = socket.next() => message.unwrap().unwrap().into(),
                _ = ping.tick() => {
                    let ping = Up::Ping { token: 1 }.encode().unwrap();
                    assert!(socket.send(ping.into()).await.is_ok(), "a ping");
                    continue;
                }
            };
            if let Ok(Down::Frame(frame)) = Down::decode(message) {
                return frame;
            }
        }
    };
    let frame = tokio::time::timeout(Duration::from_secs(60), frame).await;
    frame.expect("a picture in time")
}
