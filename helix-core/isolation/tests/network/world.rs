//! Network namespaces for the tests.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use helix_base::{Clock as _, Ids, SystemClock, TaskGroup};
use helix_isolation::{
    dns::{LocalNames, NoNames},
    network::{Networks, Options, Slot, inside},
};
use helix_proto::sandbox::{Egress, EgressProtocol, EgressRule};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// The host's address towards the internet.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Two addresses of the internet.
pub(crate) const SITE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
pub(crate) const OTHER_SITE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// The metadata service of a cloud, which the internet plays too.
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// What the host's resolver listens on.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// Runs a test in a network namespace of its own, which plays the host.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub(crate) fn on_a_host(test: impl AsyncFnOnce(World) + Send + 'static) {
    if let Some(reason) = missing() {
        println!("skipped: {reason}");
        return;
    }
    let thread = std::thread::spawn(move || {
        // SAFETY: only this thread leaves its network namespace; no open file is shared or
        // closed by that.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let world = World::new().await;
            test(world).await;
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces and nftables take root");
    }
    for program in ["nft", "ip", "unshare"] {
        let found = Command::new(program).arg("--version").output().is_ok()
            || Command::new(program).arg("-V").output().is_ok();
        if !found {
            return Some("nft, ip and unshare are not all installed");
        }
    }
    None
}

/// A network namespace with a process that keeps it.
#[derive(Debug)]
pub(crate) struct Namespace {
    keeper: Child,
}

impl Namespace {
    pub(crate) async fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "600"]).stdin(Stdio::null());
        let keeper = command.spawn().unwrap();
        let ours = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let path = format!("/proc/{}/ns/net", keeper.id());
        eventually("a namespace is made", async || {
            std::fs::read_link(&path).is_ok_and(|theirs| theirs != ours)
        })
        .await;
        Self { keeper }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs something that blocks in the namespace, on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let path = format!("/proc/{}/ns/net", self.pid());
        let (done, result) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let namespace = std::fs::File::open(path).unwrap();
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)
                .unwrap();
            let _ = done.send(work());
        });
        result.await.unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A host with an internet beside it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) internet: Namespace,
    pub(crate) tasks: TaskGroup,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) networks: Networks,
}

impl World {
    async fn new() -> Self {
        let internet = Namespace::new().await;
        let pid = internet.pid().to_string();
        ip(&["link", "set", "lo", "up"]);
        ip(&[
            "link", "add", "wan0", "type", "veth", "peer", "name", "net0", "netns", &pid,
        ]);
        ip(&["address", "add", "198.51.100.1/24", "dev", "wan0"]);
        ip(&["link", "set", "wan0", "up"]);
        ip(&["route", "add", "default", "via", "198.51.100.2"]);
        let site = |address: Ipv4Addr| format!("{address}/32");
        let setup = [
            "link set lo up".to_owned(),
            "link set net0 up".to_owned(),
            "address add 198.51.100.2/24 dev net0".to_owned(),
            format!("address add {} dev net0", site(SITE)),
            format!("address add {} dev net0", site(OTHER_SITE)),
            format!("address add {} dev net0", site(METADATA)),
        ];
        internet
            .run(move || {
                setup
                    .iter()
                    .for_each(|line| ip(&line.split(' ').collect::<Vec<_>>()))
            })
            .await;
        for port in [80, 443, 8080] {
            internet.run(move || greet(port)).await;
        }
        let dir = tempfile::tempdir().unwrap();
        let resolv_conf = format!("nameserver {RESOLVER}\nsearch corp.test\n");
        std::fs::write(dir.path().join("resolv.conf"), resolv_conf).unwrap();
        let tasks = TaskGroup::new();
        let networks = open(&options(dir.path()), &tasks).await;
        Self {
            internet,
            tasks,
            dir,
            networks,
        }
    }

    /// A sandbox's network namespace, joined.
    pub(crate) async fn sandbox(&self, egress: Egress) -> Sandbox {
        self.sandbox_with(egress, Arc::new(NoNames)).await
    }

    pub(crate) async fn sandbox_with(&self, egress: Egress, names: Arc<dyn LocalNames>) -> Sandbox {
        let id = Ids::new(Arc::new(SystemClock)).next();
        let namespace = Namespace::new().await;
        let slot = self.networks.take(id, None).unwrap();
        self.networks.set_egress(&slot, &egress).await.unwrap();
        self.networks
            .attach(&slot, namespace.pid(), names)
            .await
            .unwrap();
        let config = slot.inside();
        namespace
            .run(move || inside::configure(&config))
            .await
            .unwrap();
        Sandbox {
            id,
            slot,
            namespace,
        }
    }

    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.dir.path().join("resolv.conf")
    }
}

pub(crate) fn options(dir: &Path) -> Options {
    let mut options = Options::for_data_dir(dir);
    options.resolv_conf = dir.join("resolv.conf");
    options.services = vec![SocketAddrV4::new(HOST, 9_443)];
    options.lifetimes.shortest = Duration::from_secs(2);
    options.lifetimes.grace = Duration::from_secs(1);
    options
}

pub(crate) async fn open(options: &Options, tasks: &TaskGroup) -> Networks {
    Networks::open(options, Arc::new(SystemClock), tasks)
        .await
        .unwrap()
}

/// A network namespace that plays a sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) id: helix_proto::SandboxId,
    pub(crate) slot: Slot,
    pub(crate) namespace: Namespace,
}

impl Sandbox {
    /// Connects over TCP, and gives what the other side says: from where it was called.
    pub(crate) async fn call(&self, to: Ipv4Addr, port: u16) -> std::io::Result<String> {
        self.namespace.run(move || call(to, port)).await
    }

    /// Opens a connection and keeps it.
    pub(crate) async fn connect(&self, to: Ipv4Addr, port: u16) -> TcpStream {
        self.namespace
            .run(move || {
                let mut stream = dial(to, port).unwrap();
                let mut greeting = [0; 64];
                assert!(stream.read(&mut greeting).unwrap() > 0);
                stream
            })
            .await
    }
}

pub(crate) fn dial(to: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let limit = Duration::from_secs(3);
    let stream = TcpStream::connect_timeout(&SocketAddr::from((to, port)), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

pub(crate) fn call(to: Ipv4Addr, port: u16) -> std::io::Result<String> {
    let mut stream = dial(to, port)?;
    let mut greeting = [0; 64];
    let length = stream.read(&mut greeting)?;
    Ok(String::from_utf8_lossy(&greeting[..length]).into_owned())
}

/// Whether a line comes back on a connection.
pub(crate) fn echoes(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 5];
    stream.write_all(b"ping\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"ping\n"
}

/// Listens on every address that the namespace of this thread has now; says from where it
/// is called, and then sends back what it is sent. Over UDP only the former.
pub(crate) fn greet(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            std::thread::spawn(move || {
                let _ = stream.write_all(from.ip().to_string().as_bytes());
                let mut bytes = [0; 1_024];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let addresses = printed("ip", &["-4", "-oneline", "address"]);
    for line in addresses.lines() {
        let address = line
            .split_whitespace()
            .nth(3)
            .and_then(|cidr| cidr.split('/').next());
        let address: Ipv4Addr = address.unwrap().parse().unwrap();
        // One for each, so that an answer comes from where the question went.
        let socket = UdpSocket::bind((address, port)).unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 1_024];
            while let Ok((_, from)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(from.ip().to_string().as_bytes(), from);
            }
        });
    }
}

/// One datagram there, and what comes back.
pub(crate) fn datagram(to: Ipv4Addr, port: u16) -> std::io::Result<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect((IpAddr::from(to), port))?;
    socket.send(b"who am I?")?;
    let mut bytes = [0; 64];
    let length = socket.recv(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Runs `ip` in the namespace of this thread.
pub(crate) fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}

/// What a program prints in the namespace of this thread.
pub(crate) fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = SystemClock.now();
    let passed = |start: Instant| SystemClock.now().saturating_duration_since(start);
    while !holds().await {
        assert!(
            passed(start) < Duration::from_secs(20),
            "not within 20 s: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn list(rules: &[(&str, &[&str], Option<EgressProtocol>)]) -> Egress {
    let rule = |(to, ports, protocol): &(&str, &[&str], Option<EgressProtocol>)| EgressRule {
        to: (*to).to_owned(),
        ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        protocol: *protocol,
    };
    Egress::AllowList {
        rules: rules.iter().map(rule).collect(),
    }
}
