//! The contract of [`Isolation`] and [`Environment`] as a kit of checks, one for each
//! bullet, to be run on every backend, and on one that breaks a bullet and must fail.

mod checks;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use helix_proto::{
    SandboxId, TypedId as _,
    sandbox::{
        Egress, Rootfs, SandboxLimits, SandboxPhase,
        host::{Origin, SandboxSpec},
    },
};

use crate::{Environment, Isolation, Watch};

/// A backend under test.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// The backend, made anew over the same place each time, as a process that starts
    /// again would make it. The one before is gone by then.
    async fn backend(&self) -> Arc<dyn Isolation>;

    /// A root file system that works, with a shell at `/bin/sh`.
    fn rootfs(&self) -> Rootfs;
}

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the contract says.
    pub bullet: &'static str,
    /// What was seen instead, if anything.
    pub result: Result<(), String>,
}

/// How all checks went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of the contract.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// The bullets that do not hold.
    pub fn broken(&self) -> Vec<&'static str> {
        let broken = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.result.is_err());
        broken.map(|outcome| outcome.bullet).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Outcome { bullet, result } in &self.outcomes {
            match result {
                Ok(()) => writeln!(f, "ok      {bullet}")?,
                Err(why) => writeln!(f, "BROKEN  {bullet}: {why}")?,
            }
        }
        Ok(())
    }
}

/// What a check works with: a backend, and the sandboxes that it made.
struct Bench<'a> {
    subject: &'a dyn Subject,
    /// None while it is made anew.
    isolation: Mutex<Option<Arc<dyn Isolation>>>,
    made: Mutex<Vec<SandboxId>>,
}

/// Hears nothing.
struct Quiet;

impl Watch for Quiet {
    fn phase(&self, _: SandboxPhase) {}
}

type Check = for<'a> fn(&'a Bench<'a>) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>>;
type Outcomes = Result<(), String>;

macro_rules! checks {
    ($($bullet:literal => $check:ident,)*) => {
        &[$(($bullet, |bench| Box::pin(checks::$check(bench)))),*]
    };
}

/// The bullets of the contract.
const CHECKS: &[(&str, Check)] = checks! {
    "create makes files only" => create_makes_files_only,
    "create is idempotent by id" => create_is_idempotent,
    "a create that fails leaves nothing" => a_failed_create_leaves_nothing,
    "limits that cannot be kept are refused" => absurd_limits_are_refused,
    "start returns when the guest answers, and starting what runs does nothing" => start_means_ready,
    "a start that is dropped leaves nothing running" => a_dropped_start_leaves_nothing_running,
    "stop ends every process, keeps the files, and is idempotent" => stop_keeps_files,
    "stop ends a sandbox that is paused" => stop_ends_what_is_paused,
    "a paused sandbox stands still, refuses to be asked, and goes on" => pause_stands_still,
    "pausing what does not run is refused" => pause_needs_something_running,
    "a policy that cannot be read is refused, and one that can is kept" => egress_is_kept,
    "limits change while it runs and hold at once, and what cannot be is refused" => limits_change,
    "a snapshot is idempotent, and a sandbox can start from it" => snapshots_hold_files,
    "a fork has the files of a sandbox that runs, and goes its own way" => forks_go_their_own_way,
    "an origin or image that is not there is refused" => missing_origins_are_refused,
    "a process that starts again finds what runs and what does not" => what_runs_is_found_again,
    "what uses memory is accounted for" => use_is_accounted_for,
    "the end of a sandbox is heard of" => the_end_is_heard_of,
    "remove is idempotent in any state, also twice at once, and leaves nothing" => remove_leaves_nothing,
};

/// Runs every check on a backend.
pub async fn run(subject: &dyn Subject) -> Report {
    let mut outcomes = Vec::new();
    for (bullet, check) in CHECKS {
        let bench = Bench {
            subject,
            isolation: Mutex::new(Some(subject.backend().await)),
            made: Mutex::default(),
        };
        let mut result = check(&bench).await;
        if let Err(why) = bench.clear().await {
            result = result.and(Err(format!("cannot be removed: {why}")));
        }
        outcomes.push(Outcome { bullet, result });
    }
    Report { outcomes }
}

impl Bench<'_> {
    fn isolation(&self) -> Result<Arc<dyn Isolation>, String> {
        let isolation = self
            .isolation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        isolation.clone().ok_or("it is being made anew".to_owned())
    }

    /// Whether the backend says that it can do something.
    fn can(&self, name: &str) -> Result<bool, String> {
        let capabilities = self.isolation()?.capabilities();
        Ok(capabilities
            .iter()
            .any(|one| one.name == name && one.available))
    }

    /// Makes the backend anew. What the check holds of the old one must be gone.
    async fn restart(&self) {
        let old = self
            .isolation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(old);
        let new = self.subject.backend().await;
        *self
            .isolation
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(new);
    }

    /// What a sandbox is made from, with an id that no other has.
    fn spec(&self) -> SandboxSpec {
        let id = SandboxId::from_parts(rand::random::<u64>() >> 16, rand::random());
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id);
        SandboxSpec {
            id,
            name: "conformance".to_owned(),
            rootfs: self.subject.rootfs(),
            egress: Egress::None,
            limits: SandboxLimits {
                cpu_millis: 1_000,
                memory_bytes: 256 << 20,
                pids: 128,
                disk_bytes: 128 << 20,
                open_files: 1_024,
            },
            docker: false,
            desktop: None,
            env: Default::default(),
            idle_timeout_ms: None,
            expires_at_ms: None,
            origin: None,
        }
    }

    fn spec_from(&self, origin: Origin) -> SandboxSpec {
        SandboxSpec {
            origin: Some(origin),
            ..self.spec()
        }
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Environment>, String> {
        let made = self.isolation()?.create(spec).await;
        made.map_err(|why| format!("create: {why}"))
    }

    async fn started(&self) -> Result<Arc<dyn Environment>, String> {
        let sandbox = self.create(&self.spec()).await?;
        start(&sandbox).await?;
        Ok(sandbox)
    }

    async fn clear(&self) -> Result<(), String> {
        let made = self.made.lock().map(|made| made.clone());
        for id in made.unwrap_or_default() {
            let removed = self.isolation()?.remove(id).await;
            removed.map_err(|why| why.to_string())?;
        }
        Ok(())
    }
}

async fn start(sandbox: &Arc<dyn Environment>) -> Result<(), String> {
    let started = sandbox.start(&Quiet).await;
    started.map_err(|why| format!("start: {why}"))
}
