//! Who is connected: one tunnel per key, the last connection wins.

mod admission;

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use helix_base::TaskGroup;
use http::{Request, Response};
use tokio::{sync::broadcast, time::timeout};

use self::admission::{Admission, Current, Known, admit};
use crate::{
    AcceptOptions, Body, CloseCode, CloseReason, Error, Lane, Tunnel,
    channel::Channel,
    handle::{Attach, Handle, first_message},
    io::Policy,
    link::greeting::{Hello, Identity, Instance, LinkId, Secret, Welcome},
    session,
    transport::Transport,
};

/// How long an agent may take to say hello.
const GREET_WITHIN: Duration = Duration::from_secs(10);

/// Events kept for a subscriber that lags; it then misses the oldest, learns how many
/// from `RecvError::Lagged`, and looks at [`Hub::keys`].
const EVENTS: usize = 256;

/// Who dialled, as the control plane has authenticated it.
#[derive(Debug, Clone)]
pub struct Holder<K> {
    key: K,
    credential: Arc<[u8]>,
}

impl<K> Holder<K> {
    /// `key` is whose tunnel it is. `credential` is what it was authenticated with, in a
    /// form that tells one credential from another, such as a hash: a link goes on only
    /// with the credential that it began with.
    pub fn new(key: K, credential: impl AsRef<[u8]>) -> Self {
        Self {
            key,
            credential: credential.as_ref().into(),
        }
    }
}

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
    options: AcceptOptions,
    group: TaskGroup,
}

#[derive(Debug)]
struct State<K> {
    tunnels: HashMap<K, Entry>,
    links: HashMap<LinkId, Resumable<K>>,
    connections: u64,
}

#[derive(Debug)]
struct Entry {
    connection: u64,
    tunnel: Tunnel,
    instance: Instance,
    attempt: u64,
}

/// A link that a new connection may go on with.
#[derive(Debug)]
struct Resumable<K> {
    holder: Holder<K>,
    secret: Secret,
    attempt: u64,
    handle: Arc<Handle>,
}

/// What to do with a connection that has said hello.
enum Next {
    Begin(Identity),
    Resume(Arc<Handle>),
    Refuse(CloseReason),
}

impl<K: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static> Hub<K> {
    /// An empty hub. All tunnels, and what watches them, live in `group`: when it drains,
    /// they take no new requests, let those under way finish, and close with
    /// [`CloseCode::GOING_AWAY`], upon which agents dial again.
    pub fn new(options: AcceptOptions, group: &TaskGroup) -> Self {
        let state = State {
            tunnels: HashMap::new(),
            links: HashMap::new(),
            connections: 0,
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                events: broadcast::Sender::new(EVENTS),
                options,
                group: group.clone(),
            }),
        }
    }

    pub(crate) fn group(&self) -> &TaskGroup {
        &self.inner.group
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection that an agent has dialled. The tunnel, if one begins with it;
    /// none, if it is the next connection of a link there is, or another lane's.
    ///
    /// A tunnel that is there under the same key is closed with
    /// [`CloseCode::SUPERSEDED`], after which its agent stays away. The tunnel leaves the
    /// hub when it ends.
    ///
    /// # Errors
    ///
    /// The connection broke, or was refused: it is closed with a code that says why.
    pub async fn accept(
        &self,
        holder: Holder<K>,
        transport: impl Transport,
    ) -> Result<Option<Tunnel>, Error> {
        let mut transport: Box<dyn Transport> = Box::new(transport);
        let hello = match read_hello(&mut *transport).await {
            Ok(hello) => hello,
            Err(reason) => return Err(refuse(transport, reason).await),
        };
        match self.next(&holder, &hello) {
            Next::Refuse(reason) => Err(refuse(transport, reason).await),
            Next::Resume(handle) => {
                handle.attach(Attach {
                    transport,
                    received: hello.resume.map_or(0, |resume| resume.received),
                    welcome: true,
                });
                Ok(None)
            }
            Next::Begin(identity) => self.begin(holder, &hello, identity, transport).await,
        }
    }

    fn next(&self, holder: &Holder<K>, hello: &Hello) -> Next {
        let mut state = self.lock();
        let current = state
            .tunnels
            .get(&holder.key)
            .filter(|entry| !entry.tunnel.is_closed())
            .map(|entry| Current {
                instance: entry.instance,
                attempt: entry.attempt,
                expects_lane: entry.tunnel.expects(hello.lane),
            });
        let link = hello.resume.as_ref().map(|resume| resume.identity.link);
        let mut resumable = link
            .and_then(|link| state.links.get_mut(&link))
            .filter(|resumable| !resumable.handle.has_ended());
        let known = resumable.as_ref().map(|resumable| Known {
            same_holder: resumable.holder.key == holder.key
                && resumable.holder.credential == holder.credential,
            secret: &resumable.secret,
            attempt: resumable.attempt,
        });
        match (admit(hello, known.as_ref(), current), &mut resumable) {
            (Admission::Refuse(code, why), _) => Next::Refuse(CloseReason::local(code, why)),
            (Admission::Resume, Some(resumable)) => {
                resumable.attempt = hello.attempt;
                Next::Resume(Arc::clone(&resumable.handle))
            }
            _ => Next::Begin(Identity::random(&mut rand::rng())),
        }
    }

    async fn begin(
        &self,
        holder: Holder<K>,
        hello: &Hello,
        identity: Identity,
        transport: Box<dyn Transport>,
    ) -> Result<Option<Tunnel>, Error> {
        let options = &self.inner.options;
        let welcome = Welcome::New {
            identity: identity.clone(),
            grace: options.grace(),
            window: options.limits.replay,
        };
        let policy = Policy {
            heartbeat: options.heartbeat,
            grace: options.grace(),
            window: options.limits.replay.min(hello.window) as usize,
        };
        let handle = Arc::new(Handle::new());
        let resumable = Resumable {
            holder: holder.clone(),
            secret: identity.secret,
            attempt: hello.attempt,
            handle: Arc::clone(&handle),
        };
        self.lock().links.insert(identity.link, resumable);
        self.watch(identity.link, Arc::clone(&handle));
        let opened = Channel::open(
            transport,
            welcome.write(),
            policy,
            hello.lane,
            options,
            &handle,
            &self.inner.group,
        );
        let channel = opened.await.inspect_err(|_| {
            handle.finish();
        })?;
        if hello.lane == Lane::Control {
            let tunnel = Tunnel::new(channel, options);
            return Ok(self.insert(holder.key, &tunnel, hello).then_some(tunnel));
        }
        let state = self.lock();
        match state.tunnels.get(&holder.key) {
            Some(entry) if entry.instance == hello.instance => {
                entry.tunnel.opened(hello.lane, channel);
            }
            _ => channel.close(CloseCode::UNEXPECTED_LANE, "its tunnel has ended"),
        }
        Ok(None)
    }

    /// Forgets a link when it is gone.
    fn watch(&self, link: LinkId, handle: Arc<Handle>) {
        let hub = self.clone();
        self.inner.group.spawn("tunnel link", async move {
            handle.wait_until_closed().await;
            hub.lock().links.remove(&link);
        });
    }

    /// Adds a tunnel, unless its agent has a newer one by now: two connections may have
    /// been admitted side by side.
    fn insert(&self, key: K, tunnel: &Tunnel, hello: &Hello) -> bool {
        let mut state = self.lock();
        let newer = state
            .tunnels
            .get(&key)
            .is_some_and(|entry| entry.instance == hello.instance && entry.attempt > hello.attempt);
        if newer {
            tunnel.close(CloseCode::STALE, "this agent has a newer connection");
            return false;
        }
        state.connections += 1;
        let connection = state.connections;
        let entry = Entry {
            connection,
            tunnel: tunnel.clone(),
            instance: hello.instance,
            attempt: hello.attempt,
        };
        if let Some(old) = state.tunnels.insert(key.clone(), entry) {
            let why = "a newer connection took over";
            let reason = CloseReason::local(CloseCode::SUPERSEDED, why);
            old.tunnel.close(CloseCode::SUPERSEDED, why);
            self.tell(HubEvent::Disconnected {
                key: key.clone(),
                connection: old.connection,
                reason,
            });
        }
        self.tell(HubEvent::Connected {
            key: key.clone(),
            connection,
        });
        drop(state);
        let (hub, tunnel) = (self.clone(), tunnel.clone());
        self.inner.group.spawn("tunnel watch", async move {
            let reason = tunnel.closed().await;
            tunnel.close(CloseCode::GOING_AWAY, "the control lane has ended");
            hub.forget(&key, connection, reason);
        });
        true
    }

    fn forget(&self, key: &K, connection: u64, reason: CloseReason) {
        let mut state = self.lock();
        if state
            .tunnels
            .get(key)
            .is_some_and(|entry| entry.connection == connection)
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
            .map(|entry| entry.tunnel.clone())
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

async fn read_hello(transport: &mut dyn Transport) -> Result<Hello, CloseReason> {
    let message = timeout(GREET_WITHIN, first_message(transport)).await;
    let message = message.map_err(|_| {
        let why = format!("no greeting within {} s", GREET_WITHIN.as_secs());
        CloseReason::local(CloseCode::PROTOCOL, why)
    })??;
    Hello::read(message)
        .map_err(|violation| CloseReason::local(CloseCode::PROTOCOL, violation.to_string()))
}

async fn refuse(transport: Box<dyn Transport>, reason: CloseReason) -> Error {
    session::refuse(transport, &reason).await;
    Error::Closed(reason)
}
