//! What a bench runs: programs in the background, and what they take.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process::{Group, now, tail},
    workspace::Workspace,
};

/// How long anything may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Programs with a folder for what they write.
#[derive(Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    running: Vec<Group>,
    /// Folders elsewhere that go when all is stopped.
    kept: Vec<PathBuf>,
}

impl Programs {
    /// None yet, and an empty folder `target/bench/NAME`.
    pub(super) fn new(workspace: &Workspace, name: &str) -> Result<Self> {
        let folder = workspace.target().join("bench").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).context("removing what an earlier run left")?;
        }
        fs::create_dir_all(&folder).context("making the folder of the bench")?;
        Ok(Self {
            folder,
            running: Vec::new(),
            kept: Vec::new(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program, waits until someone listens on the port, and returns its
    /// process id.
    pub(super) fn start(
        &mut self,
        workspace: &Workspace,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        port: u16,
    ) -> Result<u32> {
        let id = self.launch(workspace, name, program, arguments)?;
        let deadline = now() + READY_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = match self.running.last_mut() {
                Some(group) => group.poll()?.is_some(),
                None => true,
            };
            if ended || now() > deadline || workspace.stopped() {
                let log = self.log(name);
                bail!(
                    "{name} does not answer; its last words were:\n{}",
                    tail(&log, 20)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(id)
    }

    /// Starts a program, and returns its process id.
    pub(super) fn launch(
        &mut self,
        workspace: &Workspace,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<u32> {
        let log = self.log(name);
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = workspace.command(program);
        command
            .args(arguments)
            .stderr(file.try_clone().context("sharing a log")?)
            .stdout(file);
        command
            .env("NO_PROXY", "127.0.0.1")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        let group = Group::spawn(&mut command)?;
        let id = group.id();
        self.running.push(group);
        Ok(id)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Removes a folder when all is stopped.
    pub(super) fn keep(&mut self, folder: &Path) {
        self.kept.push(folder.to_owned());
    }

    /// Stops everything, the last started first.
    pub(super) fn stop(&mut self) {
        while let Some(mut program) = self.running.pop() {
            program.stop(Duration::from_secs(10));
        }
        for folder in self.kept.drain(..) {
            if let Err(left) = fs::remove_dir_all(&folder) {
                println!("{} is left: {left}", folder.display());
            }
        }
    }
}

/// Ports that nobody listens on.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding free ports")?;
        *port = listener.local_addr().context("finding free ports")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Resident memory of a process, in bytes.
pub(super) fn resident_bytes(id: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .with_context(|| format!("reading the memory of process {id}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    Ok(kib.context("the memory of a process is not told")? * 1_024.0)
}

/// Seconds that all threads of a process have computed, in the program and in the
/// system for it.
pub(super) fn cpu_seconds(id: u32) -> Result<f64> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"))
        .with_context(|| format!("reading the threads of process {id}"))?;
    let mut nanoseconds = 0.0;
    for task in tasks {
        let path = task.context("reading a thread")?.path().join("schedstat");
        // A thread that has just ended is gone.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let first = text.split_whitespace().next();
        let figure: f64 = first
            .and_then(|first| first.parse().ok())
            .with_context(|| format!("{} says {text:?}", path.display()))?;
        nanoseconds += figure;
    }
    Ok(nanoseconds / 1e9)
}
