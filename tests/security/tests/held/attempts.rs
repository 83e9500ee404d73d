//! Every promise, and the attempt to break it.

/// What an attempt tries to get past: the promise, in a sandbox's user's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The name of the test, and of the row in the table.
    pub(crate) name: &'static str,
    /// What holds it.
    pub(crate) held_by: &'static str,
    /// The probe and its arguments; `{…}` are filled in by the place it runs at.
    pub(crate) probe: &'static str,
    /// Who tries it inside.
    pub(crate) user: User,
    /// In which sandbox.
    pub(crate) sandbox: Which,
    /// Where it must get through.
    pub(crate) baseline: Baseline,
}

/// The same attempt, without the confinement that it tries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Baseline {
    /// By the host's root, on the host.
    Host,
    /// By an ordinary user of the host.
    HostUser,
    /// On the host, by this probe instead: the same reach, by the host's own means.
    HostBy(&'static str),
    /// In a sandbox whose egress is open.
    Open,
    /// In the sandbox that is tried to be reached.
    Neighbour,
    /// There, by this probe instead.
    NeighbourBy(&'static str),
    /// By the same routes, of a guest that is in no sandbox.
    NoSandbox,
    /// By a program of the host that trusts what it is given.
    Trusting(Trust),
}

/// What a program of the host trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// An archive that it unpacks.
    Unpack,
    /// That another program stops talking.
    Output,
    /// That a name is fit to be shown.
    Name,
}

/// Who tries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Root inside: the strongest attacker.
    Root,
    /// The user that agents run as.
    Ordinary,
    /// Nobody inside: whoever may use the sandbox, by its routes.
    Caller,
}

/// A sandbox by what is special about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Open egress, small limits.
    Plain,
    /// Nothing may be reached.
    Closed,
    /// `allowed.test` on port 80, and names that lie, may be reached.
    Listed,
    /// `Closed`, after pause, resume, stop and start.
    Restarted,
    /// A fork of `Closed`.
    Forked,
    /// Made from a snapshot of `Closed`.
    Restored,
    /// With a Docker daemon of its own, which needs more of the kernel.
    Docker,
    /// In a container there, with everything that its daemon can give: the root file
    /// system, and the process and network namespaces, of its "host".
    Container,
    /// A tenth of a core: little enough that a busy machine gives more.
    Slow,
}

const fn root(name: &'static str, held_by: &'static str, probe: &'static str) -> Attempt {
    Attempt {
        name,
        held_by,
        probe,
        user: User::Root,
        sandbox: Which::Plain,
        baseline: Baseline::Host,
    }
}

const fn without(mut attempt: Attempt, baseline: Baseline) -> Attempt {
    attempt.baseline = baseline;
    attempt
}

const fn of(sandbox: Which, mut attempt: Attempt) -> Attempt {
    attempt.sandbox = sandbox;
    attempt
}

const fn ordinary(mut attempt: Attempt) -> Attempt {
    attempt.user = User::Ordinary;
    attempt
}

const fn by_route(
    name: &'static str,
    held_by: &'static str,
    probe: &'static str,
    baseline: Baseline,
) -> Attempt {
    let mut attempt = without(root(name, held_by, probe), baseline);
    attempt.user = User::Caller;
    attempt
}

const fn docker(attempt: Attempt) -> Attempt {
    of(Which::Docker, attempt)
}

const fn container(attempt: Attempt) -> Attempt {
    of(Which::Container, attempt)
}

/// All of them.
pub(crate) const ATTEMPTS: &[Attempt] = &[
    // Files
    root(
        "read what only the host's root may read",
        "mask layer",
        "read {secret-etc}",
    ),
    root(
        "read the host root's home",
        "mask layer",
        "read {secret-home}",
    ),
    root("read the daemon's data", "mask layer", "read {data}/secret"),
    root(
        "read another user's home",
        "mask layer",
        "read {other-home}",
    ),
    root(
        "write a file of the host",
        "overlay, user namespace",
        "write {host-file}",
    ),
    root(
        "open the host's disk by a node of one's own",
        "user namespace",
        "device {disk}",
    ),
    root(
        "mount a disk of the host",
        "user namespace, seccomp",
        "mount-disk {disk}",
    ),
    root(
        "open a file by its handle, past every root",
        "seccomp, user namespace",
        "handle /",
    ),
    root(
        "set core_pattern",
        "user namespace, seccomp",
        "proc-setting sys/kernel/core_pattern",
    ),
    root(
        "set another kernel setting",
        "user namespace, seccomp",
        "proc-setting sys/kernel/panic",
    ),
    root(
        "set a release_agent",
        "user and cgroup namespaces",
        "release-agent",
    ),
    root("write the kernel's log", "own /dev", "write /dev/kmsg"),
    root("read the kernel's log", "own /dev", "open /dev/kmsg"),
    // Processes
    root(
        "see a process of the host",
        "pid namespace",
        "see-process {marker}",
    ),
    root(
        "trace a process of the host",
        "pid namespace",
        "ptrace {pid}",
    ),
    root(
        "signal a process of the host",
        "pid namespace",
        "signal {pid}",
    ),
    without(
        root(
            "write into the host's log by what process 1 has open",
            "user namespace, process 1 is not dumpable",
            "write /proc/1/fd/2",
        ),
        Baseline::HostBy("write /proc/{pid}/fd/2"),
    ),
    root(
        "find a shared memory segment of the host",
        "ipc namespace",
        "shared-memory {key}",
    ),
    without(
        ordinary(root(
            "become root by a set-user-id program",
            "no_new_privs",
            "regain-root {suid}",
        )),
        Baseline::HostUser,
    ),
    // The kernel
    root("load an eBPF map", "seccomp, capabilities", "bpf"),
    root(
        "count events of the whole machine",
        "seccomp, capabilities",
        "perf",
    ),
    root("use the kernel's keyrings", "seccomp", "keyring"),
    root("handle page faults", "seccomp", "userfaultfd"),
    root("set up an io_uring", "seccomp", "io-uring"),
    root("make a user namespace", "seccomp", "new-user-namespace"),
    ordinary(root(
        "make a user namespace as an ordinary user",
        "seccomp",
        "new-user-namespace",
    )),
    root(
        "enter the kernel by another table of calls",
        "seccomp",
        "other-numbers",
    ),
    root("type into a terminal", "seccomp", "terminal-input"),
    root("open a raw socket", "seccomp", "raw-socket"),
    root("open a packet socket", "seccomp", "packet-socket"),
    root("open a socket of another family", "seccomp", "vsock"),
    // Limits
    root("fork without end", "pids limit", "forks 400"),
    root("use memory without end", "memory limit", "memory 300000000"),
    root("fill the disk", "disk limit", "disk /root/fill 250000000"),
    root(
        "open files without end",
        "open files limit",
        "descriptors 1000",
    ),
    of(
        Which::Slow,
        root(
            "take more of the processor than given",
            "cpu limit",
            "processor 1500",
        ),
    ),
    // Network
    without(
        root(
            "reach another sandbox by address",
            "nftables",
            "connect {neighbour}",
        ),
        Baseline::Neighbour,
    ),
    without(
        root(
            "reach another sandbox by name",
            "resolver of its own",
            "resolve {neighbour-name}",
        ),
        Baseline::Neighbour,
    ),
    root(
        "reach a service on the host's loopback",
        "network namespace",
        "connect {host-loopback}",
    ),
    root(
        "reach a service on another address of the host",
        "nftables",
        "connect {host-address}",
    ),
    root(
        "reach a service of the host at the gateway",
        "nftables",
        "connect {gateway}",
    ),
    root(
        "reach the cloud's metadata",
        "nftables",
        "connect 169.254.169.254:80",
    ),
    root(
        "reach an abstract socket of the host",
        "network namespace",
        "abstract-socket {abstract}",
    ),
    without(
        of(
            Which::Closed,
            root("connect out under none", "nftables", "connect {outside}"),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Closed,
            root(
                "send a datagram out under none",
                "nftables",
                "send {outside}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Closed,
            root(
                "ask names out under none",
                "resolver's policy",
                "resolve {way-out}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Closed,
            root(
                "ask another resolver under none",
                "nftables",
                "ask-resolver {outside-dns} {way-out}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Listed,
            root(
                "connect to what is not listed",
                "nftables",
                "connect {outside-other}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Listed,
            root(
                "connect to a listed name on another port",
                "nftables",
                "connect {outside-other-port}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Listed,
            root(
                "resolve a name that is not listed",
                "resolver's policy",
                "resolve {way-out}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Listed,
            root(
                "reach the host by a listed name that lies",
                "resolver, nftables",
                "reach-name host.lies.test {host-port}",
            ),
        ),
        Baseline::HostBy("reach-name host.lies.test {host-port} {outside-dns}"),
    ),
    without(
        of(
            Which::Listed,
            root(
                "reach a neighbour by a listed name that lies",
                "resolver, nftables",
                "reach-name neighbour.lies.test {neighbour-port}",
            ),
        ),
        Baseline::NeighbourBy("reach-name neighbour.lies.test {neighbour-port} {outside-dns}"),
    ),
    without(
        of(
            Which::Listed,
            root(
                "reach the metadata by a listed name that lies",
                "resolver, nftables",
                "reach-name metadata.lies.test 80",
            ),
        ),
        Baseline::HostBy("reach-name metadata.lies.test 80 {outside-dns}"),
    ),
    without(
        of(
            Which::Restarted,
            root(
                "connect out under none after pause, resume, stop and start",
                "nftables",
                "connect {outside}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Forked,
            root(
                "connect out under none from a fork",
                "nftables",
                "connect {outside}",
            ),
        ),
        Baseline::Open,
    ),
    without(
        of(
            Which::Restored,
            root(
                "connect out under none from a snapshot",
                "nftables",
                "connect {outside}",
            ),
        ),
        Baseline::Open,
    ),
    root(
        "write to a terminal of the host",
        "own /dev/pts",
        "write {terminal}",
    ),
    // By the routes, from outside
    by_route(
        "files: read a file of the host by its path",
        "guest inside the sandbox",
        "route read {secret-etc}",
        Baseline::NoSandbox,
    ),
    by_route(
        "files: read a file of the host by ..",
        "guest inside the sandbox",
        "route read /tmp/../../../../..{data}/secret",
        Baseline::NoSandbox,
    ),
    by_route(
        "files: read a file of the host by a link",
        "guest inside the sandbox",
        "route read-by-link {data}/secret",
        Baseline::NoSandbox,
    ),
    by_route(
        "files: write a file of the host",
        "guest inside the sandbox",
        "route append {host-file}",
        Baseline::NoSandbox,
    ),
    by_route(
        "files: unpack an archive with an absolute path",
        "guest inside the sandbox, its own unpacking",
        "route unpack absolute {planted}",
        Baseline::Trusting(Trust::Unpack),
    ),
    by_route(
        "files: unpack an archive with ..",
        "guest inside the sandbox, its own unpacking",
        "route unpack up {planted}",
        Baseline::Trusting(Trust::Unpack),
    ),
    by_route(
        "files: unpack an archive with a link out",
        "guest inside the sandbox, its own unpacking",
        "route unpack link {planted}",
        Baseline::Trusting(Trust::Unpack),
    ),
    by_route(
        "have all of an output without end kept",
        "bound on what is kept",
        "route flood",
        Baseline::Trusting(Trust::Output),
    ),
    by_route(
        "have a terminal's escape sequences in a message",
        "control characters are escaped in messages",
        "route escape",
        Baseline::Trusting(Trust::Name),
    ),
    // With Docker, whose filter lets more pass
    docker(root(
        "docker: read what only the host's root may read",
        "mask layer",
        "read {secret-etc}",
    )),
    docker(root(
        "docker: open the host's disk",
        "user namespace",
        "device {disk}",
    )),
    docker(root(
        "docker: mount a disk of the host",
        "user namespace",
        "mount-disk {disk}",
    )),
    docker(root(
        "docker: open a file by its handle",
        "seccomp, user namespace",
        "handle /",
    )),
    docker(root(
        "docker: set core_pattern",
        "user namespace",
        "proc-setting sys/kernel/core_pattern",
    )),
    docker(root(
        "docker: set a release_agent",
        "user and cgroup namespaces",
        "release-agent",
    )),
    docker(root(
        "docker: trace a process of the host",
        "pid namespace",
        "ptrace {pid}",
    )),
    docker(root(
        "docker: count events of the whole machine",
        "seccomp, capabilities",
        "perf",
    )),
    docker(root("docker: handle page faults", "seccomp", "userfaultfd")),
    docker(root("docker: set up an io_uring", "seccomp", "io-uring")),
    docker(root(
        "docker: enter the kernel by another table of calls",
        "seccomp",
        "other-numbers",
    )),
    docker(root(
        "docker: reach a service of the host at the gateway",
        "nftables",
        "connect {gateway}",
    )),
    docker(root(
        "docker: reach the cloud's metadata",
        "nftables",
        "connect 169.254.169.254:80",
    )),
    container(root(
        "docker run -v /:/host: read what only the host's root may read",
        "mask layer",
        "read {secret-etc}",
    )),
    container(root(
        "docker run -v /:/host: read the daemon's data",
        "mask layer",
        "read {data}/secret",
    )),
    container(root(
        "docker run -v /:/host: write a file of the host",
        "overlay, user namespace",
        "write {host-file}",
    )),
    container(root(
        "docker run --privileged: open the host's disk",
        "user namespace",
        "device {disk}",
    )),
    container(root(
        "docker run --pid=host: see a process of the host",
        "pid namespace",
        "see-process {marker}",
    )),
    container(root(
        "docker run --pid=host: signal a process of the host",
        "pid namespace",
        "signal {pid}",
    )),
    container(root(
        "docker run --net=host: reach a service on the host's loopback",
        "network namespace",
        "connect {host-loopback}",
    )),
    container(root(
        "docker run --net=host: reach a service on another address of the host",
        "nftables",
        "connect {host-address}",
    )),
    without(
        container(root(
            "docker run --net=host: reach another sandbox",
            "nftables",
            "connect {neighbour}",
        )),
        Baseline::Neighbour,
    ),
];
