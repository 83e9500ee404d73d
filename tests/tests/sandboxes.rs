//! Sandboxes through the whole path: REST, control plane, tunnel, host, sandbox.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Outbound, OutboundOptions, TaskGroup};
use helix_proto::{
    fleet::{CreateJoinTokenRequest, CreatedJoinToken, MachineRole},
    sandbox::{
        Egress, Sandbox, SandboxState,
        guest::ExecResult,
        host::{SandboxHost, SandboxHostState},
    },
};
use helix_tests::{
    DatabaseKind, World, eventually,
    eventually::SOON,
    process::{Process, with_argument},
    programs::programs,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// Whether this machine can have sandboxes; says so where it cannot.
#[expect(clippy::print_stdout, reason = "who reads the tests' output is told")]
fn may_host() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let checked = checked(folder.path());
    if !checked.status.success() {
        let why = String::from_utf8_lossy(&checked.stdout).into_owned();
        println!("skipped: this machine cannot have sandboxes:\n{why}");
    }
    checked.status.success()
}

/// Looks at the machine, and leaves nothing where there are no sandboxes.
fn checked(data: &Path) -> Output {
    let mut check = Command::new(&programs().sandbox);
    check.arg("check").arg("--data-dir").arg(data);
    check.output().unwrap()
}

/// A sandbox host that joined a control plane.
struct Host<'a> {
    world: &'a World,
    data: PathBuf,
    subnet: String,
    process: Process,
}

impl<'a> Host<'a> {
    /// Each host of this machine has a network of its own.
    async fn join(world: &'a World, subnet: &str) -> Self {
        Self::join_by(world, subnet, world.server.url(), |_| {}).await
    }

    /// By this way to the control plane, and set up in this way.
    async fn join_by(
        world: &'a World,
        subnet: &str,
        server: &str,
        set_up: impl FnOnce(&mut Command),
    ) -> Self {
        let request = CreateJoinTokenRequest {
            name: "a machine".to_owned(),
            max_uses: None,
            expires_at_ms: None,
            role: MachineRole::SandboxHost,
        };
        let made: CreatedJoinToken = world.admin.post("/api/v1/join-tokens", &request).await;
        let data = world.folder().join("sandboxes");
        let mut command = Self::command(server, &data, subnet);
        command.env("HELIX_SANDBOX_JOIN_TOKEN", &made.secret);
        set_up(&mut command);
        let process = Process::start(&mut command, &data.with_extension("log"));
        let host = Self {
            world,
            data,
            subnet: subnet.to_owned(),
            process,
        };
        host.until_online().await;
        host
    }

    fn command(server: &str, data: &Path, subnet: &str) -> Command {
        let mut command = Command::new(&programs().sandbox);
        command.args(["--server", server, "--data-dir"]);
        command.arg(data).args(["--subnet", subnet]);
        command
    }

    async fn until_online(&self) {
        eventually("the sandbox host", SOON, async || {
            let hosts: Vec<SandboxHost> = self.world.admin.get("/api/v1/sandbox-hosts").await;
            match hosts.as_slice() {
                [host] if host.state == SandboxHostState::Online && host.info.is_some() => Ok(()),
                _ => Err((hosts, self.process.log())),
            }
        })
        .await;
    }

    /// The host ends in this way, and is started again.
    async fn restarted(mut self, signal: Signal) -> Self {
        self.process.signal(signal);
        self.process.wait(SOON).await;
        let mut command = Self::command(self.world.server.url(), &self.data, &self.subnet);
        self.process = Process::start(&mut command, &self.data.with_extension("log"));
        self.until_online().await;
        self
    }

    async fn sandbox(&self, request: Value) -> Sandbox {
        let made: Sandbox = self.world.admin.post("/api/v1/sandboxes", &request).await;
        self.until(&made, SandboxState::Running).await
    }

    async fn until(&self, sandbox: &Sandbox, state: SandboxState) -> Sandbox {
        let path = format!("/api/v1/sandboxes/{}", sandbox.id);
        eventually("the sandbox", SOON, async || {
            let seen: Sandbox = self.world.admin.get(&path).await;
            if seen.state == state && seen.reachable {
                Ok(seen)
            } else {
                Err((seen, self.process.log()))
            }
        })
        .await
    }

    async fn call(
        &self,
        method: Method,
        sandbox: &Sandbox,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Vec<u8>) {
        let path = format!("/api/v1/sandboxes/{}{path}", sandbox.id);
        let request = self.world.admin.request(method, &path).body(body);
        let request = request.header("content-type", "application/json");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }

    /// What a shell says to a line.
    async fn shell(&self, sandbox: &Sandbox, line: &str) -> String {
        let body = json!({ "command": ["sh", "-c", line] }).to_string();
        let (status, body) = self.call(Method::POST, sandbox, "/exec", body).await;
        let said = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, StatusCode::OK, "{said}");
        let result: ExecResult = serde_json::from_slice(&body).unwrap();
        assert_eq!(result.exit.code, Some(0), "{said}");
        match result.stdout {
            helix_proto::sandbox::guest::Output::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Ends, with what its firewall and control groups have for all sandboxes.
    async fn end(mut self) {
        self.process.stop().await;
        assert!(checked(&self.data).status.success());
    }

    async fn delete(&self, sandbox: &Sandbox) {
        let (status, _) = self.call(Method::DELETE, sandbox, "", "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_runs_programs_pauses_forks_outlives_its_hosts_daemon_and_leaves_nothing() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = Host::join(&world, "10.241.0.0/16").await;
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
    let served = async |host: &Host<'_>| {
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
    let host = Host::join(&world, "10.242.0.0/16").await;
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
#[expect(clippy::print_stdout, reason = "who reads the tests' output is told")]
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
    let host = Host::join_by(&world, "10.243.0.0/16", &url, |command| {
        command.arg("--ca-bundle").arg(&bundle);
        command.env("HTTPS_PROXY", "http://proxy.example.com:3128");
        command.env("NO_PROXY", ".internal.example.com");
    })
    .await;
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
