//! Running other programs: never waiting for input, never without a limit, and
//! never leaving one behind.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::workspace::Workspace;

/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(20);
/// How long a program may take to end when asked.
const GRACE: Duration = Duration::from_secs(10);

/// The time, for measuring.
#[expect(
    clippy::disallowed_methods,
    reason = "a tool measures by the machine's own clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A program and all that it starts, in a process group of its own. Dropping it
/// ends whatever is left of the group.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    name: String,
}

impl Group {
    /// Starts a program without input.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let name = describe(command);
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting `{name}`"))?;
        Ok(Self { child, name })
    }

    /// The process id of its first program.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn poll(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("waiting for `{}`", self.name))
    }

    /// Waits until it ends, it took longer than `limit`, or someone asks to stop.
    pub(crate) fn wait(&mut self, workspace: &Workspace, limit: Duration) -> Result<ExitStatus> {
        let deadline = now() + limit;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(status);
            }
            if workspace.stopped() {
                self.stop(GRACE);
                bail!("interrupted while `{}` ran", self.name);
            }
            if now() > deadline {
                self.stop(GRACE);
                bail!(
                    "`{}` took longer than {} s and was stopped",
                    self.name,
                    limit.as_secs()
                );
            }
            std::thread::sleep(TICK);
        }
    }

    /// Asks the group to end, and ends it after `grace`.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let deadline = now() + grace;
        while matches!(self.child.try_wait(), Ok(None)) && now() < deadline {
            std::thread::sleep(TICK);
        }
        self.signal(Signal::KILL);
        // Only fails if it was waited for before.
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The group is gone when its last process is: nothing to do then.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop(GRACE);
        } else {
            self.signal(Signal::KILL);
        }
    }
}

/// Runs a program to its end; its output goes where ours goes.
pub(crate) fn run(workspace: &Workspace, command: &mut Command, limit: Duration) -> Result<()> {
    let mut group = Group::spawn(command)?;
    let status = group.wait(workspace, limit)?;
    succeeded(command, status)
}

/// Runs a program to its end and hands each line of its standard output to
/// `line` as it comes; its standard error goes where ours goes.
pub(crate) fn run_lines(
    workspace: &Workspace,
    command: &mut Command,
    limit: Duration,
    line: impl FnMut(&str),
) -> Result<()> {
    let mut group = Group::spawn(command.stdout(Stdio::piped()))?;
    let output = group
        .child
        .stdout
        .take()
        .context("its standard output was piped")?;
    let status = follow(workspace, group, output, limit, line)?;
    succeeded(command, status)
}

/// Runs a program to its end and hands each line of all that it says to `line`.
pub(crate) fn run_merged(
    workspace: &Workspace,
    command: &mut Command,
    limit: Duration,
    line: impl FnMut(&str),
) -> Result<()> {
    let (output, writer) = std::io::pipe().context("making a pipe")?;
    let errors = writer
        .try_clone()
        .context("sharing a pipe between two streams")?;
    let group = Group::spawn(command.stdout(writer).stderr(errors))?;
    // The command holds the pipe open, too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = follow(workspace, group, output, limit, line)?;
    succeeded(command, status)
}

fn follow(
    workspace: &Workspace,
    mut group: Group,
    output: impl Read + Send + 'static,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || forward_lines(output, &sender));
    let deadline = now() + limit;
    let status = loop {
        match lines.recv_timeout(TICK) {
            Ok(text) => line(&text),
            // The output was closed: what is left is to wait for the end.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                break group.wait(workspace, deadline.saturating_duration_since(now()))?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if workspace.stopped() || now() > deadline {
            group.wait(workspace, Duration::ZERO)?;
        } else if let Some(status) = group.poll()? {
            break status;
        }
    };
    // What it left in the pipe; a grandchild may hold the pipe open for ever.
    let rest = now() + Duration::from_secs(2);
    while let Ok(text) = lines.recv_timeout(rest.saturating_duration_since(now())) {
        line(&text);
    }
    drop((group, lines));
    drop(reader);
    Ok(status)
}

fn forward_lines(output: impl Read, sender: &mpsc::Sender<String>) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        if sender
            .send(String::from_utf8_lossy(&line).into_owned())
            .is_err()
        {
            break;
        }
    }
}

/// Runs a program to its end and returns its standard output.
pub(crate) fn output(
    workspace: &Workspace,
    command: &mut Command,
    limit: Duration,
) -> Result<String> {
    let mut text = String::new();
    run_lines(workspace, command, limit, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    Ok(text)
}

/// Runs a program quietly; what it said goes into the error if it fails.
pub(crate) fn run_quietly(
    workspace: &Workspace,
    command: &mut Command,
    limit: Duration,
    log: &std::path::Path,
) -> Result<()> {
    let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let errors = file
        .try_clone()
        .context("sharing the log between two streams")?;
    let outcome = run(workspace, command.stdout(file).stderr(errors), limit);
    outcome.with_context(|| format!("its last words were:\n{}", tail(log, 30)))
}

/// The last lines of a file.
pub(crate) fn tail(path: &std::path::Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Whether a program can be started and ends well, without being shown.
pub(crate) fn works(workspace: &Workspace, command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    run(workspace, command, Duration::from_secs(30)).is_ok()
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", describe(command));
    }
    Ok(())
}

/// A command as a person would type it, shortened.
fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        if text.len() > 160 {
            text.push_str(" …");
            break;
        }
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests;
