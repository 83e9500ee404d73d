//! Stage 0: one thread, the host's root, a mount namespace of its own.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    time::Instant,
};

use rustix::{
    process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid},
    thread::UnshareFlags,
};

use super::{Doing as _, Failure, Plan, Report, channel, inside, sys, tree};

/// How many ids a sandbox has.
pub(in crate::namespaces) const IDS: u32 = 65_536;

/// Builds a sandbox from a plan, a listener and a disk, and tells its standard input.
pub(super) fn run(fds: Vec<OwnedFd>) -> i32 {
    let control = io::stdin();
    let (report, code) = match launch(&control, fds) {
        Ok(report) => (report, 0),
        Err(Failure(message)) => (Report::Failed(message), 1),
    };
    // The daemon may have died meanwhile; a sandbox that runs goes on without it.
    let _ = channel::send(&control, &report, &[]);
    code
}

/// Takes the time of each part.
pub(super) struct Times {
    last: Instant,
    parts: Vec<(String, u64)>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own that lives for milliseconds; its times are for its makers"
)]
impl Times {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            parts: Vec::new(),
        }
    }

    pub(super) fn part(&mut self, name: &str) {
        let now = Instant::now();
        let took = now.duration_since(self.last).as_micros();
        self.parts
            .push((name.to_owned(), u64::try_from(took).unwrap_or(u64::MAX)));
        self.last = now;
    }
}

fn launch(control: &io::Stdin, fds: Vec<OwnedFd>) -> Result<Report, Failure> {
    let mut times = Times::new();
    let (plan, listener, disk) = read_plan(fds)?;
    times.part("the plan");
    rustix::process::umask(rustix::fs::Mode::empty());
    // Before the first fork: the tree becomes the root of all that are in here.
    sys::unshare(UnshareFlags::NEWNS).doing("making a mount namespace")?;
    let private =
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).doing("making its mounts private")?;
    times.part("own mounts");
    let first = fork_first(&plan, listener)?;
    let pid: i32 = answer(&first.outer, "the process in the namespaces")?;
    let pid1 = Pid::from_raw(pid).ok_or_else(|| Failure("no process 1".into()))?;
    let pidfd =
        pidfd_open(pid1, PidfdFlags::empty()).doing("opening the sandbox's first process")?;
    map_users(first.pid, plan.first_id)?;
    let fds = [pidfd.as_fd(), first.network.as_fd()];
    channel::send(control, &Report::Prepared { pid }, &fds).doing("telling the daemon")?;
    // The daemon's alone: if it dies, process 1 sees it.
    drop(first.network);
    times.part("namespaces");
    let ends = tree::build(&plan, &disk, first.pid, &mut times)?;
    reap(ends);
    channel::send(&first.inner, &(), &[]).doing("telling process 1")?;
    let () = answer(&first.inner, "process 1")?;
    // The process between ends, and process 1 is the init's.
    drop(first.outer);
    times.part("process 1");
    Ok(Report::Started { times: times.parts })
}

fn read_plan(fds: Vec<OwnedFd>) -> Result<(Plan, UnixListener, OwnedFd), Failure> {
    let [plan, listener, disk] = <[OwnedFd; 3]>::try_from(fds)
        .map_err(|_| Failure("the plan came without its descriptors".into()))?;
    let plan =
        serde_json::from_reader(io::BufReader::new(File::from(plan))).doing("reading the plan")?;
    Ok((plan, UnixListener::from(listener), disk))
}

/// The process in the namespaces.
struct First {
    pid: i32,
    /// To it.
    outer: OwnedFd,
    /// To process 1.
    inner: OwnedFd,
    /// To process 1 as well, for the daemon.
    network: OwnedFd,
}

fn fork_first(plan: &Plan, listener: UnixListener) -> Result<First, Failure> {
    let (outer, outer_child) = channel::pair().doing("making a socket")?;
    let (inner, inner_child) = channel::pair().doing("making a socket")?;
    let (network, network_child) = channel::pair().doing("making a socket")?;
    let forked = match &plan.cgroups.v2 {
        None => sys::fork(),
        Some(path) => {
            let directory = File::open(path).doing("opening its cgroup")?;
            sys::fork_into(directory.as_fd())
        }
    };
    match forked.doing("forking")? {
        sys::Fork::Parent(pid) => Ok(First {
            pid,
            outer,
            inner,
            network,
        }),
        sys::Fork::Child => {
            // Its ends of the sockets are the children's own.
            drop((outer, inner, network));
            let ends = inside::Ends {
                inner: inner_child,
                network: network_child,
                listener,
            };
            inside::between(plan, outer_child, ends)
        }
    }
}

/// Waits for an answer that may be a failure.
fn answer<T: serde::de::DeserializeOwned>(socket: &OwnedFd, who: &str) -> Result<T, Failure> {
    let (answer, _): (Result<T, String>, _) =
        channel::receive(socket).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Failure(format!("{who} ended; the limits may be too low for it"))
            }
            _ => Failure(format!("waiting for {who}: {error}")),
        })?;
    answer.map_err(Failure)
}

fn map_users(pid: i32, first: u32) -> Result<(), Failure> {
    let map = format!("0 {first} {IDS}");
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{pid}/{file}"), &map).doing("mapping its users")?;
    }
    Ok(())
}

/// Waits for a child's end.
pub(super) fn reap(pid: i32) {
    // There is nothing else that it could be than a child that ended before.
    let _ = waitpid(Pid::from_raw(pid), WaitOptions::empty());
}
