//! One connection of one host.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use futures_util::{
    Sink, SinkExt as _, Stream, StreamExt as _,
    future::join_all,
    stream::{SplitSink, SplitStream},
};
use helix_proto::{
    SandboxHostId, SessionId, ThreadId,
    agents::{Down, Error, Held, MALFORMED, MAX_THREADS, REVOKED, TOO_LARGE, Up, VERSION},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, MissedTickBehavior},
};

use super::{
    Agents,
    actor::{Message, Said},
    hosts::{Goodbye, Link, Outgoing, units},
    readers::{Asked, Readers},
};
use crate::store;

/// How long it may take to hear of every conversation of a host, which waits for 30 s.
const WELCOME: Duration = Duration::from_secs(25);
/// How long a host may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How often it is pinged, and its credential looked at.
const PING: Duration = Duration::from_secs(15);
/// How long it may give no sign of life, or take nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// Units of what a host said and is not stored yet: its next messages wait.
const INCOMING_UNITS: usize = 16 << 10;

/// The WebSocket's codes that any protocol has.
mod code {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const POLICY: u16 = 1008;
}

type Incoming = SplitStream<WebSocket>;
type Writer = SplitSink<WebSocket, Frame>;

impl Goodbye {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { code, reason }
    }

    fn of(error: &Error) -> Self {
        Self::new(error.close_code(), error.to_string())
    }

    fn silent() -> Self {
        Self::new(code::POLICY, "no sign of life for 30 s")
    }

    fn unreadable(error: &store::Error) -> Self {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "what a sandbox host said cannot be looked up"
        );
        Self::new(code::GOING_AWAY, "the database cannot be read now")
    }

    fn frame(&self) -> Frame {
        // A close frame has 123 bytes for its reason.
        let end = self.reason.floor_char_boundary(123);
        Frame::Close(Some(CloseFrame {
            code: self.code,
            reason: self.reason[..end].into(),
        }))
    }
}

impl Agents {
    /// Serves a host until it leaves or must be sent away. `valid` says whether its credential
    /// still is.
    pub(crate) async fn serve<V>(
        &self,
        host: SandboxHostId,
        socket: WebSocket,
        valid: impl Fn() -> V + Send,
    ) where
        V: Future<Output = Result<bool, store::Error>> + Send,
    {
        let (mut writer, mut incoming) = socket.split();
        let goodbye = match self.greet(host, &mut writer, &mut incoming).await {
            Err(goodbye) => goodbye,
            Ok((link, outgoing)) => {
                let connection = Connection {
                    agents: self.clone(),
                    host,
                    link: Arc::clone(&link),
                    budget: Arc::new(Semaphore::new(INCOMING_UNITS)),
                    sessions: HashMap::new(),
                    readers: Readers::default(),
                };
                tracing::info!(%host, "sandbox host connected for agents");
                let goodbye = connection
                    .serve(&mut writer, &mut incoming, outgoing, valid)
                    .await;
                link.closed.cancel();
                self.inner.hosts.detach(host, link.number);
                // What was decided elsewhere goes before what came of it here.
                link.goodbye().or(goodbye)
            }
        };
        let reason = goodbye.as_ref().map(|goodbye| goodbye.reason.as_str());
        tracing::info!(%host, reason, "sandbox host disconnected for agents");
        if let Some(goodbye) = goodbye {
            // A host that takes nothing any more gets no goodbye.
            let closing = writer.send(goodbye.frame());
            let _ = tokio::time::timeout(Duration::from_secs(2), closing).await;
        }
    }

    /// Hello and welcome. `Err(None)`: the host left.
    async fn greet(
        &self,
        host: SandboxHostId,
        writer: &mut Writer,
        incoming: &mut Incoming,
    ) -> Result<(Arc<Link>, mpsc::Receiver<Outgoing>), Option<Goodbye>> {
        let late = |_| Goodbye::new(code::POLICY, "no hello within 10 s");
        let hello = tokio::time::timeout(HELLO, first(incoming));
        let hello = hello.await.map_err(|error| Some(late(error)))??;
        let (link, outgoing) = self.inner.hosts.attach(host, hello.clone());
        let welcome = tokio::time::timeout(WELCOME, self.welcome(host, &link, &hello));
        let late = |_| Goodbye::new(code::GOING_AWAY, "the control plane is too busy");
        let welcome = match welcome.await.map_err(late).flatten() {
            Ok(welcome) => welcome,
            Err(goodbye) => {
                link.close(goodbye.code, &goodbye.reason);
                self.inner.hosts.detach(host, link.number);
                return Err(Some(goodbye));
            }
        };
        let sent = match welcome.encode() {
            Ok(text) => send(writer, Frame::Text(text.into())).await,
            Err(error) => Err(Some(Goodbye::of(&error))),
        };
        if let Err(goodbye) = sent {
            link.closed.cancel();
            self.inner.hosts.detach(host, link.number);
            return Err(goodbye);
        }
        Ok((link, outgoing))
    }

    /// Has every conversation with a thread on the host hear of it.
    async fn welcome(
        &self,
        host: SandboxHostId,
        link: &Arc<Link>,
        hello: &[Held],
    ) -> Result<Down, Goodbye> {
        let there = self.inner.store.threads_on(host).await;
        let there = there.map_err(|error| Goodbye::unreadable(&error))?;
        let mut answers = Vec::with_capacity(there.len());
        let mut told = HashSet::new();
        for (_, session) in there {
            told.insert(session);
            let (known, answer) = oneshot::channel();
            let link = Arc::clone(link);
            let message = Message::Connected { link, known };
            self.tell(session, message).await;
            answers.push(answer);
        }
        // Conversations that wait for a first thread hear of the host, too.
        for session in self.inner.actors.all().difference(&told) {
            let (known, _) = oneshot::channel();
            let link = Arc::clone(link);
            self.tell(*session, Message::Connected { link, known })
                .await;
        }
        let known: HashMap<ThreadId, _> = join_all(answers)
            .await
            .into_iter()
            .filter_map(|known| known.ok()?)
            .map(|known| (known.thread, known))
            .collect();
        let (mut threads, mut forget) = (Vec::new(), Vec::new());
        for held in hello {
            match known.get(&held.thread) {
                Some(known) => threads.push(*known),
                None => forget.push(held.thread),
            }
        }
        Ok(Down::Welcome {
            version: VERSION,
            threads,
            forget,
        })
    }
}

/// The threads of a hello, which is the first message.
async fn first(incoming: &mut Incoming) -> Result<Vec<Held>, Option<Goodbye>> {
    loop {
        match incoming.next().await {
            None | Some(Err(_) | Ok(Frame::Close(_))) => return Err(None),
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
            Some(Ok(Frame::Binary(_))) => {
                return Err(Some(Goodbye::new(MALFORMED, "messages are text")));
            }
            Some(Ok(Frame::Text(text))) => match Up::decode(&text) {
                Ok(Up::Hello { threads, .. }) => return Ok(threads),
                Ok(_) => {
                    let why = "the first message is `hello`";
                    return Err(Some(Goodbye::new(MALFORMED, why)));
                }
                Err(error) => return Err(Some(Goodbye::of(&error))),
            },
        }
    }
}

async fn send(
    writer: &mut (impl Sink<Frame, Error = axum::Error> + Unpin),
    frame: Frame,
) -> Result<(), Option<Goodbye>> {
    match tokio::time::timeout(SILENCE, writer.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(None),
        Err(_) => Err(Some(Goodbye::silent())),
    }
}

struct Connection {
    agents: Agents,
    host: SandboxHostId,
    link: Arc<Link>,
    budget: Arc<Semaphore>,
    /// Whose threads are known to be whose.
    sessions: HashMap<ThreadId, SessionId>,
    readers: Readers,
}

impl Connection {
    async fn serve<V>(
        mut self,
        writer: &mut Writer,
        incoming: &mut Incoming,
        outgoing: mpsc::Receiver<Outgoing>,
        valid: impl Fn() -> V + Send,
    ) -> Option<Goodbye>
    where
        V: Future<Output = Result<bool, store::Error>> + Send,
    {
        let draining = self.agents.inner.tasks.draining_token().clone();
        let closed = self.link.closed.clone();
        tokio::select! {
            biased;
            () = closed.cancelled() => None,
            () = draining.cancelled() => {
                Some(Goodbye::new(code::GOING_AWAY, "the control plane is shutting down"))
            }
            goodbye = write(writer, outgoing, valid) => goodbye,
            goodbye = self.read(incoming) => goodbye,
        }
    }

    /// Hands on what the host says, until it ends. Who is busy makes it wait.
    async fn read(
        &mut self,
        incoming: &mut (impl Stream<Item = Result<Frame, axum::Error>> + Unpin),
    ) -> Option<Goodbye> {
        loop {
            let frame = match tokio::time::timeout(SILENCE, incoming.next()).await {
                Err(_) => return Some(Goodbye::silent()),
                Ok(None | Some(Ok(Frame::Close(_)))) => return None,
                Ok(Some(Err(error))) => return Some(unread(&error)),
                Ok(Some(Ok(frame))) => frame,
            };
            match frame {
                Frame::Text(text) => {
                    if let Err(goodbye) = self.hear(&text).await {
                        return Some(goodbye);
                    }
                }
                Frame::Binary(_) => return Some(Goodbye::new(MALFORMED, "messages are text")),
                Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
            }
        }
    }

    async fn hear(&mut self, text: &str) -> Result<(), Goodbye> {
        let up = Up::decode(text).map_err(|error| Goodbye::of(&error))?;
        let (thread, said) = match up {
            Up::Hello { .. } => {
                return Err(Goodbye::new(MALFORMED, "`hello` is the first message"));
            }
            Up::Events { thread, events } => (thread, Said::Events(events)),
            Up::Accepted { thread, through } => (thread, Said::Accepted(through)),
            Up::Unknown { thread } => (thread, Said::Unknown),
            Up::Follow {
                thread,
                reader,
                after,
            } => return self.follow(thread, reader, after).await,
            Up::Unfollow { reader } => {
                self.readers.unfollow(reader);
                return Ok(());
            }
        };
        let Some(session) = self.session(thread).await? else {
            self.link.send(&Down::Forget { thread }).await;
            return Ok(());
        };
        let units = units(text.len());
        // Never closed.
        let Ok(_budget) = Arc::clone(&self.budget).acquire_many_owned(units).await else {
            return Ok(());
        };
        let message = Message::Said {
            link: self.link.number,
            thread,
            said,
            _budget,
        };
        self.agents.tell(session, message).await;
        Ok(())
    }

    /// An editor in a sandbox of the host waits for what follows in a session's log.
    async fn follow(&mut self, thread: ThreadId, reader: u64, after: u64) -> Result<(), Goodbye> {
        let Some(session) = self.session(thread).await? else {
            self.link.send(&Down::Forget { thread }).await;
            return Ok(());
        };
        let asked = Asked {
            thread,
            session,
            // As much as the database counts.
            after: after.min(u64::MAX >> 1),
        };
        let room = self.readers.follow(&self.agents, &self.link, reader, asked);
        if !room {
            return Err(Goodbye::new(TOO_LARGE, "too many readers of logs"));
        }
        Ok(())
    }

    /// The session that a thread belongs to, if it is one of this host.
    async fn session(&mut self, thread: ThreadId) -> Result<Option<SessionId>, Goodbye> {
        if let Some(session) = self.sessions.get(&thread) {
            return Ok(Some(*session));
        }
        let store = &self.agents.inner.store;
        let found = store.session_of_thread(self.host, thread).await;
        let found = found.map_err(|error| Goodbye::unreadable(&error))?;
        if let Some(session) = found {
            if self.sessions.len() >= 2 * MAX_THREADS {
                // Some of them are over by now.
                self.sessions.clear();
            }
            self.sessions.insert(thread, session);
        }
        Ok(found)
    }
}

/// What the WebSocket did not let through.
fn unread(error: &axum::Error) -> Goodbye {
    let text = error.to_string();
    if text.contains("too long") || text.contains("too large") {
        return Goodbye::new(TOO_LARGE, "a message beyond its bound");
    }
    Goodbye::new(MALFORMED, text)
}

/// Writes what is to be sent, and pings, until the host takes nothing any more or may not be here.
async fn write<V>(
    writer: &mut Writer,
    mut outgoing: mpsc::Receiver<Outgoing>,
    valid: impl Fn() -> V + Send,
) -> Option<Goodbye>
where
    V: Future<Output = Result<bool, store::Error>> + Send,
{
    let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            biased;
            _ = pings.tick() => {
                // While the database does not answer it may go on.
                if !valid().await.unwrap_or(true) {
                    return Some(Goodbye::new(REVOKED, "the credential was revoked"));
                }
                Frame::Ping(bytes::Bytes::new())
            }
            message = outgoing.recv() => match message {
                Some(message) => Frame::Text(message.text.into()),
                None => return None,
            },
        };
        if let Err(goodbye) = send(writer, frame).await {
            return goodbye;
        }
    }
}
