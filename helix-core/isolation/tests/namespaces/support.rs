//! What the tests share.

#![expect(clippy::unwrap_used, reason = "tests, without the standard harness")]

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use helix_base::{Clock, Ids, SystemClock, TaskGroup};
use helix_isolation::{
    Environment, GuestClient, Isolation as _, Watch,
    namespaces::{Namespaces, Options},
};
use helix_proto::{
    SandboxId,
    sandbox::{Egress, Rootfs, SandboxLimits, SandboxPhase, host::SandboxSpec},
};
use libtest_mimic::{Failed, Trial};
use rustix::process::Pid;
use tempfile::TempDir;

/// Why no sandbox can be made here.
pub(crate) fn unable() -> Option<&'static str> {
    (!rustix::process::geteuid().is_root()).then_some("needs root")
}

/// So many seconds, or as many times as long as the machine that runs the tests is slow, as
/// one that is emulated.
pub(crate) fn patience(seconds: u64) -> Duration {
    let slow = std::env::var("HELIX_TEST_SLOWNESS").ok();
    let times = slow.and_then(|times| times.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds * times)
}

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
                tokio::time::timeout(patience(120), test())
                    .await
                    .map_err(|_| Failed::from("took more than two minutes, or as much longer"))
            })
    })
}

/// What sandboxes of a place are started with: this program, under a name of the place's own
/// by which its processes are told from those of other places. Where it is in memory only, it
/// has no other name.
pub(crate) fn program(place: &Path) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    if own.is_file() {
        place.join("program")
    } else {
        Options::new(place).program
    }
}

/// A backend as a daemon makes it when it starts.
pub(crate) async fn open(place: &Path, tasks: &TaskGroup) -> Namespaces {
    let program = program(place);
    if !program.exists() {
        let own = std::env::current_exe().unwrap();
        // It may be on another file system.
        if std::fs::hard_link(&own, &program).is_err() {
            std::fs::copy(&own, &program).unwrap();
        }
    }
    let options = Options {
        program,
        ..Options::new(place)
    };
    let opened = Namespaces::new(options, Arc::new(SystemClock), tasks.clone()).await;
    opened.unwrap()
}

/// Ends what a daemon does in the background, as its end does.
pub(crate) async fn shut_down(tasks: &TaskGroup) {
    tasks.cancel();
    let report = tasks.shutdown(Duration::from_secs(30)).await;
    assert!(report.aborted.is_empty(), "{report:?}");
}

/// A backend in a directory of its own, which goes with it.
pub(crate) struct Place {
    pub(crate) directory: Directory,
    pub(crate) backend: Option<Namespaces>,
    tasks: TaskGroup,
    ids: Ids,
}

/// A directory of this test's, or of the test's that started this process.
pub(crate) enum Directory {
    Own(TempDir),
    Other(PathBuf),
}

impl Directory {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Other(path) => path,
        }
    }
}

impl Place {
    pub(crate) async fn new() -> Self {
        let mut place = Self::at(Path::new(""));
        place.directory = Directory::Own(tempfile::tempdir().unwrap());
        place.open().await;
        place
    }

    /// Without a backend yet.
    pub(crate) fn at(path: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            directory: Directory::Other(path.to_owned()),
            backend: None,
            tasks: TaskGroup::new(),
            ids: Ids::new(clock),
        }
    }

    /// As a daemon that starts again.
    pub(crate) async fn open(&mut self) {
        self.end().await;
        self.backend = Some(open(self.directory.path(), &self.tasks).await);
    }

    /// As a daemon that ends.
    pub(crate) async fn end(&mut self) {
        self.backend = None;
        shut_down(&self.tasks).await;
        self.tasks = TaskGroup::new();
    }

    /// The host's id of a sandbox's first process.
    pub(crate) fn first_process(&self, id: SandboxId) -> Pid {
        let state = self.directory.path().join("sandboxes").join(id.to_string());
        let state = std::fs::read(state.join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        let pid = state["process"]["pid"].as_i64().unwrap();
        Pid::from_raw(pid.try_into().unwrap()).unwrap()
    }

    pub(crate) fn backend(&self) -> &Namespaces {
        self.backend.as_ref().unwrap()
    }

    pub(crate) fn spec(&self) -> SandboxSpec {
        SandboxSpec {
            id: self.ids.next::<SandboxId>(),
            name: "Test box".into(),
            rootfs: Rootfs::Host,
            egress: Egress::Open,
            limits: SandboxLimits {
                cpu_millis: 1_000,
                memory_bytes: 256 << 20,
                pids: 64,
                disk_bytes: 256 << 20,
                open_files: 256,
            },
            docker: false,
            desktop: None,
            env: BTreeMap::new(),
            idle_timeout_ms: None,
            expires_at_ms: None,
            origin: None,
        }
    }

    /// A sandbox that runs.
    pub(crate) async fn start(&self, spec: &SandboxSpec) -> Arc<dyn Environment> {
        let sandbox = self.backend().create(spec).await.unwrap();
        sandbox.start(&Phases::default()).await.unwrap();
        sandbox
    }

    /// Removes everything, and the control groups that held it.
    pub(crate) async fn close(self) {
        for found in self.backend().found().await.unwrap() {
            let id = found.environment.spec().id;
            self.backend().remove(id).await.unwrap();
        }
        self.backend().dispose().await.unwrap();
        shut_down(&self.tasks).await;
    }
}

/// Phases in the order in which they were heard of.
#[derive(Debug, Default)]
pub(crate) struct Phases(pub(crate) Mutex<Vec<SandboxPhase>>);

impl Watch for Phases {
    fn phase(&self, phase: SandboxPhase) {
        self.0.lock().unwrap().push(phase);
    }
}

/// What a shell command of the sandbox's root prints.
pub(crate) async fn sh(sandbox: &Arc<dyn Environment>, command: &str) -> String {
    sh_as("root", sandbox, command).await
}

/// What a shell command of a user prints.
pub(crate) async fn sh_as(user: &str, sandbox: &Arc<dyn Environment>, command: &str) -> String {
    let client = GuestClient::new(Arc::clone(sandbox)).with_patience(patience(60));
    let command = ["/bin/sh", "-c", command];
    client.run(user, &command).await.unwrap().1
}

/// Whether something holds within 20 seconds.
pub(crate) async fn within(mut holds: impl FnMut() -> bool) -> bool {
    let asked = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience(20), asked).await.is_ok()
}
