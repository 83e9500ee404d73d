//! What a backend of isolation does.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use helix_proto::{
    SandboxId, SnapshotId,
    sandbox::{
        Egress, SandboxEnd, SandboxLimits, SandboxPhase, SandboxStats,
        host::{HostCapability, HostImage, SandboxSpec},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Where programs in a sandbox find the host's own program, where the backend is told to show it.
pub const TOOLS: &str = "/run/helix/helix-sandbox";

/// Makes sandboxes, and finds the ones that an earlier process made.
///
/// # Contract
///
/// - [`create`](Self::create) makes files only: nothing runs. It is idempotent by id, and
///   leaves nothing behind when it fails or is dropped.
/// - [`found`](Self::found) lists every sandbox that exists, whoever made it, so that a
///   process that starts again can go on with them.
/// - [`remove`](Self::remove) is idempotent and safe on what is half made or half removed.
///   When it returns, nothing of the sandbox is left: no process, mount, interface,
///   firewall entry, cgroup or file.
/// - What a backend cannot do it lists in [`capabilities`](Self::capabilities), and refuses
///   with [`ErrorKind::Unsupported`]. It never does less than it was asked in silence.
#[async_trait]
pub trait Isolation: fmt::Debug + Send + Sync + 'static {
    /// Which backend this is, such as `namespaces`.
    fn name(&self) -> &'static str;

    /// What it can do on this machine and what it cannot, with the reasons.
    fn capabilities(&self) -> Vec<HostCapability>;

    /// The images that sandboxes can start from; none where the backend has no such thing.
    ///
    /// # Errors
    ///
    /// Where the place of the images cannot be read.
    async fn images(&self) -> Result<Vec<HostImage>, Error> {
        Ok(Vec::new())
    }

    /// What exists already.
    ///
    /// # Errors
    ///
    /// Where the place of the sandboxes cannot be read.
    async fn found(&self) -> Result<Vec<Found>, Error>;

    /// Makes a sandbox's files.
    ///
    /// # Errors
    ///
    /// An unknown image or origin, a full disk, something that this backend cannot do.
    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Environment>, Error>;

    /// Removes a sandbox with everything of it.
    ///
    /// # Errors
    ///
    /// Where something could not be removed; calling again goes on.
    async fn remove(&self, id: SandboxId) -> Result<(), Error>;

    /// Which snapshots exist, with their sizes in bytes.
    ///
    /// # Errors
    ///
    /// Where the place of the snapshots cannot be read.
    async fn snapshots(&self) -> Result<Vec<(SnapshotId, u64)>, Error>;

    /// Removes a snapshot. Idempotent.
    ///
    /// # Errors
    ///
    /// Where its files could not be removed.
    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), Error>;
}

/// One sandbox of a backend.
///
/// # Contract
///
/// - Every method may be called in any state, and is idempotent: starting what runs,
///   stopping what is stopped, pausing what is paused does nothing.
/// - [`start`](Self::start) returns when the guest answers. When it fails or is dropped,
///   nothing of the sandbox runs.
/// - A running sandbox goes on when the process that started it ends, however it ends.
/// - [`stop`](Self::stop) ends every process of the sandbox, paused or not, and frees
///   everything but its files.
/// - [`set_egress`](Self::set_egress) holds at once for new connections and for those that exist,
///   and through pause, resume, stop, start, snapshot and a restart of the process.
/// - [`set_limits`](Self::set_limits) holds at once, running or not, and through stop, start and a
///   restart of the process. What cannot be changed while it runs is refused then, and all of the
///   limits stay as they were.
/// - A paused sandbox uses no processor time; its memory is kept.
#[async_trait]
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    /// What it was made from, with the egress policy that holds now.
    fn spec(&self) -> SandboxSpec;

    /// Starts it, and tells `watch` of each phase.
    ///
    /// # Errors
    ///
    /// Where a part of the isolation cannot be made, or the guest does not answer.
    async fn start(&self, watch: &dyn Watch) -> Result<(), Error>;

    /// Stops all its processes where they are.
    ///
    /// # Errors
    ///
    /// Where it does not run, or this backend cannot.
    async fn pause(&self) -> Result<(), Error>;

    /// Lets its processes go on.
    ///
    /// # Errors
    ///
    /// Where it does not run.
    async fn resume(&self) -> Result<(), Error>;

    /// Ends all its processes.
    ///
    /// # Errors
    ///
    /// Where one would not end.
    async fn stop(&self) -> Result<(), Error>;

    /// Changes what it may reach.
    ///
    /// # Errors
    ///
    /// A rule that cannot be read, or something that this backend cannot do.
    async fn set_egress(&self, egress: &Egress) -> Result<(), Error>;

    /// Changes the most that it may use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for limits that cannot be kept, or less disk than it has;
    /// [`ErrorKind::Conflict`] for one that can only be changed while it does not run, and for less
    /// memory than it uses; [`ErrorKind::Unsupported`] for what this backend cannot change.
    async fn set_limits(&self, limits: &SandboxLimits) -> Result<(), Error>;

    /// Keeps its files as they are now, running or not. Idempotent by id. Returns the size in bytes.
    ///
    /// # Errors
    ///
    /// A full disk, or something that this backend cannot do.
    async fn snapshot(&self, id: SnapshotId) -> Result<u64, Error>;

    /// What it uses now; all zero but for its disk while it does not run.
    ///
    /// # Errors
    ///
    /// Where the kernel's accounts cannot be read.
    async fn stats(&self) -> Result<SandboxStats, Error>;

    /// A connection to the HTTP server inside it ([`guest`](crate::guest)).
    ///
    /// # Errors
    ///
    /// Where it does not run, or does not answer.
    async fn connect(&self) -> Result<Box<dyn Connection>, Error>;

    /// Waits until its first process ended, by whatever cause, and says why. Pending for
    /// ever while it does not run.
    async fn ended(&self) -> SandboxEnd;
}

/// Bytes both ways.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Hears how far a start has come.
pub trait Watch: Send + Sync {
    /// A phase begins.
    fn phase(&self, phase: SandboxPhase);
}

/// A sandbox that exists.
#[derive(Debug, Clone)]
pub struct Found {
    /// The sandbox.
    pub environment: Arc<dyn Environment>,
    /// Whether it runs.
    pub state: FoundState,
}

/// Whether a sandbox that was found runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundState {
    /// Its processes run.
    Running,
    /// Its processes stand still.
    Paused,
    /// It has none.
    Stopped,
}

/// What failed, on what, and what to do where that is known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<std::io::Error>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This backend or machine cannot do it.
    Unsupported,
    /// The request cannot be right.
    Invalid,
    /// The image, origin or sandbox does not exist.
    NotFound,
    /// It is in a state in which this cannot be done, such as an exec while paused.
    Conflict,
    /// The disk, or a limit, is full.
    Full,
    /// It took too long.
    Timeout,
    /// The kernel or a program failed.
    Failed,
}

impl Error {
    /// An error with a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// A call that failed: `what` says which and on what.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            std::io::ErrorKind::TimedOut => ErrorKind::Timeout,
            _ => ErrorKind::Failed,
        };
        Self {
            kind,
            message: format!("{what}: {source}"),
            source: Some(source),
        }
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Full | ErrorKind::Timeout)
    }
}
