//! What runs inside a sandbox and answers for it: programs, terminals, files, ports.
//!
//! The routes are in [`helix_proto::sandbox::guest`]; they are served as HTTP/1.1 on a
//! Unix socket that the backend bound outside. [`run`] is the first process of a
//! sandbox: it serves them, collects every process that ends, and ends on `SIGTERM`.
//! [`router`] is the same without being the first process, for embedding and tests.
//!
//! Everything a caller or a program can make grow is bounded:
//!
//! | what | bound |
//! |---|---|
//! | connections | 512 |
//! | a JSON body | 4 MiB |
//! | programs that run; kept in all, with those that ended | 1,024 |
//! | what is kept of a program's output | 4 MiB a stream, 65,536 events, 32 MiB of all programs |
//! | terminals; scroll-back of one | 64; 1 MiB |
//! | file operations at once; watches | 64; 16, of 8,192 directories each |
//! | entries of a list | 10,000 of the first million |
//! | connections to ports and the desktop, and forwarded ones, at once | 256 |
//! | forwards | 8 |
//! | calls to the host that wait to be taken | what the kernel queues |
//!
//! An idle guest has about 1 MiB of its own besides the program's shared text; after the
//! worst flood of output, about 40 MiB.

mod acting;
mod calls;
mod environment;
mod exec;
pub(crate) mod failure;
mod files;
mod forwards;
mod ports;
mod programs;
pub(crate) mod proxy;
mod query;
mod reaper;
mod routes;
mod server;
mod terminals;
mod tree;
mod users;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use helix_base::{Clock, Ids, TaskGroup};
use helix_proto::sandbox::DesktopSpec;
use serde::{Deserialize, Serialize};

use crate::{
    desktop::{self, Desktop},
    docker::{Docker, images::DockerImage},
};

use self::{
    acting::Jobs, calls::Calls, exec::Execs, files::Watches, forwards::Forwards, ports::Ways,
    programs::Programs, terminals::Terminals,
};

/// How the guest itself starts programs as users of the sandbox.
pub(crate) mod launch {
    pub(crate) use super::{
        programs::{Launch, Programs, Streams, start},
        tree::kill_session,
        users::User,
    };
}

pub use self::{
    calls::SOCKET,
    reaper::{Process, Reaper},
    routes::router,
    server::run,
};

/// What a guest must know of its sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestConfig {
    /// The sandbox's host name, for programs' `HOSTNAME`.
    #[serde(default)]
    pub hostname: String,
    /// Variables for every program.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether the sandbox has a Docker daemon of its own.
    #[serde(default)]
    pub docker: bool,
    /// Its desktop, if it has one.
    #[serde(default)]
    pub desktop: Option<DesktopSpec>,
    /// The images of the host that the daemon is to have.
    #[serde(default)]
    pub docker_images: Vec<DockerImage>,
    /// The Unix socket by which programs reach the host, such as [`SOCKET`]; without one they
    /// cannot.
    #[serde(default)]
    pub calls: Option<PathBuf>,
}

/// Whose children a guest collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the first process of its namespace: its own children, and orphans.
    Init,
    /// It is a process among others: its own children.
    Ordinary,
}

/// A guest. Cheap to clone; all clones are one guest.
#[derive(Debug, Clone)]
pub struct Guest {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tasks: TaskGroup,
    clock: Arc<dyn Clock>,
    ids: Ids,
    /// Work on files, which callers can make long.
    jobs: Jobs,
    /// Starting and killing, which must not wait for it.
    control: Jobs,
    docker: Option<Docker>,
    desktop: Option<Desktop>,
    calls: Option<Calls>,
    programs: Programs,
    execs: Execs,
    terminals: Terminals,
    watches: Watches,
    ways: Ways,
    forwards: Forwards,
}

impl Guest {
    /// A guest whose tasks are in `tasks`. In a Tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// Where the process cannot listen for `SIGCHLD`.
    pub fn new(
        mut config: GuestConfig,
        role: Role,
        clock: Arc<dyn Clock>,
        tasks: TaskGroup,
    ) -> std::io::Result<Self> {
        let reaper = Reaper::start(role, &tasks)?;
        let docker = config.docker.then(|| {
            let (env, images) = (config.env.clone(), config.docker_images.clone());
            Docker::start(reaper.clone(), env, images, clock.clone(), &tasks)
        });
        if config.desktop.is_some() {
            for (name, value) in desktop::variables() {
                config.env.entry(name).or_insert(value);
            }
        }
        let calls = config.calls.as_deref().and_then(|path| {
            let listening = Calls::listen(path);
            listening
                .inspect_err(|error| tracing::warn!(%error, "programs cannot call the host"))
                .ok()
        });
        let (desktop, programs) = (config.desktop, Programs::new(config, reaper));
        let desktop =
            desktop.map(|spec| Desktop::start(spec, programs.clone(), clock.clone(), &tasks));
        Ok(Self {
            inner: Arc::new(Inner {
                ids: Ids::new(clock.clone()),
                clock,
                jobs: Jobs::default(),
                control: Jobs::default(),
                docker,
                desktop,
                calls,
                programs,
                execs: Execs::default(),
                terminals: Terminals::default(),
                watches: Watches::default(),
                ways: Ways::default(),
                forwards: Forwards::default(),
                tasks,
            }),
        })
    }

    /// Its Docker daemon, if it has one.
    pub fn docker(&self) -> Option<&Docker> {
        self.inner.docker.as_ref()
    }

    /// What serves its desktop, if it has one.
    pub fn desktop(&self) -> Option<&Desktop> {
        self.inner.desktop.as_ref()
    }

    fn calls(&self) -> Option<&Calls> {
        self.inner.calls.as_ref()
    }

    pub(crate) fn enter_ways(&self) -> failure::Answer<tokio::sync::OwnedSemaphorePermit> {
        self.inner.ways.enter()
    }

    pub(crate) fn tasks(&self) -> &TaskGroup {
        &self.inner.tasks
    }

    /// Starts and collects processes: what else runs in the sandbox goes through it too.
    pub fn reaper(&self) -> &Reaper {
        self.inner.programs.reaper()
    }
}
