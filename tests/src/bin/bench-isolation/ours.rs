//! Sandboxes of the library's `namespaces` backend.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use helix_base::{Ids, SystemClock, TaskGroup};
use helix_isolation::{
    Environment, GuestClient, Isolation as _, Watch,
    images::Images,
    namespaces::{Namespaces, Options},
};
use helix_proto::sandbox::{Egress, Rootfs, SandboxLimits, SandboxPhase, host::SandboxSpec};
use tokio::time::Instant;

use crate::rootfs::Rootfs as Shared;

/// The backend, with the shared root file system as an image.
#[derive(Debug)]
pub(crate) struct Ours {
    isolation: Namespaces,
    ids: Ids,
    names: AtomicU64,
}

/// What a sandbox is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The shared root file system, with nothing else.
    Small,
    /// The machine's own system.
    Host {
        /// With a Docker daemon.
        docker: bool,
    },
}

struct Quiet;

impl Watch for Quiet {
    fn phase(&self, _: SandboxPhase) {}
}

impl Ours {
    pub(crate) async fn start(folder: &Path, rootfs: &Shared) -> Result<Self> {
        let data = folder.join("ours");
        let (images, tar) = (data.join("images"), rootfs.tar.clone());
        let imported = tokio::task::spawn_blocking(move || {
            Images::open(images)?.import(&tar, "bench", &SystemClock, &mut |_| ())
        });
        imported.await??;
        let clock = Arc::new(SystemClock);
        let isolation =
            Namespaces::new(Options::new(data), clock.clone(), TaskGroup::new()).await?;
        Ok(Self {
            isolation,
            ids: Ids::new(clock),
            names: AtomicU64::new(0),
        })
    }

    fn spec(&self, kind: Kind) -> SandboxSpec {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        SandboxSpec {
            id: self.ids.next(),
            name: format!("bench-{number}"),
            rootfs: match kind {
                Kind::Small => Rootfs::Image {
                    image: "bench".to_owned(),
                },
                Kind::Host { .. } => Rootfs::Host,
            },
            egress: Egress::Open,
            limits: SandboxLimits::DEFAULT,
            docker: kind == Kind::Host { docker: true },
            desktop: None,
            env: Default::default(),
            idle_timeout_ms: None,
            expires_at_ms: None,
            origin: None,
        }
    }

    async fn make(&self) -> Result<Arc<dyn Environment>> {
        let sandbox = self.start_one(Kind::Small).await?;
        run_true(&sandbox).await?;
        Ok(sandbox)
    }

    async fn start_one(&self, kind: Kind) -> Result<Arc<dyn Environment>> {
        let sandbox = self.isolation.create(&self.spec(kind)).await?;
        sandbox.start(&Quiet).await?;
        Ok(sandbox)
    }

    async fn remove(&self, sandbox: &Arc<dyn Environment>) -> Result<()> {
        Ok(self.isolation.remove(sandbox.spec().id).await?)
    }

    /// One: until `true` has ended, and then until nothing of it is left.
    pub(crate) async fn alone(&self) -> Result<(Duration, Duration)> {
        let began = Instant::now();
        let sandbox = self.make().await?;
        let (run, made) = (began.elapsed(), Instant::now());
        self.remove(&sandbox).await?;
        Ok((run, made.elapsed()))
    }

    /// Many at once: until the last one's `true` has ended.
    pub(crate) async fn crowd(&self, count: usize) -> Result<Duration> {
        let began = Instant::now();
        let sandboxes = try_join_all((0..count).map(|_| self.make())).await?;
        let took = began.elapsed();
        try_join_all(sandboxes.iter().map(|sandbox| self.remove(sandbox))).await?;
        Ok(took)
    }

    /// One after the other, each removed.
    pub(crate) async fn row(&self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.alone().await?;
        }
        Ok(())
    }

    /// One with a Docker daemon: until that answers, and then until nothing is left.
    pub(crate) async fn with_docker(&self) -> Result<(Duration, Duration)> {
        let began = Instant::now();
        let sandbox = self.start_one(Kind::Host { docker: true }).await?;
        let (ready, made) = (began.elapsed(), Instant::now());
        self.remove(&sandbox).await?;
        Ok((ready, made.elapsed()))
    }

    /// What idle sandboxes are charged for, each.
    pub(crate) async fn idle_bytes(&self, kind: Kind, count: usize) -> Result<Vec<f64>> {
        let sandboxes = try_join_all((0..count).map(|_| self.start_one(kind))).await?;
        // What a start takes is given back by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut bytes = Vec::new();
        for sandbox in &sandboxes {
            let memory = sandbox.stats().await?.memory_bytes;
            bytes.push(memory as f64);
        }
        try_join_all(sandboxes.iter().map(|sandbox| self.remove(sandbox))).await?;
        Ok(bytes)
    }

    /// `true` run again and again in a sandbox, in milliseconds.
    pub(crate) async fn exec(&self, count: usize) -> Result<Vec<f64>> {
        let sandbox = self.make().await?;
        let mut samples = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            run_true(&sandbox).await?;
            samples.push(began.elapsed().as_secs_f64() * 1e3);
        }
        self.remove(&sandbox).await?;
        Ok(samples)
    }

    pub(crate) async fn end(self) -> Result<()> {
        Ok(self.isolation.dispose().await?)
    }
}

async fn run_true(sandbox: &Arc<dyn Environment>) -> Result<()> {
    let client = GuestClient::new(Arc::clone(sandbox));
    let (code, said) = client.run("root", &["/bin/true"]).await?;
    ensure!(code == Some(0), "true ended with {code:?}: {said}");
    Ok(())
}
