//! A program of a sandbox's own that the guest keeps running.

mod log;

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::Command,
    sync::Arc,
    time::Duration,
};

use helix_base::{Backoff, BackoffPolicy, Clock, TaskGroup};
use helix_proto::sandbox::{
    SandboxLog,
    guest::{ExecExit, ServiceState, ServiceStatus},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::unix::pipe,
    sync::watch,
};

use self::log::Log;
use crate::guest::{Process, Reaper};

/// Starts that fail, or end soon, in a row.
const MOST_STARTS: u32 = 5;
/// One that was ready for so long was well.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// The most of a line of its log that is read at once.
const LONGEST_LINE: u64 = 16 << 10;

/// How a start ended.
pub(crate) enum End {
    /// It was asked to end, and did.
    Asked,
    /// It broke, after it had been well or before.
    Broke { was_well: bool, why: String },
}

/// A program that is started again when it breaks, a bounded number of times.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    status: watch::Sender<ServiceStatus>,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    reaper: Reaper,
}

impl Service {
    /// Starts nothing yet. What it writes is logged as `source`.
    pub(crate) fn new(
        name: &'static str,
        source: &'static str,
        reaper: Reaper,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Self {
        let status = ServiceStatus {
            state: ServiceState::Starting,
            starts: 0,
            message: String::new(),
        };
        Self {
            name,
            status: watch::Sender::new(status),
            log: Arc::new(Log::new(source)),
            clock,
            tasks: tasks.clone(),
            reaper,
        }
    }

    /// How it is now.
    pub(crate) fn status(&self) -> ServiceStatus {
        self.status.borrow().clone()
    }

    /// How it is when it no longer starts, or after `patience`.
    pub(crate) async fn settled(&self, patience: Duration) -> ServiceStatus {
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| status.state != ServiceState::Starting);
        // Late, it is as it is.
        let _ = tokio::time::timeout(patience, settled).await;
        self.status()
    }

    /// The newest lines that it wrote.
    pub(crate) fn log(&self, lines: usize) -> SandboxLog {
        self.log.tail(lines)
    }

    /// Runs it, each time to its end, until it is asked to end or cannot be started.
    pub(crate) async fn keep<F>(&self, run: impl Fn() -> F)
    where
        F: Future<Output = io::Result<End>>,
    {
        let mut backoff = Backoff::new(BackoffPolicy {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(10),
        });
        let mut starts_in_a_row = 0;
        loop {
            starts_in_a_row += 1;
            let why = match run().await {
                Ok(End::Asked) => return self.settle(ServiceState::Stopped, "it was asked to end"),
                Ok(End::Broke { was_well, why }) => {
                    if was_well {
                        starts_in_a_row = 0;
                        backoff.succeeded();
                    }
                    why
                }
                Err(error) => return self.settle(ServiceState::Failed, &error.to_string()),
            };
            self.log
                .add(self.clock.now_ms(), &format!("{}: {why}", self.name));
            if starts_in_a_row >= MOST_STARTS {
                let message = format!("{why}; it was started {MOST_STARTS} times in a row");
                return self.settle(ServiceState::Failed, &message);
            }
            self.settle(ServiceState::Starting, &why);
            let delay = backoff.next_delay(&mut rand::rng());
            tokio::time::sleep(delay).await;
        }
    }

    /// Starts a program, in a group of its own, and logs what it writes. Blocks.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(Process, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        command.process_group(0);
        let process = self.reaper.spawn(command)?;
        Ok((process, OwnedFd::from(reader)))
    }

    /// Takes note that it was started, and logs what it writes.
    pub(crate) fn began(&self, lines: OwnedFd) {
        self.status.send_modify(|status| status.starts += 1);
        let read = read(lines, Arc::clone(&self.log), Arc::clone(&self.clock));
        self.tasks.spawn("service log", read);
    }

    /// Waits until it answers, then until it ends, while `beside` is done.
    pub(crate) async fn follow(
        &self,
        mut process: Process,
        answers: impl Future<Output = ()>,
        within: Duration,
        beside: impl Future<Output = std::convert::Infallible>,
    ) -> io::Result<End> {
        let readiness = tokio::time::timeout(within, answers);
        let is_ready = tokio::select! {
            ready = readiness => ready.is_ok(),
            exit = process.exited() => return Ok(ended(&exit, false)),
        };
        if !is_ready {
            process.signal(rustix::process::Signal::KILL, true)?;
            process.exited().await;
            let why = format!("it did not answer within {} s", within.as_secs());
            return Ok(End::Broke {
                was_well: false,
                why,
            });
        }
        self.settle(ServiceState::Ready, "");
        let ready_at = self.clock.now();
        let exit = tokio::select! {
            exit = process.exited() => exit,
            never = beside => match never {},
        };
        let lasted = self.clock.now().saturating_duration_since(ready_at);
        Ok(ended(&exit, lasted >= WELL_AFTER))
    }

    fn settle(&self, state: ServiceState, message: &str) {
        self.status.send_modify(|status| {
            status.state = state;
            message.clone_into(&mut status.message);
        });
    }
}

fn ended(exit: &ExecExit, was_well: bool) -> End {
    match exit.code {
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

async fn read(lines: OwnedFd, log: Arc<Log>, clock: Arc<dyn Clock>) {
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
        log.add(clock.now_ms(), text.trim_end());
        line.clear();
    }
}
