//! An isolation in memory, for unit tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use helix_isolation::{
    Connection, Environment, Error, ErrorKind, Found, FoundState, Isolation, Watch,
};
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{
        Egress, Rootfs, SandboxEnd, SandboxLimits, SandboxPhase, SandboxStats,
        host::{HostCapability, HostImage, SandboxSpec},
    },
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::sync::watch;

/// A sandbox that is like all others but for its id.
pub(crate) fn spec(number: u8) -> SandboxSpec {
    SandboxSpec {
        id: helix_proto::TypedId::from_parts(1, number.into()),
        name: format!("sandbox-{number}"),
        rootfs: Rootfs::Host,
        egress: Egress::Open,
        limits: SandboxLimits::DEFAULT,
        docker: false,
        desktop: None,
        env: BTreeMap::new(),
        idle_timeout_ms: None,
        expires_at_ms: None,
        origin: None,
    }
}

/// Sandboxes that outlive a host, as real ones do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mock {
    pub(crate) made: Arc<Mutex<HashMap<SandboxId, Arc<Sandbox>>>>,
    pub(crate) snapshots: Arc<Mutex<HashMap<SnapshotId, u64>>>,
    /// What was written into sandboxes, by path.
    pub(crate) files: Arc<Mutex<HashMap<String, Bytes>>>,
    /// What runs inside every sandbox, in place of what tests of the relay have there.
    pub(crate) inside: Arc<Mutex<Option<axum::Router>>>,
    pub(crate) images: Arc<Mutex<Vec<HostImage>>>,
    /// Starts wait for ever.
    pub(crate) stuck: Arc<AtomicBool>,
    /// The next start fails with this.
    pub(crate) fails: Arc<Mutex<Option<ErrorKind>>>,
}

#[derive(Debug)]
pub(crate) struct Sandbox {
    spec: Mutex<SandboxSpec>,
    pub(crate) state: watch::Sender<FoundState>,
    mock: Mock,
}

impl Mock {
    pub(crate) fn get(&self, id: SandboxId) -> Option<Arc<Sandbox>> {
        self.made.lock().unwrap().get(&id).cloned()
    }
}

#[async_trait]
impl Isolation for Mock {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn capabilities(&self) -> Vec<HostCapability> {
        vec![HostCapability {
            name: "network".to_owned(),
            available: false,
            detail: "it is in memory".to_owned(),
        }]
    }

    async fn images(&self) -> Result<Vec<HostImage>, Error> {
        Ok(self.images.lock().unwrap().clone())
    }

    async fn found(&self) -> Result<Vec<Found>, Error> {
        let made = self.made.lock().unwrap();
        let found = made.values().map(|sandbox| Found {
            environment: Arc::clone(sandbox) as Arc<dyn Environment>,
            state: *sandbox.state.borrow(),
        });
        Ok(found.collect())
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Environment>, Error> {
        if let Rootfs::Image { image } = &spec.rootfs {
            let message = format!("there is no image {image}");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let sandbox = Arc::new(Sandbox {
            spec: Mutex::new(spec.clone()),
            state: watch::Sender::new(FoundState::Stopped),
            mock: self.clone(),
        });
        let mut made = self.made.lock().unwrap();
        Ok(Arc::clone(made.entry(spec.id).or_insert(sandbox)) as _)
    }

    async fn remove(&self, id: SandboxId) -> Result<(), Error> {
        self.made.lock().unwrap().remove(&id);
        Ok(())
    }

    async fn snapshots(&self) -> Result<Vec<(SnapshotId, u64)>, Error> {
        let snapshots = self.snapshots.lock().unwrap();
        Ok(snapshots.iter().map(|(id, size)| (*id, *size)).collect())
    }

    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.snapshots.lock().unwrap().remove(&id);
        Ok(())
    }
}

#[async_trait]
impl Environment for Sandbox {
    fn spec(&self) -> SandboxSpec {
        self.spec.lock().unwrap().clone()
    }

    async fn start(&self, watch: &dyn Watch) -> Result<(), Error> {
        watch.phase(SandboxPhase::Isolation);
        if self.mock.stuck.load(Ordering::Relaxed) {
            watch.phase(SandboxPhase::Guest);
            std::future::pending::<()>().await;
        }
        if let Some(kind) = self.mock.fails.lock().unwrap().take() {
            return Err(Error::new(kind, "it was told to fail"));
        }
        watch.phase(SandboxPhase::Guest);
        self.state.send_replace(FoundState::Running);
        Ok(())
    }

    async fn pause(&self) -> Result<(), Error> {
        self.state.send_replace(FoundState::Paused);
        Ok(())
    }

    async fn resume(&self) -> Result<(), Error> {
        self.state.send_replace(FoundState::Running);
        Ok(())
    }

    async fn stop(&self) -> Result<(), Error> {
        self.state.send_replace(FoundState::Stopped);
        Ok(())
    }

    async fn set_egress(&self, egress: &Egress) -> Result<(), Error> {
        self.spec.lock().unwrap().egress = egress.clone();
        Ok(())
    }

    async fn set_limits(&self, limits: &SandboxLimits) -> Result<(), Error> {
        let mut spec = self.spec.lock().unwrap();
        if limits.disk_bytes < spec.limits.disk_bytes {
            return Err(Error::new(ErrorKind::Invalid, "a disk only grows"));
        }
        spec.limits = *limits;
        Ok(())
    }

    async fn snapshot(&self, id: SnapshotId) -> Result<u64, Error> {
        self.mock.snapshots.lock().unwrap().insert(id, 7);
        Ok(7)
    }

    async fn stats(&self) -> Result<SandboxStats, Error> {
        Ok(SandboxStats {
            at_ms: 5,
            pids: 3,
            ..SandboxStats::default()
        })
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let inside = self.mock.inside.lock().unwrap().clone();
        let inside = inside.unwrap_or_else(|| crate::tests::guest(Arc::clone(&self.mock.files)));
        let service = TowerToHyperService::new(inside);
        #[expect(clippy::disallowed_methods, reason = "it ends with its connection")]
        tokio::spawn(async move {
            let server = hyper::server::conn::http1::Builder::new();
            let serving = server.serve_connection(TokioIo::new(theirs), service);
            let _ = serving.with_upgrades().await;
        });
        Ok(Box::new(ours))
    }

    async fn ended(&self) -> SandboxEnd {
        let mut state = self.state.subscribe();
        // Only a test ends it so: a stop of the host does not wait for it.
        let _ = state.wait_for(|state| *state == FoundState::Stopped).await;
        crate::failure::end(
            helix_proto::sandbox::SandboxEndKind::Exited,
            "the first process ended",
        )
    }
}
