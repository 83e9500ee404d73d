//! Who is connected: one tunnel per key, the last connection wins.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use helix_base::TaskGroup;
use http::{Request, Response};
use tokio::sync::broadcast;

use crate::{Body, CloseCode, CloseReason, Error, Tunnel};

/// Events kept for a subscriber that lags; it then misses the oldest, learns how many
/// from `RecvError::Lagged`, and looks at [`Hub::keys`].
const EVENTS: usize = 256;

/// A change of who is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubEvent<K> {
    /// A tunnel was added.
    Connected {
        /// Whose.
        key: K,
        /// Counts up with each tunnel of this hub.
        connection: u64,
    },
    /// A tunnel has ended or was replaced.
    Disconnected {
        /// Whose.
        key: K,
        /// As in its [`Self::Connected`].
        connection: u64,
        /// Why.
        reason: CloseReason,
    },
}

/// All connected tunnels, by the key that their credentials gave them. Cheap to clone;
/// all clones are one hub.
#[derive(Debug)]
pub struct Hub<K> {
    inner: Arc<Inner<K>>,
}

impl<K> Clone for Hub<K> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

#[derive(Debug)]
struct Inner<K> {
    state: Mutex<State<K>>,
    events: broadcast::Sender<HubEvent<K>>,
    group: TaskGroup,
}

#[derive(Debug)]
struct State<K> {
    tunnels: HashMap<K, (u64, Tunnel)>,
    connections: u64,
}

impl<K: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static> Hub<K> {
    /// An empty hub; its watchers live in `group`.
    pub fn new(group: &TaskGroup) -> Self {
        let state = State {
            tunnels: HashMap::new(),
            connections: 0,
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                events: broadcast::Sender::new(EVENTS),
                group: group.clone(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a tunnel. One that is there under the same key is closed with
    /// [`CloseCode::SUPERSEDED`], after which its agent stays away. The tunnel leaves
    /// the hub when it ends.
    pub fn insert(&self, key: K, tunnel: Tunnel) {
        let mut state = self.lock();
        state.connections += 1;
        let connection = state.connections;
        let replaced = state
            .tunnels
            .insert(key.clone(), (connection, tunnel.clone()));
        if let Some((connection, old)) = replaced {
            let why = "a newer connection took over";
            let reason = CloseReason::local(CloseCode::SUPERSEDED, why);
            old.close(CloseCode::SUPERSEDED, why);
            self.tell(HubEvent::Disconnected {
                key: key.clone(),
                connection,
                reason,
            });
        }
        self.tell(HubEvent::Connected {
            key: key.clone(),
            connection,
        });
        drop(state);
        let hub = self.clone();
        self.inner.group.spawn("tunnel watch", async move {
            let reason = tunnel.closed().await;
            hub.forget(&key, connection, reason);
        });
    }

    fn forget(&self, key: &K, connection: u64, reason: CloseReason) {
        let mut state = self.lock();
        if state
            .tunnels
            .get(key)
            .is_some_and(|(current, _)| *current == connection)
        {
            state.tunnels.remove(key);
            self.tell(HubEvent::Disconnected {
                key: key.clone(),
                connection,
                reason,
            });
        }
    }

    /// Under the lock, so that events come in the order of what happened.
    fn tell(&self, event: HubEvent<K>) {
        // Nobody listening is fine.
        let _ = self.inner.events.send(event);
    }

    /// The tunnel of this key, if it is connected.
    pub fn get(&self, key: &K) -> Option<Tunnel> {
        self.lock()
            .tunnels
            .get(key)
            .map(|(_, tunnel)| tunnel.clone())
    }

    /// Who is connected now.
    pub fn keys(&self) -> Vec<K> {
        self.lock().tunnels.keys().cloned().collect()
    }

    /// Closes the tunnel of this key; whether there was one. It leaves the hub when the
    /// other side has heard, or after a moment.
    pub fn close(&self, key: &K, code: CloseCode, reason: impl Into<String>) -> bool {
        let tunnel = self.get(key);
        if let Some(tunnel) = &tunnel {
            tunnel.close(code, reason);
        }
        tunnel.is_some()
    }

    /// Every change from now on. Subscribe first, then look at [`Self::keys`].
    pub fn subscribe(&self) -> broadcast::Receiver<HubEvent<K>> {
        self.inner.events.subscribe()
    }

    /// Sends a request to whoever is connected under this key; see [`Tunnel::request`].
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], and what [`Tunnel::request`] fails with.
    pub async fn request<B>(&self, key: &K, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let Some(tunnel) = self.get(key) else {
            return Err(Error::NotConnected {
                key: key.to_string(),
            });
        };
        tunnel.request(request).await
    }
}
