//! What a driver does, as futures that can be dropped at any time.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use helix_isolation::{Environment, lifecycle::Work};
use helix_proto::sandbox::{
    SandboxEnd, SandboxEndKind,
    host::{Origin, SandboxSpec},
};

use super::{Sandbox, phases::Phases};
use crate::{
    failure::{end, end_of},
    sandboxes::Sandboxes,
};

/// The environment, if there is one after it.
pub(super) type Done = Result<Option<Arc<dyn Environment>>, SandboxEnd>;

/// Begins a piece of work.
pub(super) fn begin(
    work: Work,
    sandbox: Sandbox,
    all: Sandboxes,
    phases: Arc<Phases>,
) -> BoxFuture<'static, Done> {
    async move {
        match work {
            Work::Create => create(&sandbox, &all).await,
            Work::Remove => remove(&sandbox).await,
            Work::Start => {
                let environment = environment(&sandbox)?;
                has_room(&sandbox)?;
                let started = environment.start(phases.as_ref()).await;
                finished(environment, started)
            }
            Work::Pause => {
                let environment = environment(&sandbox)?;
                let paused = environment.pause().await;
                finished(environment, paused)
            }
            Work::Resume => {
                let environment = environment(&sandbox)?;
                let resumed = environment.resume().await;
                finished(environment, resumed)
            }
            Work::Stop => {
                let environment = environment(&sandbox)?;
                let stopped = environment.stop().await;
                finished(environment, stopped)
            }
        }
    }
    .boxed()
}

fn finished(environment: Arc<dyn Environment>, done: Result<(), helix_isolation::Error>) -> Done {
    done.map(|()| Some(environment))
        .map_err(|error| end_of(&error))
}

fn environment(sandbox: &Sandbox) -> Result<Arc<dyn Environment>, SandboxEnd> {
    let missing = |_| end(SandboxEndKind::Internal, "it has no files");
    sandbox.environment().map_err(missing)
}

fn has_room(sandbox: &Sandbox) -> Result<(), SandboxEnd> {
    let full = |why| end(SandboxEndKind::DiskFull, why);
    sandbox.inner.shared.machine.check_disk().map_err(full)
}

async fn create(sandbox: &Sandbox, all: &Sandboxes) -> Done {
    has_room(sandbox)?;
    let shared = &sandbox.inner.shared;
    let mut spec: SandboxSpec = sandbox.spec();
    for (name, value) in &shared.env {
        spec.env
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    // The other must not be removed while its files are copied.
    let _files = match spec.origin {
        Some(Origin::Sandbox(origin)) => match all.find(origin) {
            Some(origin) => Some(Arc::clone(&origin.inner.files).read_owned().await),
            None => None,
        },
        _ => None,
    };
    let made = shared.isolation.create(&spec).await;
    made.map(Some).map_err(|error| end_of(&error))
}

async fn remove(sandbox: &Sandbox) -> Done {
    let _files = Arc::clone(&sandbox.inner.files).write_owned().await;
    let removed = sandbox.inner.shared.isolation.remove(sandbox.id()).await;
    removed.map(|()| None).map_err(|error| end_of(&error))
}
