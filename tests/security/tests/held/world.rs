//! The sandboxes that are tried, and the host around them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    os::{linux::net::SocketAddrExt as _, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::{
    Environment, GuestClient, Isolation as _, Watch,
    namespaces::{Namespaces, Options},
    network,
};
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{
        Egress, EgressRule, Rootfs, SandboxLimits, SandboxPhase,
        host::{Origin, SandboxSpec},
    },
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    attempts::{Attempt, Baseline, Trust, User, Which},
    outside::{self, HOST, LISTED, Outside, UNLISTED},
    routes::{self, Unconfined},
};

/// Says where the probe is on a machine that it was not built on.
const PROBE_OF_HOST: &str = "HELIX_TEST_HELIX_PROBE";
/// Where the probe lies inside.
const PROBE: &str = "/usr/local/bin/helix-probe";
/// A container with as much of its "host" as its daemon can give.
const DOCKER_RUN: &str = "docker run --rm --privileged --pid=host --net=host --ipc=host \
                          -v /:/host probe /bin/busybox chroot /host";
/// A set-user-id program inside.
const SUID: &str = "/usr/local/bin/id-suid";

/// What came of running a probe.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Came {
    /// Whether the kernel was built without what the probe wants.
    pub(crate) fn kernel_lacks_it(&self) -> bool {
        self.code == Some(1)
            && ["os error 38", "os error 2)"]
                .iter()
                .any(|error| self.said.contains(error))
    }

    /// Whether the kernel ended the probe, as it does over the memory limit.
    pub(crate) fn was_killed(&self) -> bool {
        self.code.is_none() || self.code == Some(137)
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (exit code {:?})", self.said.trim(), self.code)
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    runtime: Runtime,
    tasks: TaskGroup,
    isolation: Namespaces,
    sandboxes: BTreeMap<Which, Arc<dyn Environment>>,
    neighbour: Arc<dyn Environment>,
    unconfined: Arc<dyn Environment>,
    snapshot: SnapshotId,
    terminal: (std::fs::File, String),
    words: HashMap<&'static str, String>,
    bystander: Child,
    loop_device: String,
    _outside: Outside,
    _abstract: std::os::unix::net::UnixListener,
    probe: PathBuf,
    host: TempDir,
}

struct Quiet;

impl Watch for Quiet {
    fn phase(&self, _: SandboxPhase) {}
}

impl World {
    pub(crate) fn make() -> Result<Self> {
        outside::leave_the_machine()?;
        let mut outside = Outside::start()?;
        let runtime = Runtime::new()?;
        let host = tempfile::Builder::new()
            .prefix("helix-security-")
            .tempdir()?;
        std::fs::write(
            host.path().join("resolv.conf"),
            format!("nameserver {LISTED}\n"),
        )?;
        let data = host.path().join("data");
        std::fs::create_dir(&data)?;
        std::fs::write(data.join("secret"), "a credential")?;
        // Of the test's own, beside the host's. Before the backend looks through the system.
        let secret = PathBuf::from(format!("/etc/helix-security-{}", std::process::id()));
        std::fs::write(&secret, "a key")?;
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600))?;
        let tasks = TaskGroup::new();
        let isolation = runtime.block_on(isolation(&data, host.path(), &tasks))?;
        let probe = std::env::var_os(PROBE_OF_HOST)
            .map_or_else(|| env!("CARGO_BIN_EXE_helix-probe").into(), PathBuf::from);
        let (sandboxes, snapshot) = runtime.block_on(sandboxes(&isolation))?;
        let unconfined = {
            let _runtime = runtime.enter();
            Unconfined::start(spec("unconfined", Egress::Open, None), &tasks)?
        };
        let terminal = terminal()?;
        let neighbour = runtime.block_on(make(&isolation, "neighbour", Egress::Open, None))?;
        let program = std::fs::read(&probe)?;
        for sandbox in sandboxes.values().chain([&neighbour]) {
            runtime.block_on(prepare(sandbox, &program))?;
        }
        let neighbour_address = runtime.block_on(address(&neighbour))?;
        outside.answer_names(&neighbour_address)?;
        let gateway = runtime.block_on(gateway(&sandboxes[&Which::Plain]))?;
        runtime.block_on(listen_inside(&neighbour))?;
        let service = outside::greet("0.0.0.0:0".parse()?)?.port();
        let log = std::fs::File::create(host.path().join("log"))?;
        let bystander = Command::new("sleep").arg("98765432").stderr(log).spawn()?;
        let (loop_device, disk) = loop_device(host.path())?;
        let host_file = host.path().join("file");
        std::fs::write(&host_file, "the host's")?;
        let name = format!("helix-security-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
        let words = HashMap::from([
            ("secret-etc", secret.display().to_string()),
            ("secret-home", "/root".to_owned()),
            ("data", data.display().to_string()),
            ("other-home", other_home()?),
            ("host-file", host_file.display().to_string()),
            ("disk", disk),
            ("planted", host.path().join("planted").display().to_string()),
            ("terminal", terminal.1.clone()),
            ("marker", "98765432".to_owned()),
            ("pid", bystander.id().to_string()),
            ("key", segment()?.to_string()),
            ("suid", SUID.to_owned()),
            ("neighbour", format!("{neighbour_address}:8000")),
            ("neighbour-port", "8000".to_owned()),
            ("neighbour-name", "neighbour".to_owned()),
            ("host-loopback", format!("127.0.0.1:{service}")),
            ("host-address", format!("{HOST}:{service}")),
            ("host-port", service.to_string()),
            ("gateway", format!("{gateway}:{service}")),
            ("abstract", name),
            ("outside", format!("{LISTED}:80")),
            ("outside-other", format!("{UNLISTED}:80")),
            ("outside-other-port", format!("{LISTED}:81")),
            ("outside-dns", format!("{LISTED}:53")),
            ("way-out", "way-out.test".to_owned()),
        ]);
        Ok(Self {
            runtime,
            tasks,
            isolation,
            sandboxes,
            neighbour,
            unconfined,
            snapshot,
            terminal,
            words,
            bystander,
            loop_device,
            _outside: outside,
            _abstract: std::os::unix::net::UnixListener::bind_addr(&address)?,
            probe,
            host,
        })
    }

    /// The attempt where nothing confines it.
    pub(crate) fn baseline(&self, attempt: &Attempt) -> Result<Came> {
        match attempt.baseline {
            Baseline::Host => self.on_host(Command::new(&self.probe), attempt.probe),
            Baseline::HostBy(probe) => self.on_host(Command::new(&self.probe), probe),
            Baseline::HostUser => self.as_host_user(),
            Baseline::Open => {
                self.in_sandbox(&self.sandboxes[&Which::Plain], attempt.user, attempt.probe)
            }
            Baseline::Neighbour => self.in_sandbox(&self.neighbour, attempt.user, attempt.probe),
            Baseline::NeighbourBy(probe) => self.in_sandbox(&self.neighbour, attempt.user, probe),
            Baseline::NoSandbox => self.in_sandbox(&self.unconfined, attempt.user, attempt.probe),
            Baseline::Trusting(Trust::Unpack) => {
                routes::unpack_trusting(&self.filled_in(attempt.probe))
            }
            Baseline::Trusting(Trust::Output) => routes::flood_trusting(),
            Baseline::Trusting(Trust::Name) => routes::escape_trusting(),
        }
    }

    /// The attempt in the sandbox that it is meant for.
    pub(crate) fn inside(&self, attempt: &Attempt) -> Result<Came> {
        if attempt.sandbox == Which::Container {
            return self.in_container(attempt.probe);
        }
        self.in_sandbox(
            &self.sandboxes[&attempt.sandbox],
            attempt.user,
            attempt.probe,
        )
    }

    fn in_sandbox(&self, sandbox: &Arc<dyn Environment>, user: User, probe: &str) -> Result<Came> {
        if routes::is_route(probe) {
            let probe = self.filled_in(probe);
            return self.runtime.block_on(routes::attempt(sandbox, &probe));
        }
        let user = match user {
            User::Root | User::Caller => "root",
            User::Ordinary => "user",
        };
        let mut command = vec![PROBE.to_owned()];
        command.extend(self.filled_in(probe));
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let client = GuestClient::new(Arc::clone(sandbox));
        let (code, said) = self.runtime.block_on(client.run(user, &command))?;
        Ok(Came { code, said })
    }

    /// By root of a container that its daemon refuses nothing.
    fn in_container(&self, probe: &str) -> Result<Came> {
        let mut command: Vec<_> = DOCKER_RUN.split_whitespace().collect();
        command.push(PROBE);
        let probe = self.filled_in(probe);
        command.extend(probe.iter().map(String::as_str));
        let client = GuestClient::new(Arc::clone(&self.sandboxes[&Which::Docker]));
        let (code, said) = self.runtime.block_on(client.run("root", &command))?;
        // Docker's own exit codes for what it could not start.
        ensure!(!matches!(code, Some(125..=127)), "docker run: {said}");
        Ok(Came { code, said })
    }

    fn on_host(&self, mut program: Command, probe: &str) -> Result<Came> {
        let output = program
            .args(self.filled_in(probe))
            .current_dir(self.host.path())
            .output()
            .context("cannot run the probe")?;
        Ok(Came {
            code: output.status.code(),
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
        })
    }

    /// The set-user-id attempt, by nobody, on a copy of `id` that is gone afterwards.
    fn as_host_user(&self) -> Result<Came> {
        // Where everybody may look: the test's own folder is its own.
        let open = tempfile::Builder::new()
            .prefix("helix-suid-")
            .tempdir_in("/var/tmp")?;
        std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o755))?;
        let (probe, suid) = (open.path().join("probe"), open.path().join("id"));
        std::fs::copy(&self.probe, &probe)?;
        std::fs::copy("/usr/bin/id", &suid)?;
        std::fs::set_permissions(&suid, PermissionsExt::from_mode(0o4755))?;
        let mut program = Command::new("setpriv");
        program.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        program.arg(&probe).arg("regain-root").arg(&suid);
        self.on_host(program, "")
    }

    fn filled_in(&self, probe: &str) -> Vec<String> {
        let filled = self
            .words
            .iter()
            .fold(probe.to_owned(), |probe, (name, value)| {
                probe.replace(&format!("{{{name}}}"), value)
            });
        filled.split_whitespace().map(str::to_owned).collect()
    }

    /// Removes everything, and sees that nothing is left.
    pub(crate) fn remove(self: Arc<Self>) -> Result<()> {
        let mut world = Arc::into_inner(self).context("a test still runs")?;
        world.bystander.kill()?;
        world.bystander.wait()?;
        outside::run("losetup", &format!("-d {}", world.loop_device))?;
        outside::run("ipcrm", &format!("-M {}", world.words["key"]))?;
        std::fs::remove_dir_all(&world.words["other-home"])?;
        std::fs::remove_file(&world.words["secret-etc"])?;
        world.runtime.block_on(async {
            for sandbox in world.sandboxes.values().chain([&world.neighbour]) {
                world.isolation.remove(sandbox.spec().id).await?;
            }
            world.isolation.remove_snapshot(world.snapshot).await?;
            world.isolation.dispose().await
        })?;
        drop(world.terminal);
        let left = Command::new("nft").args(["list", "ruleset"]).output()?;
        let left = String::from_utf8_lossy(&left.stdout).into_owned();
        ensure!(left.is_empty(), "firewall entries are left: {left}");
        let patience = std::time::Duration::from_secs(10);
        world.runtime.block_on(world.tasks.shutdown(patience));
        Ok(())
    }
}

async fn isolation(data: &Path, host: &Path, tasks: &TaskGroup) -> Result<Namespaces> {
    let mut options = Options::new(data);
    options.network = Some(network::Options {
        resolv_conf: host.join("resolv.conf"),
        ..network::Options::for_data_dir(data)
    });
    let made = Namespaces::new(options, Arc::new(SystemClock), tasks.clone()).await;
    made.context("the backend")
}

fn spec(name: &str, egress: Egress, origin: Option<Origin>) -> SandboxSpec {
    SandboxSpec {
        id: helix_base::Ids::new(Arc::new(SystemClock)).next::<SandboxId>(),
        name: name.to_owned(),
        rootfs: Rootfs::Host,
        egress,
        limits: SandboxLimits {
            cpu_millis: 1_000,
            memory_bytes: 192 << 20,
            pids: 128,
            disk_bytes: 192 << 20,
            open_files: 512,
        },
        docker: false,
        desktop: None,
        env: BTreeMap::new(),
        idle_timeout_ms: None,
        expires_at_ms: None,
        origin,
    }
}

async fn make(
    isolation: &Namespaces,
    name: &str,
    egress: Egress,
    origin: Option<Origin>,
) -> Result<Arc<dyn Environment>> {
    make_by(isolation, &spec(name, egress, origin)).await
}

async fn make_by(isolation: &Namespaces, spec: &SandboxSpec) -> Result<Arc<dyn Environment>> {
    let sandbox = isolation.create(spec).await;
    let sandbox = sandbox.with_context(|| format!("creating {}", spec.name))?;
    let started = sandbox.start(&Quiet).await;
    started.with_context(|| format!("starting {}", spec.name))?;
    Ok(sandbox)
}

async fn sandboxes(
    isolation: &Namespaces,
) -> Result<(BTreeMap<Which, Arc<dyn Environment>>, SnapshotId)> {
    let rule = |to: &str| EgressRule {
        to: to.to_owned(),
        ports: vec!["80".to_owned(), "8000-65535".to_owned()],
        protocol: None,
    };
    let list = Egress::AllowList {
        rules: vec![rule("allowed.test"), rule("*.lies.test")],
    };
    let mut slow = spec("slow", Egress::None, None);
    slow.limits.cpu_millis = 100;
    let mut docker = spec("docker", Egress::Open, None);
    docker.docker = true;
    docker.limits = SandboxLimits::DEFAULT;
    let docker = make_by(isolation, &docker).await?;
    told(
        &docker,
        "mkdir -p /tmp/probe/bin && cp /usr/bin/busybox /tmp/probe/bin/ && tar -C /tmp/probe -cf - . | docker import - probe",
    )
    .await?;
    let closed = make(isolation, "closed", Egress::None, None).await?;
    // The policy is the fork's own data; what is tried is that it holds there.
    let origin = Origin::Sandbox(closed.spec().id);
    let forked = make(isolation, "forked", closed.spec().egress, Some(origin)).await?;
    let snapshot = helix_base::Ids::new(Arc::new(SystemClock)).next();
    closed.snapshot(snapshot).await?;
    let origin = Origin::Snapshot(snapshot);
    let restored = make(isolation, "restored", closed.spec().egress, Some(origin)).await?;
    let restarted = make(isolation, "restarted", Egress::None, None).await?;
    restarted.pause().await?;
    restarted.resume().await?;
    restarted.stop().await?;
    restarted.start(&Quiet).await?;
    let sandboxes = BTreeMap::from([
        (
            Which::Plain,
            make(isolation, "plain", Egress::Open, None).await?,
        ),
        (Which::Closed, closed),
        (Which::Listed, make(isolation, "listed", list, None).await?),
        (Which::Docker, docker),
        (Which::Slow, make_by(isolation, &slow).await?),
        (Which::Restarted, restarted),
        (Which::Forked, forked),
        (Which::Restored, restored),
    ]);
    Ok((sandboxes, snapshot))
}

/// Puts the probe into a sandbox, and a set-user-id program.
async fn prepare(sandbox: &Arc<dyn Environment>, program: &[u8]) -> Result<()> {
    let client = GuestClient::new(Arc::clone(sandbox));
    let program = Bytes::copy_from_slice(program);
    client.write("root", PROBE, 0o755, program).await?;
    let copy = format!("cp /usr/bin/id {SUID} && chmod 4755 {SUID}");
    told(sandbox, &copy).await.map(drop)
}

/// What a script of root's says in a sandbox.
async fn told(sandbox: &Arc<dyn Environment>, script: &str) -> Result<String> {
    let client = GuestClient::new(Arc::clone(sandbox));
    let (code, said) = client.run("root", &["/bin/sh", "-c", script]).await?;
    ensure!(code == Some(0), "{script}: {said}");
    Ok(said.trim().to_owned())
}

async fn address(sandbox: &Arc<dyn Environment>) -> Result<String> {
    told(
        sandbox,
        "ip -4 -o addr show eth0 | sed 's,.*inet \\([0-9.]*\\)/.*,\\1,'",
    )
    .await
}

async fn gateway(sandbox: &Arc<dyn Environment>) -> Result<String> {
    told(
        sandbox,
        "ip route show default | sed 's,.*via \\([0-9.]*\\) .*,\\1,'",
    )
    .await
}

/// A listener inside, at port 8000, that listens.
async fn listen_inside(sandbox: &Arc<dyn Environment>) -> Result<()> {
    told(
        sandbox,
        "(setsid /usr/local/bin/helix-probe listen 8000 >/dev/null 2>&1 </dev/null &)
         for _ in $(seq 600); do
             /usr/local/bin/helix-probe connect 127.0.0.1:8000 && exit
             sleep 0.05
         done
         exit 1",
    )
    .await
    .map(drop)
}

/// A disk of the test's own, as `MAJOR MINOR`, and its name.
fn loop_device(folder: &Path) -> Result<(String, String)> {
    let image = folder.join("disk");
    std::fs::File::create(&image)?.set_len(32 << 20)?;
    outside::run("mkfs.ext4", &format!("-q {}", image.display()))?;
    let output = Command::new("losetup")
        .args(["-f", "--show"])
        .arg(&image)
        .output()?;
    ensure!(output.status.success(), "losetup failed");
    let name = String::from_utf8(output.stdout)?.trim().to_owned();
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(&name)?);
    Ok((
        name,
        format!("{} {}", libc::major(number), libc::minor(number)),
    ))
}

/// A terminal of the test's own on the host, and its name.
fn terminal() -> Result<(std::fs::File, String)> {
    use std::os::fd::AsRawFd as _;
    let mut options = std::fs::OpenOptions::new();
    let master = options.read(true).write(true).open("/dev/ptmx")?;
    let mut name = [0; 64];
    // SAFETY: a descriptor that is open, and room for the name.
    let made = unsafe {
        libc::unlockpt(master.as_raw_fd()) == 0
            && libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) == 0
    };
    ensure!(made, "a terminal: {}", std::io::Error::last_os_error());
    // SAFETY: the call above ended it with a zero.
    let name = unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) };
    Ok((master, name.to_str()?.to_owned()))
}

/// The home of somebody else on the host, with a secret in it.
fn other_home() -> Result<String> {
    let home = tempfile::Builder::new()
        .prefix("helix-somebody-")
        .tempdir_in("/home")?;
    std::fs::write(home.path().join("secret"), "a key")?;
    Ok(home.keep().display().to_string())
}

/// A System V segment of the host's own network of processes, by its key.
fn segment() -> Result<i32> {
    let key = i32::try_from(std::process::id())? | 0x4000_0000;
    // SAFETY: no pointers.
    let made = unsafe { libc::shmget(key, 4_096, libc::IPC_CREAT | libc::IPC_EXCL | 0o666) };
    ensure!(made >= 0, "shmget: {}", std::io::Error::last_os_error());
    Ok(key)
}
