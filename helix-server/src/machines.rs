//! Machines that dial in: what runners and sandbox hosts have in common.
//!
//! A machine dials in (`/api/v1/revdial`) with its own credential, and is asked over
//! its tunnel.
//!
//! **Invariants.** A machine's id comes from its credential. A machine has one tunnel:
//! a newer one takes the place of an older one. A machine whose credential was revoked
//! has none.

use std::{
    collections::BTreeMap,
    fmt,
    hash::Hash,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use helix_base::{Clock, TaskGroup};
use helix_proto::tunnel::{RunnerTunnel, TunnelState};
use helix_tunnel::{AcceptOptions, CloseCode, HeartbeatPolicy, Hub, Limits, Tunnel};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{Foundation, serve};

pub(crate) mod calls;
pub(crate) mod follow;
pub(crate) mod lines;
pub(crate) mod metrics;
mod reach;

pub use calls::{Error, Role};

use reach::Reach;

/// Requests under way on one machine at once.
const MAX_REQUESTS: u32 = 16_384;

/// An id of a machine.
pub(crate) trait Key:
    Copy + Ord + Hash + fmt::Display + fmt::Debug + Send + Sync + 'static
{
}

impl<T: Copy + Ord + Hash + fmt::Display + fmt::Debug + Send + Sync + 'static> Key for T {}

/// All machines of one role: `R` is what is known of each, `L` what there is of one
/// that is connected.
#[derive(Debug)]
pub(crate) struct Machines<K, R, L> {
    clock: Arc<dyn Clock>,
    entries: RwLock<BTreeMap<K, Entry<R, L>>>,
    /// How many tunnels there were.
    tunnels: AtomicU64,
    /// Everybody's tunnel.
    hub: Hub<K>,
}

#[derive(Debug)]
struct Entry<R, L> {
    /// As it is stored, but for what is as of now.
    known: R,
    live: Option<Live<L>>,
    reach: Reach,
    turn: Arc<Mutex<()>>,
}

/// A machine that is connected.
#[derive(Debug, Clone)]
struct Live<L> {
    /// Tells this tunnel from the ones before and after it.
    number: u64,
    tunnel: Tunnel,
    link: L,
}

/// A machine as it is now.
#[derive(Debug, Clone)]
pub(crate) struct View<R> {
    /// What is known of it.
    pub(crate) known: R,
    reach: Reach,
    tunnel: Option<Tunnel>,
}

impl<R> View<R> {
    /// Where its tunnel stands.
    pub(crate) const fn reached(&self) -> TunnelState {
        self.reach.state(self.tunnel.is_some())
    }

    /// Whether it can be asked something now.
    pub(crate) fn is_connected(&self) -> bool {
        self.reached() == TunnelState::Connected
    }

    /// How it is connected, or was.
    pub(crate) fn tunnel(&self) -> RunnerTunnel {
        self.reach.shown(self.tunnel.as_ref())
    }
}

/// How tunnels are accepted.
fn accept_options(foundation: &Foundation) -> Result<AcceptOptions, serve::Error> {
    let options = &foundation.options.tunnel;
    if let Some((option, reason)) = options.fault() {
        return Err(serve::Error::Option {
            option: option.into(),
            reason: reason.into(),
        });
    }
    Ok(AcceptOptions {
        grace: options.grace,
        heartbeat: HeartbeatPolicy {
            interval: options.heartbeat_interval,
            ..HeartbeatPolicy::default()
        },
        limits: Limits {
            max_requests: MAX_REQUESTS,
            ..Limits::default()
        },
        ..AcceptOptions::default()
    })
}

impl<K: Key, R: Clone, L: Clone> Machines<K, R, L> {
    /// These machines, all disconnected.
    ///
    /// # Errors
    /// When an option cannot work.
    pub(crate) fn new(
        foundation: &Foundation,
        known: impl IntoIterator<Item = (K, R)>,
    ) -> Result<Self, serve::Error> {
        let entry = |(id, known)| (id, Entry::new(known));
        Ok(Self {
            clock: Arc::clone(&foundation.clock),
            entries: RwLock::new(known.into_iter().map(entry).collect()),
            tunnels: AtomicU64::new(0),
            hub: Hub::new(accept_options(foundation)?, &foundation.tasks),
        })
    }

    /// Where these machines dial in.
    pub(crate) const fn hub(&self) -> &Hub<K> {
        &self.hub
    }

    /// A machine whose tunnel began; its number. Whoever held its place has given way.
    /// None for a machine that is not registered: its tunnel is closed.
    pub(crate) fn attach(&self, id: K, tunnel: &Tunnel, link: L) -> Option<u64> {
        let number = self.tunnels.fetch_add(1, Ordering::Relaxed);
        let now_ms = self.clock.now_ms();
        let mut entries = self.write();
        let Some(entry) = entries.get_mut(&id) else {
            drop(entries);
            tunnel.close(CloseCode::REVOKED, "this machine was deleted");
            return None;
        };
        let live = Live {
            number,
            tunnel: tunnel.clone(),
            link,
        };
        if let Some(before) = entry.live.replace(live) {
            entry.reach.ended(reach::last_close(&before.tunnel), now_ms);
        }
        entry.reach.began(now_ms);
        Some(number)
    }

    /// Waits until a machine's connections before this one have said their last word, and
    /// keeps those that follow from their first while it is held. None for a machine that is
    /// not registered.
    pub(crate) async fn turn(&self, id: K) -> Option<OwnedMutexGuard<()>> {
        let turn = Arc::clone(&self.read().get(&id)?.turn);
        Some(turn.lock_owned().await)
    }

    /// Ends a machine's tunnel for good: its credential is no longer valid.
    pub(crate) fn revoke(&self, id: K, reason: &str) {
        if self.hub.close(&id, CloseCode::REVOKED, reason) {
            tracing::info!(machine = %id, reason, "tunnel closed");
        }
        let now_ms = self.clock.now_ms();
        if let Some(entry) = self.write().get_mut(&id)
            && let Some(live) = entry.live.take()
        {
            live.tunnel.close(CloseCode::REVOKED, reason);
            entry.reach.ended(reach::last_close(&live.tunnel), now_ms);
        }
    }

    /// Takes note of a machine that the store knows.
    pub(crate) fn insert(&self, id: K, known: R) {
        self.write().insert(id, Entry::new(known));
    }

    /// Closes a machine's tunnel at once and forgets the machine.
    pub(crate) fn remove(&self, id: K, reason: &str) {
        self.revoke(id, reason);
        self.write().remove(&id);
    }

    /// What there is of a machine while it has a tunnel.
    pub(crate) fn link(&self, id: K) -> Option<L> {
        let entries = self.read();
        Some(entries.get(&id)?.live.as_ref()?.link.clone())
    }

    /// All machines, oldest first.
    pub(crate) fn all(&self) -> Vec<View<R>> {
        self.read().values().map(Entry::view).collect()
    }

    /// One machine.
    pub(crate) fn get(&self, id: K) -> Option<View<R>> {
        self.read().get(&id).map(Entry::view)
    }

    /// Something of a machine, without copying all that is known of it.
    pub(crate) fn look<T>(&self, id: K, look: impl FnOnce(&R, TunnelState) -> T) -> Option<T> {
        let entries = self.read();
        let entry = entries.get(&id)?;
        Some(look(&entry.known, entry.reach.state(entry.live.is_some())))
    }

    /// Changes what is known of a machine.
    pub(crate) fn change(&self, id: K, change: impl FnOnce(&mut R)) {
        if let Some(entry) = self.write().get_mut(&id) {
            change(&mut entry.known);
        }
    }

    /// Changes what is known of a machine, if this tunnel is still its own. Whether it
    /// was.
    pub(crate) fn update(&self, id: K, number: u64, change: impl FnOnce(&mut R)) -> bool {
        let mut entries = self.write();
        let Some(entry) = entries.get_mut(&id) else {
            return false;
        };
        if entry.live.as_ref().is_none_or(|live| live.number != number) {
            return false;
        }
        change(&mut entry.known);
        true
    }

    /// Takes note that a tunnel ended. Whether it was the machine's own.
    pub(crate) fn detach(&self, id: K, number: u64) -> bool {
        let now_ms = self.clock.now_ms();
        let mut entries = self.write();
        let Some(entry) = entries.get_mut(&id) else {
            return false;
        };
        let Some(live) = entry.live.take_if(|live| live.number == number) else {
            return false;
        };
        entry.reach.ended(reach::last_close(&live.tunnel), now_ms);
        true
    }

    /// Takes note that a tunnel's connection broke, or was replaced. Whether it was the
    /// machine's own.
    pub(crate) fn noticed(&self, id: K, number: u64, away: bool) -> bool {
        let now_ms = self.clock.now_ms();
        let mut entries = self.write();
        let Some(Entry { live, reach, .. }) = entries.get_mut(&id) else {
            return false;
        };
        let Some(live) = live.as_ref().filter(|live| live.number == number) else {
            return false;
        };
        if away {
            reach.broke(reach::last_close(&live.tunnel), now_ms);
        } else {
            reach.resumed(now_ms);
        }
        true
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<K, Entry<R, L>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<K, Entry<R, L>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Clone, L> Entry<R, L> {
    fn new(known: R) -> Self {
        Self {
            known,
            live: None,
            reach: Reach::default(),
            turn: Arc::default(),
        }
    }

    fn view(&self) -> View<R> {
        View {
            known: self.known.clone(),
            reach: self.reach.clone(),
            tunnel: self.live.as_ref().map(|live| live.tunnel.clone()),
        }
    }
}

/// Closes a machine's tunnel if the credential that it began with is no longer valid: a
/// revocation between the check and the tunnel's beginning found no tunnel to close.
pub(crate) fn check_again(
    tasks: &TaskGroup,
    tunnel: Tunnel,
    is_valid: impl Future<Output = Result<bool, crate::store::Error>> + Send + 'static,
) {
    tasks.spawn("check credential again", async move {
        if matches!(is_valid.await, Ok(false)) {
            tunnel.close(CloseCode::REVOKED, "the credential is not valid");
        }
    });
}
