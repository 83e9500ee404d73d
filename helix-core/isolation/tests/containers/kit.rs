//! The contract.

use std::sync::Arc;

use async_trait::async_trait;
use helix_isolation::{
    Connection, Environment, Error, Found, Isolation,
    conformance::{self, Subject},
    containers::Containers,
};
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{
        Egress, Rootfs, SandboxEnd, SandboxLimits, SandboxStats,
        host::{HostCapability, SandboxSpec},
    },
};
use libtest_mimic::Trial;

use crate::{
    daemon::IMAGE,
    place::{Place, trial},
};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial("the contract holds for containers", || async {
        let place = Place::new("kit");
        let report = conformance::run(&Whole(place)).await;
        println!("{report}");
        assert_eq!(report.broken(), Vec::<&str>::new(), "{report}");
    }));
    trials.push(trial(
        "the kit finds out a backend whose pause does nothing",
        || async {
            let place = Place::new("mutant");
            let report = conformance::run(&Mutant(place)).await;
            let expected = [
                "a paused sandbox stands still, refuses to be asked, and goes on",
                "pausing what does not run is refused",
                "a process that starts again finds what runs and what does not",
            ];
            assert_eq!(report.broken(), expected, "{report}");
        },
    ));
}

fn rootfs() -> Rootfs {
    Rootfs::Image {
        image: IMAGE.into(),
    }
}

#[derive(Debug)]
struct Whole(Place);

#[async_trait]
impl Subject for Whole {
    async fn backend(&self) -> Arc<dyn Isolation> {
        Arc::new(self.0.open().await)
    }

    fn rootfs(&self) -> Rootfs {
        rootfs()
    }
}

#[derive(Debug)]
struct Mutant(Place);

#[async_trait]
impl Subject for Mutant {
    async fn backend(&self) -> Arc<dyn Isolation> {
        Arc::new(Restless(self.0.open().await))
    }

    fn rootfs(&self) -> Rootfs {
        rootfs()
    }
}

/// Says that it pauses, and does not.
#[derive(Debug)]
struct Restless(Containers);

#[async_trait]
impl Isolation for Restless {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Vec<HostCapability> {
        self.0.capabilities()
    }

    async fn found(&self) -> Result<Vec<Found>, Error> {
        let found = self.0.found().await?.into_iter();
        Ok(found
            .map(|one| Found {
                environment: Arc::new(Unpaused(one.environment)),
                state: one.state,
            })
            .collect())
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Environment>, Error> {
        Ok(Arc::new(Unpaused(self.0.create(spec).await?)))
    }

    async fn remove(&self, id: SandboxId) -> Result<(), Error> {
        self.0.remove(id).await
    }

    async fn snapshots(&self) -> Result<Vec<(SnapshotId, u64)>, Error> {
        self.0.snapshots().await
    }

    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.0.remove_snapshot(id).await
    }
}

#[derive(Debug)]
struct Unpaused(Arc<dyn Environment>);

#[async_trait]
impl Environment for Unpaused {
    fn spec(&self) -> SandboxSpec {
        self.0.spec()
    }

    async fn start(&self, watch: &dyn helix_isolation::Watch) -> Result<(), Error> {
        self.0.start(watch).await
    }

    async fn pause(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn resume(&self) -> Result<(), Error> {
        self.0.resume().await
    }

    async fn stop(&self) -> Result<(), Error> {
        self.0.stop().await
    }

    async fn set_egress(&self, egress: &Egress) -> Result<(), Error> {
        self.0.set_egress(egress).await
    }

    async fn set_limits(&self, limits: &SandboxLimits) -> Result<(), Error> {
        self.0.set_limits(limits).await
    }

    async fn snapshot(&self, id: SnapshotId) -> Result<u64, Error> {
        self.0.snapshot(id).await
    }

    async fn stats(&self) -> Result<SandboxStats, Error> {
        self.0.stats().await
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        self.0.connect().await
    }

    async fn ended(&self) -> SandboxEnd {
        self.0.ended().await
    }
}
