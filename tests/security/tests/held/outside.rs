//! A network to play in: the "host" that the tests run on is a network namespace of
//! their own, and what lies outside is another, behind one cable. So nothing of the machine's
//! own network is touched.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

/// The host's address on the cable.
pub(crate) const HOST: &str = "198.51.100.1";
/// What lies outside, and is on lists.
pub(crate) const LISTED: &str = "198.51.100.2";
/// What lies outside, and is on none.
pub(crate) const UNLISTED: &str = "198.51.100.3";
/// The address of a cloud's metadata service.
pub(crate) const METADATA: &str = "169.254.169.254";

/// The argument by which this program plays the outside.
pub(crate) const ROLE: &str = "play-outside";

/// The outside, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Outside {
    program: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Runs a program to its end.
pub(crate) fn run(program: &str, arguments: &str) -> Result<()> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Leaves the machine's network for one of this process's own. Before any thread starts.
pub(crate) fn leave_the_machine() -> Result<()> {
    // SAFETY: no pointers.
    let left = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    ensure!(left == 0, "unshare: {}", std::io::Error::last_os_error());
    run("ip", "link set lo up")
}

impl Outside {
    /// Lays the cable.
    pub(crate) fn start() -> Result<Self> {
        let mut program = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = program.stdin.take().context("no pipe")?;
        let answers = BufReader::new(program.stdout.take().context("no pipe")?);
        let pid = program.id();
        let mut outside = Self {
            program,
            orders,
            answers,
        };
        outside.says("ready")?;
        run(
            "ip",
            &format!("link add out0 type veth peer name out1 netns {pid}"),
        )?;
        run("ip", &format!("addr add {HOST}/24 dev out0"))?;
        run("ip", "link set out0 up")?;
        run("ip", &format!("route add {METADATA}/32 dev out0"))?;
        outside.order("listen")?;
        outside.says("listening")?;
        Ok(outside)
    }

    /// Answers names, one of which is a lie about `neighbour`.
    pub(crate) fn answer_names(&mut self, neighbour: &str) -> Result<()> {
        self.order(&format!("names {neighbour}"))?;
        self.says("answering")
    }

    fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").context("the outside is gone")
    }

    fn says(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(line.trim_end() == word, "the outside said {line:?}");
        Ok(())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Plays the outside until nobody gives orders.
pub(crate) fn play() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "outside: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act() -> Result<()> {
    leave_the_machine()?;
    say("ready")?;
    let mut names: Option<Child> = None;
    for order in std::io::stdin().lines() {
        let order = order?;
        match order.split_once(' ') {
            None => {
                listen()?;
                say("listening")?;
            }
            Some((_, neighbour)) => {
                names = Some(dnsmasq(neighbour)?);
                answered(&format!("{LISTED}:53"))?;
                say("answering")?;
            }
        }
    }
    if let Some(mut names) = names {
        names.kill()?;
        names.wait()?;
    }
    Ok(())
}

fn say(what: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

fn listen() -> Result<()> {
    run("ip", &format!("addr add {LISTED}/24 dev out1"))?;
    run("ip", &format!("addr add {UNLISTED}/24 dev out1"))?;
    run("ip", &format!("addr add {METADATA}/32 dev out1"))?;
    run("ip", "link set out1 up")?;
    run("ip", &format!("route add default via {HOST}"))?;
    for address in [LISTED, UNLISTED, METADATA] {
        greet(format!("{address}:80").parse()?)?;
    }
    greet(format!("{LISTED}:81").parse()?)?;
    let echo = UdpSocket::bind((LISTED, 80))?;
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((count, from)) = echo.recv_from(&mut bytes) {
            let _ = echo.send_to(&bytes[..count], from);
        }
    });
    Ok(())
}

/// Waits until something listens there.
pub(crate) fn answered(address: &str) -> Result<()> {
    for _ in 0..600 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("nothing listens at {address}")
}

/// Says a word to everybody who connects.
pub(crate) fn greet(address: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot bind {address}"))?;
    let bound = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1]);
            let _ = stream.write_all(b"hello");
        }
    });
    Ok(bound)
}

fn dnsmasq(neighbour: &str) -> Result<Child> {
    let address = |name: &str, address: &str| format!("--address=/{name}/{address}");
    Command::new("dnsmasq")
        .args(["--no-daemon", "--no-resolv", "--no-hosts", "--user=root"])
        .args([
            "--bind-interfaces",
            "--listen-address",
            LISTED,
            "--pid-file=",
        ])
        .arg("--conf-file=/dev/null")
        .args([
            address("allowed.test", LISTED),
            address("way-out.test", LISTED),
            address("host.lies.test", HOST),
            address("neighbour.lies.test", neighbour),
            address("metadata.lies.test", METADATA),
        ])
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run dnsmasq")
}
