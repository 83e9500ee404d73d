//! The connections of hosts.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use helix_agent::control::Thread;
use helix_proto::{
    SandboxHostId, ThreadId,
    agents::{Down, Held, SUPERSEDED},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Messages on their way to a host; who sends more waits.
const OUTGOING: usize = 64;
/// Bytes of them at most, in units of [`UNIT`].
const OUTGOING_UNITS: usize = 16 << 10;
/// What bytes are counted in.
pub(super) const UNIT: usize = 1 << 10;

/// The hosts that are connected.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    links: Mutex<HashMap<SandboxHostId, Arc<Link>>>,
    next: AtomicU64,
}

/// One connection of one host, from its hello on.
#[derive(Debug)]
pub(super) struct Link {
    /// Tells it from the ones before and after it.
    pub(super) number: u64,
    /// Whose it is.
    pub(super) host: SandboxHostId,
    outgoing: mpsc::Sender<Outgoing>,
    budget: Arc<Semaphore>,
    /// Ends when the connection does.
    pub(super) closed: CancellationToken,
    /// What is said at the end.
    goodbye: Mutex<Option<Goodbye>>,
    /// What the host's hello said, of threads whose conversation did not hear of it yet.
    hello: Mutex<HashMap<ThreadId, Held>>,
    /// Threads whose conversation did.
    met: Mutex<HashSet<ThreadId>>,
}

/// Why a connection ends.
#[derive(Debug, Clone)]
pub(super) struct Goodbye {
    pub(super) code: u16,
    pub(super) reason: String,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) text: String,
    _budget: OwnedSemaphorePermit,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many units as so many bytes are.
pub(super) fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Hosts {
    /// A host that said hello. Whoever held its place has given way.
    pub(super) fn attach(
        &self,
        host: SandboxHostId,
        hello: Vec<Held>,
    ) -> (Arc<Link>, mpsc::Receiver<Outgoing>) {
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        let link = Arc::new(Link {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            host,
            outgoing,
            budget: Arc::new(Semaphore::new(OUTGOING_UNITS)),
            closed: CancellationToken::new(),
            goodbye: Mutex::default(),
            hello: Mutex::new(hello.into_iter().map(|held| (held.thread, held)).collect()),
            met: Mutex::default(),
        });
        let before = lock(&self.links).insert(host, Arc::clone(&link));
        if let Some(before) = before {
            before.close(SUPERSEDED, "a newer connection of this host took over");
        }
        (link, messages)
    }

    /// A connection ended; if it is still the host's own, it has none.
    pub(super) fn detach(&self, host: SandboxHostId, number: u64) {
        let mut links = lock(&self.links);
        if links.get(&host).is_some_and(|link| link.number == number) {
            links.remove(&host);
        }
    }

    /// The connection of a host.
    pub(super) fn link(&self, host: SandboxHostId) -> Option<Arc<Link>> {
        let link = lock(&self.links).get(&host).cloned();
        link.filter(|link| !link.closed.is_cancelled())
    }

    /// Ends the connection of a host.
    pub(super) fn close(&self, host: SandboxHostId, code: u16, reason: &str) {
        if let Some(link) = self.link(host) {
            link.close(code, reason);
        }
    }

    /// How many are connected.
    pub(super) fn len(&self) -> usize {
        lock(&self.links).len()
    }
}

impl Link {
    /// Ends the connection; what is said first stays.
    pub(super) fn close(&self, code: u16, reason: &str) {
        let reason = reason.to_owned();
        lock(&self.goodbye).get_or_insert(Goodbye { code, reason });
        self.closed.cancel();
    }

    /// What is said at the end.
    pub(super) fn goodbye(&self) -> Option<Goodbye> {
        lock(&self.goodbye).clone()
    }

    /// What the host has of a thread. When its conversation asks first, what the hello said; later
    /// what is stored here: since then nothing was lost on the way.
    pub(super) fn held(&self, thread: &Thread) -> Option<Held> {
        if !lock(&self.met).insert(thread.id) {
            return Some(Held {
                thread: thread.id,
                accepted: thread.accepted,
                first_seq: thread.acknowledged + 1,
                last_seq: thread.acknowledged,
            });
        }
        lock(&self.hello).remove(&thread.id)
    }

    /// A thread begins on this connection.
    pub(super) fn begins(&self, thread: ThreadId) {
        lock(&self.met).insert(thread);
    }

    /// Sends a message. Waits while there is no room; nothing is sent once the connection ended.
    pub(super) async fn send(&self, down: &Down) {
        let text = match down.encode() {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a message to a sandbox host cannot be written");
                return;
            }
        };
        let sending = async {
            let units = units(text.len());
            // Never closed.
            let Ok(_budget) = Arc::clone(&self.budget).acquire_many_owned(units).await else {
                return;
            };
            // Refused only once the connection has ended.
            let _ = self.outgoing.send(Outgoing { text, _budget }).await;
        };
        self.closed.run_until_cancelled(sending).await;
    }
}
