//! A backend in a directory of its own.

use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use helix_base::{Ids, SystemClock, TaskGroup};
use helix_isolation::{
    Environment, GuestClient, Isolation as _, Watch,
    containers::{Containers, Options},
    network::{self, Networks},
};
use helix_proto::sandbox::{Egress, Rootfs, SandboxLimits, SandboxPhase, host::SandboxSpec};
use libtest_mimic::{Failed, Trial};

use crate::daemon::{IMAGE, directory, socket};

/// A test that is a future.
pub(crate) fn trial<F: Future<Output = ()>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Failed::from)?
            .block_on(async {
                let patience = Duration::from_secs(600);
                let late = |_| Failed::from("took more than ten minutes");
                tokio::time::timeout(patience, test()).await.map_err(late)
            })
    })
}

/// Where one backend after the other keeps its sandboxes.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    tasks: Mutex<TaskGroup>,
    pub(crate) ids: Ids,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            data: directory().join(name),
            tasks: Mutex::default(),
            ids: Ids::new(Arc::new(SystemClock)),
        }
    }

    /// A backend, as a process that starts again makes it.
    pub(crate) async fn open(&self) -> Containers {
        let tasks = TaskGroup::new();
        let old = std::mem::replace(&mut *self.tasks.lock().unwrap(), tasks.clone());
        old.shutdown(Duration::from_secs(3)).await;
        let clock = Arc::new(SystemClock);
        let network = network::Options::for_data_dir(&self.data);
        let networks = Networks::open(&network, clock.clone(), &tasks).await;
        let mut options = Options::new(&self.data);
        options.socket = socket(&directory());
        let opened = Containers::open(&options, networks.unwrap(), clock, tasks);
        opened.await.unwrap()
    }

    pub(crate) fn spec(&self) -> SandboxSpec {
        SandboxSpec {
            id: self.ids.next(),
            name: "Test box".into(),
            rootfs: Rootfs::Image {
                image: IMAGE.into(),
            },
            egress: Egress::Open,
            limits: SandboxLimits {
                cpu_millis: 1_000,
                memory_bytes: 64 << 20,
                pids: 64,
                disk_bytes: 256 << 20,
                open_files: 256,
            },
            docker: false,
            desktop: None,
            env: [("OF_SPEC".to_owned(), "yes".to_owned())].into(),
            idle_timeout_ms: None,
            expires_at_ms: None,
            origin: None,
        }
    }
}

/// A sandbox that runs.
pub(crate) async fn started(backend: &Containers, spec: &SandboxSpec) -> Arc<dyn Environment> {
    let sandbox = backend.create(spec).await.unwrap();
    sandbox.start(&Phases::default()).await.unwrap();
    sandbox
}

/// Phases in the order in which they were heard of.
#[derive(Debug, Default)]
pub(crate) struct Phases(pub(crate) Mutex<Vec<SandboxPhase>>);

impl Watch for Phases {
    fn phase(&self, phase: SandboxPhase) {
        self.0.lock().unwrap().push(phase);
    }
}

/// What a shell command prints, and its exit code.
pub(crate) async fn tried(
    sandbox: &Arc<dyn Environment>,
    user: &str,
    script: &str,
) -> (Option<i32>, String) {
    let client = GuestClient::new(Arc::clone(sandbox)).with_patience(Duration::from_secs(20));
    let ran = client.run(user, &["/bin/sh", "-c", script]).await;
    ran.unwrap()
}

/// What a shell command prints that must succeed.
pub(crate) async fn sh(sandbox: &Arc<dyn Environment>, script: &str) -> String {
    let (code, output) = tried(sandbox, "root", script).await;
    assert_eq!(code, Some(0), "{script}: {output}");
    output
}
