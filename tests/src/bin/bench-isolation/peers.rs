//! `runc run` and `docker run`, as people call them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::process::{Child, Command};

use crate::rootfs::Rootfs;

/// runc on a bundle with its own default specification.
#[derive(Debug)]
pub(crate) struct Runc {
    bundle: PathBuf,
    state: PathBuf,
}

impl Runc {
    pub(crate) fn new(folder: &Path, rootfs: &Rootfs) -> Result<Self> {
        let bundle = folder.join("bundle");
        std::fs::create_dir_all(&bundle)?;
        let made = std::process::Command::new("runc")
            .args(["spec", "--bundle"])
            .arg(&bundle)
            .status()
            .context("no runc")?;
        ensure!(made.success(), "runc spec failed");
        let file = bundle.join("config.json");
        let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        spec["process"]["args"] = serde_json::json!(["/bin/true"]);
        spec["process"]["terminal"] = false.into();
        spec["root"]["path"] = rootfs.folder.to_string_lossy().into();
        std::fs::write(&file, serde_json::to_vec(&spec)?)?;
        Ok(Self {
            bundle,
            state: folder.join("runc"),
        })
    }

    /// Creates a container, runs `true` in it, and deletes it.
    pub(crate) async fn run(&self, number: usize) -> Result<()> {
        let mut command = Command::new("runc");
        command
            .arg("--root")
            .arg(&self.state)
            .arg("run")
            .arg("--bundle");
        command.arg(&self.bundle).arg(format!("bench-{number}"));
        succeed(command).await
    }

    pub(crate) async fn crowd(&self, count: usize) -> Result<()> {
        try_join_all((0..count).map(|number| self.run(10_000 + number))).await?;
        Ok(())
    }

    pub(crate) async fn row(&self, count: usize) -> Result<()> {
        for number in 0..count {
            self.run(number).await?;
        }
        Ok(())
    }
}

/// A Docker daemon of the bench's own.
#[derive(Debug)]
pub(crate) struct Docker {
    daemon: Child,
    socket: String,
}

impl Docker {
    pub(crate) async fn start(folder: &Path, rootfs: &Rootfs) -> Result<Self> {
        let place = folder.join("docker");
        std::fs::create_dir_all(&place)?;
        let socket = format!("unix://{}", place.join("sock").display());
        let log = std::fs::File::create(folder.join("dockerd.log"))?;
        let daemon = Command::new("dockerd")
            .args(["--host", &socket])
            .arg("--data-root")
            .arg(place.join("data"))
            .arg("--exec-root")
            .arg(place.join("exec"))
            .arg("--pidfile")
            .arg(place.join("pid"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("no dockerd")?;
        let docker = Self { daemon, socket };
        for _ in 0..300 {
            if succeed(docker.command(&["version"])).await.is_ok() {
                let tar = rootfs.tar.to_string_lossy().into_owned();
                succeed(docker.command(&["import", &tar, "bench"])).await?;
                return Ok(docker);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("dockerd does not answer; see dockerd.log")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket]).args(arguments);
        command
    }

    pub(crate) async fn run(&self) -> Result<()> {
        succeed(self.command(&["run", "--rm", "bench", "/bin/true"])).await
    }

    pub(crate) async fn crowd(&self, count: usize) -> Result<()> {
        try_join_all((0..count).map(|_| self.run())).await?;
        Ok(())
    }

    pub(crate) async fn end(mut self) -> Result<()> {
        let id = self.daemon.id().context("dockerd is gone")?;
        succeed({
            let mut kill = Command::new("kill");
            kill.arg(id.to_string());
            kill
        })
        .await?;
        tokio::time::timeout(Duration::from_secs(30), self.daemon.wait()).await??;
        Ok(())
    }
}

async fn succeed(mut command: Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
