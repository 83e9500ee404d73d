//! What a backend's callers do with a sandbox.

use std::fs;

use async_trait::async_trait;
use helix_proto::{
    SnapshotId,
    sandbox::{Egress, SandboxEnd, SandboxEndKind, SandboxLimits, SandboxStats, host::SandboxSpec},
};

use super::{Running, Sandbox};
use crate::{
    Connection, Environment, Error, ErrorKind, Watch,
    namespaces::{cgroup, create::Source as _, disk, origins},
    network::policy::Policy,
};

#[async_trait]
impl Environment for Sandbox {
    fn spec(&self) -> SandboxSpec {
        self.facts().spec.clone()
    }

    async fn start(&self, watch: &dyn Watch) -> Result<(), Error> {
        let turn = self.turn().await?;
        self.launch(watch, turn).await
    }

    async fn pause(&self) -> Result<(), Error> {
        let _turn = self.turn().await?;
        self.freeze(true).await
    }

    async fn resume(&self) -> Result<(), Error> {
        let _turn = self.turn().await?;
        self.freeze(false).await
    }

    async fn stop(&self) -> Result<(), Error> {
        let _turn = self.turn().await?;
        self.clear().await
    }

    async fn set_egress(&self, egress: &Egress) -> Result<(), Error> {
        let _turn = self.turn().await?;
        Policy::parse(egress)?;
        let backend = self.backend()?;
        backend.check_egress(egress)?;
        let slot = self.running().and(self.slot(&backend)?);
        if let (Some(slot), Some(networks)) = (slot, &backend.networks) {
            networks.set_egress(&slot, egress).await?;
        }
        self.change_spec(|spec| spec.egress = egress.clone())
    }

    async fn set_limits(&self, limits: &SandboxLimits) -> Result<(), Error> {
        self.change_limits(limits).await
    }

    async fn snapshot(&self, id: SnapshotId) -> Result<u64, Error> {
        let held = self.hold().await?;
        let path = self.places.snapshot(&id.to_string());
        let (places, layers) = (self.places.clone(), self.state().layers);
        let images = self.backend()?.docker_images.clone();
        let copied = tokio::task::spawn_blocking(move || {
            if !path.exists() {
                images.share(&held.name, &id.to_string())?;
                let temporary = path.with_extension("new");
                let failed = |error| Error::io("keeping the snapshot", error);
                disk::remove(&temporary).map_err(failed)?;
                held.copy_to(&temporary)?;
                origins::keep(&places, id, &layers)?;
                fs::rename(&temporary, &path).map_err(failed)?;
            }
            disk::used(&path).map_err(|error| Error::io(path.display(), error))
        });
        copied
            .await
            .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?
    }

    async fn stats(&self) -> Result<SandboxStats, Error> {
        let backend = self.backend()?;
        let failed = |error| Error::io(format_args!("reading the accounts of {}", self.id), error);
        let usage = match (self.running(), self.state().cgroups) {
            (Some(running), Some(cgroups)) => cgroups.usage(running.first()).map_err(failed)?,
            _ => cgroup::Usage::default(),
        };
        let (sent_bytes, received_bytes) = match (self.slot(&backend)?, &backend.networks) {
            (Some(slot), Some(networks)) => networks.counters(&slot).await?,
            _ => (0, 0),
        };
        let now = backend.clock.now();
        let mut facts = self.facts();
        let before = facts.measured.replace((now, usage.cpu_us));
        let cpu_millis = before.map_or(0, |(then, cpu_us)| {
            let elapsed = now.duration_since(then).as_micros().max(1);
            let used = u128::from(usage.cpu_us.saturating_sub(cpu_us)) * 1000 / elapsed;
            u32::try_from(used).unwrap_or(u32::MAX)
        });
        Ok(SandboxStats {
            at_ms: backend.clock.now_ms(),
            cpu_us: usage.cpu_us,
            cpu_millis,
            memory_bytes: usage.memory_bytes,
            memory_limit_bytes: facts.spec.limits.memory_bytes,
            pids: usage.pids,
            disk_bytes: disk::used(&self.places.disk(&self.name)).map_err(failed)?,
            disk_limit_bytes: facts.spec.limits.disk_bytes,
            sent_bytes,
            received_bytes,
        })
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        if self.running().is_none() || self.is_paused() {
            let why = if self.is_paused() {
                "is paused"
            } else {
                "does not run"
            };
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the sandbox {} {why}", self.id),
            ));
        }
        self.dial()
            .await
            .map(|stream| Box::new(stream) as Box<dyn Connection>)
    }

    async fn ended(&self) -> SandboxEnd {
        let mut process = self.process.subscribe();
        let running = loop {
            let running = process.borrow_and_update().clone();
            if let Some(running) = running {
                break running;
            }
            if process.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        running.process.ended().await;
        self.why(&running)
    }
}

impl Sandbox {
    async fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let (Some(running), Some(cgroups)) = (self.running(), self.state().cgroups) else {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the sandbox {} does not run", self.id),
            ));
        };
        let failed = |error| Error::io("freezing its processes", error);
        self.change(|state| state.paused = frozen)?;
        cgroups.freeze(frozen, running.first()).map_err(failed)?;
        let what = if frozen {
            "its processes do not stand still"
        } else {
            "its processes do not go on"
        };
        self.until(what, || {
            let now = cgroups.is_frozen(running.first());
            now.is_ok_and(|now| now == frozen) || self.running().is_none()
        })
        .await
    }

    /// Why its first process ended.
    fn why(&self, before: &Running) -> SandboxEnd {
        let stopping = self
            .process
            .borrow()
            .as_ref()
            .is_none_or(|running| running.stopping);
        if stopping {
            return SandboxEnd {
                kind: SandboxEndKind::Requested,
                message: "it was stopped".into(),
            };
        }
        let killed = self
            .state()
            .cgroups
            .and_then(|cgroups| cgroups.out_of_memory().ok());
        if killed.is_some_and(|killed| killed > before.out_of_memory) {
            let limit = self.facts().spec.limits.memory_bytes;
            return SandboxEnd {
                kind: SandboxEndKind::OutOfMemory,
                message: format!(
                    "it used all of its {limit} bytes of memory; start it again, with a higher limit"
                ),
            };
        }
        SandboxEnd {
            kind: SandboxEndKind::Exited,
            message: "its first process ended; start it again".into(),
        }
    }
}
