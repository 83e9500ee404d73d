//! Starts the daemon, and starts it again.

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use helix_base::{Clock, TaskGroup};
use helix_proto::sandbox::{SandboxLog, guest::ServiceStatus};

use super::{DATA, SOCKET, api, images, images::DockerImage, names::Directory, prepare};
use crate::{
    guest::Reaper,
    service::{End, Service},
};

/// Until the daemon answers for the first time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked whether it does.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The Docker daemon of a sandbox. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Docker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    service: Service,
    names: Directory,
    env: BTreeMap<String, String>,
    images: Vec<DockerImage>,
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
        let shared = Arc::new(Shared {
            names: Directory::new(SOCKET.into(), clock.clone()),
            service: Service::new("dockerd", "docker", reaper, clock, tasks),
            env,
            images,
        });
        let kept = shared.clone();
        tasks.spawn("docker", async move {
            kept.service.keep(|| Arc::clone(&kept).run()).await;
        });
        Self { shared }
    }

    /// How it is now.
    pub fn status(&self) -> ServiceStatus {
        self.shared.service.status()
    }

    /// How it is when it no longer starts, or after `patience`.
    pub async fn settled(&self, patience: Duration) -> ServiceStatus {
        self.shared.service.settled(patience).await
    }

    /// The names of its containers.
    pub fn names(&self) -> &Directory {
        &self.shared.names
    }

    /// The newest lines that it wrote.
    pub fn log(&self, lines: usize) -> SandboxLog {
        self.shared.service.log(lines)
    }
}

impl Shared {
    /// One start, to its end.
    async fn run(self: Arc<Self>) -> io::Result<End> {
        let prepared = self.clone();
        let started = tokio::task::spawn_blocking(move || {
            let mut command = prepare::command(&prepared.env)?;
            images::give(&prepared.images, Path::new(images::SHOWN), Path::new(DATA)).map_err(
                |error| io::Error::other(format!("giving it the host's images: {error}")),
            )?;
            prepared.service.spawn(&mut command)
        });
        let (process, lines) = started.await.map_err(io::Error::other)??;
        self.service.began(lines);
        let names = self.names.follow();
        self.service
            .follow(process, answers(), READY_WITHIN, names)
            .await
    }
}

/// Returns when the daemon answers.
async fn answers() {
    while api::get(Path::new(SOCKET), "/_ping").await.is_err() {
        tokio::time::sleep(ASK_EVERY).await;
    }
}
