//! Starts the daemon, and starts it again.

use std::{
    collections::BTreeMap, io, os::fd::OwnedFd, path::Path, process::Command, sync::Arc,
    time::Duration,
};

use helix_base::{Backoff, BackoffPolicy, Clock, TaskGroup};
use helix_proto::sandbox::{
    SandboxLog,
    guest::{DockerState, DockerStatus},
};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::unix::pipe,
    sync::watch,
};

use super::{DATA, SOCKET, api, images, images::DockerImage, log::Log, names::Directory, prepare};
use crate::guest::{Process, Reaper};

/// Until the daemon answers for the first time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked whether it does.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Starts that fail, or end soon, in a row.
const MOST_STARTS: u32 = 5;
/// A daemon that was ready for so long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// The most of a line of its log that is read at once.
const LONGEST_LINE: u64 = 16 << 10;

/// The Docker daemon of a sandbox. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Docker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    status: watch::Sender<DockerStatus>,
    log: Log,
    names: Directory,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    reaper: Reaper,
    env: BTreeMap<String, String>,
    images: Vec<DockerImage>,
}

/// How a start ended.
enum End {
    /// It was asked to end, and did.
    Asked,
    /// It broke, after it had been well or before.
    Broke { was_well: bool, why: String },
}

impl Docker {
    /// Starts it in the background, with these variables (such as those of a proxy) and
    /// these images of the host.
    pub fn start(
        reaper: Reaper,
        env: BTreeMap<String, String>,
        images: Vec<DockerImage>,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Self {
        let status = DockerStatus {
            state: DockerState::Starting,
            starts: 0,
            message: String::new(),
        };
        let shared = Arc::new(Shared {
            status: watch::Sender::new(status),
            log: Log::default(),
            names: Directory::new(SOCKET.into(), clock.clone()),
            clock,
            tasks: tasks.clone(),
            reaper,
            env,
            images,
        });
        tasks.spawn("docker", shared.clone().supervise());
        Self { shared }
    }

    /// How it is now.
    pub fn status(&self) -> DockerStatus {
        self.shared.status.borrow().clone()
    }

    /// How it is when it no longer starts, or after `patience`.
    pub async fn settled(&self, patience: Duration) -> DockerStatus {
        let mut status = self.shared.status.subscribe();
        let settled = status.wait_for(|status| status.state != DockerState::Starting);
        // Late, it is as it is.
        let _ = tokio::time::timeout(patience, settled).await;
        self.status()
    }

    /// The names of its containers.
    pub fn names(&self) -> &Directory {
        &self.shared.names
    }

    /// The newest lines that it wrote.
    pub fn log(&self, lines: usize) -> SandboxLog {
        self.shared.log.tail(lines)
    }
}

impl Shared {
    async fn supervise(self: Arc<Self>) {
        let mut backoff = Backoff::new(BackoffPolicy {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(10),
        });
        let mut starts_in_a_row = 0;
        loop {
            starts_in_a_row += 1;
            let why = match self.clone().run().await {
                Ok(End::Asked) => return self.settle(DockerState::Stopped, "it was asked to end"),
                Ok(End::Broke { was_well, why }) => {
                    if was_well {
                        starts_in_a_row = 0;
                        backoff.succeeded();
                    }
                    why
                }
                Err(error) => return self.settle(DockerState::Failed, &error.to_string()),
            };
            self.log
                .add(self.clock.now_ms(), &format!("dockerd: {why}"));
            if starts_in_a_row >= MOST_STARTS {
                let message = format!("{why}; it was started {MOST_STARTS} times in a row");
                return self.settle(DockerState::Failed, &message);
            }
            self.settle(DockerState::Starting, &why);
            let delay = backoff.next_delay(&mut rand::rng());
            tokio::time::sleep(delay).await;
        }
    }

    /// One start, to its end.
    async fn run(self: Arc<Self>) -> io::Result<End> {
        let prepared = self.clone();
        let started = tokio::task::spawn_blocking(move || {
            let mut command = prepare::command(&prepared.env)?;
            images::give(&prepared.images, Path::new(images::SHOWN), Path::new(DATA)).map_err(
                |error| io::Error::other(format!("giving it the host's images: {error}")),
            )?;
            spawn(&prepared.reaper, &mut command)
        });
        let (mut process, lines) = started.await.map_err(io::Error::other)??;
        self.status.send_modify(|status| status.starts += 1);
        self.tasks.spawn("docker log", self.clone().read(lines));
        let readiness = tokio::time::timeout(READY_WITHIN, self.answers());
        let is_ready = tokio::select! {
            ready = readiness => ready.is_ok(),
            exit = process.exited() => return Ok(ended(exit.code, false)),
        };
        if !is_ready {
            process.signal(Signal::KILL, false)?;
            process.exited().await;
            let why = format!("it did not answer within {} s", READY_WITHIN.as_secs());
            return Ok(End::Broke {
                was_well: false,
                why,
            });
        }
        self.settle(DockerState::Ready, "");
        let ready_at = self.clock.now();
        let exit = tokio::select! {
            exit = process.exited() => exit,
            never = self.names.follow() => match never {},
        };
        let lasted = self.clock.now().saturating_duration_since(ready_at);
        Ok(ended(exit.code, lasted >= WELL_AFTER))
    }

    /// Returns when the daemon answers.
    async fn answers(&self) {
        while api::get(Path::new(SOCKET), "/_ping").await.is_err() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn read(self: Arc<Self>, lines: OwnedFd) {
        let Ok(receiver) = pipe::Receiver::from_owned_fd(lines) else {
            return;
        };
        let mut reader = BufReader::new(receiver);
        let mut line = Vec::new();
        while let Ok(1..) = (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .await
        {
            let text = String::from_utf8_lossy(&line);
            self.log.add(self.clock.now_ms(), text.trim_end());
            line.clear();
        }
    }

    fn settle(&self, state: DockerState, message: &str) {
        self.status.send_modify(|status| {
            status.state = state;
            message.clone_into(&mut status.message);
        });
    }
}

fn ended(code: Option<i32>, was_well: bool) -> End {
    match code {
        Some(0) => End::Asked,
        Some(code) => End::Broke {
            was_well,
            why: format!("it ended with code {code}; its log says why"),
        },
        None => End::Broke {
            was_well,
            why: "it was killed, as when the sandbox's memory is used up".to_owned(),
        },
    }
}

/// Starts the program, and gives what it writes.
fn spawn(reaper: &Reaper, command: &mut Command) -> io::Result<(Process, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let reader = OwnedFd::from(reader);
    command.stdout(writer.try_clone()?).stderr(writer);
    std::os::unix::process::CommandExt::process_group(command, 0);
    let process = reaper.spawn(command)?;
    Ok((process, reader))
}
