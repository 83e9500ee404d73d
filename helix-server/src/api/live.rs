//! The live-update WebSocket of a user.

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    response::Response,
};
use futures_util::SinkExt as _;
use helix_base::TaskGroup;
use helix_proto::{
    SandboxId, SessionId,
    auth::Role,
    live::{ClientMessage, ServerMessage},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure,
    access::SessionsKey,
    streams::{self, Open},
};
use crate::{
    App,
    auth::Identity,
    events::{Notice, Received, Subscription, Topic},
    sessions::Follower,
    sharing::{Grant, Right},
    store::Logged,
};

/// The longest message of a client.
const MESSAGE_BYTES: usize = 16 << 10;
/// Sessions followed at once on one socket.
const FOLLOWED: usize = 32;
/// Batches of events on their way to the socket; readers of logs wait when it is full.
const OUTGOING: usize = 4;
/// Bytes that go over the socket together, about.
const TOGETHER: usize = 128 << 10;
/// How long a client may take no message, or give no sign of life.
const PATIENCE: Duration = Duration::from_secs(45);

/// Close codes that mean something to the web app ([RFC 6455 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4)
/// and the IANA registry).
mod code {
    /// The credential has ended: sign in again.
    pub(super) const SIGNED_OUT: u16 = 4001;
    /// Come back, with the lists fetched again.
    pub(super) const AGAIN: u16 = 1013;
    /// The control plane restarts: come back.
    pub(super) const RESTART: u16 = 1012;
    /// The client does not answer.
    pub(super) const SILENT: u16 = 1002;
}

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(live))
}

/// Everything that the caller may see, as it changes: a WebSocket. The client
/// sends `ClientMessage`, the control plane `ServerMessage`, as JSON text.
#[utoipa::path(get, path = "/api/v1/ws/user", tag = "sessions",
    responses((status = 101, body = ServerMessage), (status = 400), (status = 401), (status = 429)),
    security(("session" = ["member"]), ("api_key" = ["sessions"])))]
async fn live(
    caller: Caller<SessionsKey>,
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|rejection| {
        Failure::bad_request(format!(
            "this is a WebSocket: {}",
            rejection.body_text().to_lowercase()
        ))
    })?;
    let most = app.options().limits.streams_per_user;
    let open = app.streams().open(caller.user_id, most)?;
    let identity = (*caller).clone();
    let tasks = app.foundation().tasks.clone();
    // Listens before it is answered: a client that is connected misses nothing.
    let connection = Connection::new(app, identity, open);
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES)
        .on_upgrade(move |socket| async move {
            // In the group, so that a shutdown waits for the goodbye.
            let _ = tasks.spawn("live updates", connection.run(socket)).await;
        }))
}

/// Why a connection ends.
struct Goodbye(u16, &'static str);

/// A session that is followed, for as long as it is.
struct Followed {
    grant: Grant,
    /// Of another's session, the sandbox that its agent works in.
    sandbox: Option<SandboxId>,
    _stop: DropGuard,
}

struct Connection {
    app: App,
    identity: Identity,
    tasks: TaskGroup,
    followed: HashMap<SessionId, Followed>,
    outgoing: mpsc::Sender<(SessionId, Vec<Message>)>,
    incoming: mpsc::Receiver<(SessionId, Vec<Message>)>,
    own: Box<dyn Subscription>,
    fleet: Box<dyn Subscription>,
    /// All sandboxes, once a session is followed that another shares.
    sandboxes: Option<Box<dyn Subscription>>,
    ticks: Interval,
    heard_at: Instant,
    _open: Open,
}

impl Connection {
    fn new(app: App, identity: Identity, open: Open) -> Self {
        let bus = &app.foundation().bus;
        let (outgoing, incoming) = mpsc::channel(OUTGOING);
        Self {
            own: bus.subscribe(Topic::User(identity.user_id)),
            fleet: bus.subscribe(Topic::Fleet),
            sandboxes: None,
            tasks: app.foundation().tasks.child(),
            followed: HashMap::new(),
            ticks: streams::ticks(),
            heard_at: Instant::now(),
            app,
            identity,
            outgoing,
            incoming,
            _open: open,
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let goodbye = self.serve(&mut socket).await;
        self.tasks.cancel();
        if let Some(Goodbye(code, reason)) = goodbye {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            let closing = socket.send(Message::Close(Some(frame)));
            // A client that takes nothing any more gets no goodbye.
            let _ = tokio::time::timeout(Duration::from_secs(2), closing).await;
        }
    }

    /// Serves until the client leaves (`None`) or must be sent away.
    async fn serve(&mut self, socket: &mut WebSocket) -> Option<Goodbye> {
        let draining = self.app.foundation().tasks.draining_token().clone();
        loop {
            let messages = tokio::select! {
                biased;
                () = draining.cancelled() => return Some(Goodbye(code::RESTART, "restarting")),
                _ = self.ticks.tick() => {
                    if let Err(goodbye) = self.check().await {
                        return Some(goodbye);
                    }
                    let mut messages = self.unfollow_what_is_over().await;
                    messages.push(Message::Ping(bytes::Bytes::new()));
                    messages
                }
                message = socket.recv() => {
                    self.heard_at = Instant::now();
                    match message? {
                        Ok(Message::Text(text)) => texts(self.hear(&text).await),
                        Ok(Message::Close(_)) | Err(_) => return None,
                        Ok(_) => Vec::new(),
                    }
                }
                messages = self.incoming.recv() => match messages {
                    Some((session, messages)) if self.followed.contains_key(&session) => messages,
                    _ => Vec::new(),
                },
                received = next_of(&mut self.sandboxes) => match received {
                    Some(Received::Notice(notice)) => texts(self.of_shared(&notice)),
                    Some(Received::Missed) | None => return Some(Goodbye(code::AGAIN, "too slow")),
                },
                received = self.own.next() => match received {
                    Some(Received::Notice(Notice::SharesChanged)) => {
                        let mut messages = self.unfollow_what_is_over().await;
                        messages.extend(texts(self.translate(&Notice::SharesChanged)));
                        messages
                    }
                    Some(Received::Notice(notice)) => texts(self.translate(&notice)),
                    Some(Received::Missed) | None => return Some(Goodbye(code::AGAIN, "too slow")),
                },
                received = self.fleet.next() => match received {
                    Some(Received::Notice(notice)) => texts(self.translate(&notice)),
                    Some(Received::Missed) | None => return Some(Goodbye(code::AGAIN, "too slow")),
                },
            };
            match tokio::time::timeout(PATIENCE, send(socket, messages)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// Whether the connection may go on.
    async fn check(&self) -> Result<(), Goodbye> {
        if !streams::may_go_on(&self.app, &self.identity).await {
            return Err(Goodbye(code::SIGNED_OUT, "signed out"));
        }
        if self.heard_at.elapsed() > PATIENCE {
            return Err(Goodbye(code::SILENT, "no sign of life"));
        }
        Ok(())
    }

    /// Acts on a message of the client.
    async fn hear(&mut self, text: &str) -> Option<ServerMessage> {
        match serde_json::from_str(text) {
            Ok(ClientMessage::Follow { session_id, after }) => {
                if !self.followed.contains_key(&session_id) && self.followed.len() >= FOLLOWED {
                    return refuse(
                        Some(session_id),
                        "too many sessions are followed: unfollow one",
                    );
                }
                // Listens first: what ends the right meanwhile is heard.
                let follower = self.app.sessions().follow(session_id, after);
                let followed = self.follow(session_id, follower).await;
                followed
                    .err()
                    .and_then(|failure| refuse(Some(session_id), &failure.error().message))
            }
            Ok(ClientMessage::Unfollow { session_id }) => {
                self.followed.remove(&session_id);
                None
            }
            Err(error) => refuse(None, &format!("not a message that is known here: {error}")),
        }
    }

    /// Follows sessions no more that are not shared any more. What is said of each.
    async fn unfollow_what_is_over(&mut self) -> Vec<Message> {
        let mut over = Vec::new();
        for (id, Followed { grant, .. }) in &self.followed {
            if !self.app.sharing().sees(grant).await {
                over.push(*id);
            }
        }
        let mut messages = Vec::new();
        for id in over {
            self.followed.remove(&id);
            let message = "the session is not shared with you any more";
            messages.extend(texts(refuse(Some(id), message)));
        }
        messages
    }

    /// Sends a log's events from a task of its own, until it is unfollowed.
    async fn follow(
        &mut self,
        session_id: SessionId,
        mut follower: Follower,
    ) -> Result<(), Failure> {
        let found = self
            .app
            .sharing()
            .session(&self.identity, session_id)
            .await?;
        let mut sandbox = None;
        if found.grant.right() < Right::Own {
            let session = self.app.sessions().get(found.owner, session_id).await?;
            sandbox = session.agent.map(|agent| agent.sandbox_id);
            let bus = &self.app.foundation().bus;
            let listens = || bus.subscribe(Topic::Sandboxes);
            self.sandboxes.get_or_insert_with(listens);
        }
        let outgoing = self.outgoing.clone();
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let followed = Followed {
            grant: found.grant,
            sandbox,
            _stop,
        };
        self.followed.insert(session_id, followed);
        self.tasks.spawn("follow a session", async move {
            let following = async {
                while let Ok(Some(events)) = follower.more().await {
                    for messages in batches(session_id, events) {
                        if outgoing.send((session_id, messages)).await.is_err() {
                            return;
                        }
                    }
                }
            };
            stop.run_until_cancelled(following).await;
        });
        Ok(())
    }

    /// What a notice about any sandbox is to this user: something, where a session is followed
    /// that another shares.
    fn of_shared(&self, notice: &Notice) -> Option<ServerMessage> {
        let id = match notice {
            Notice::SandboxChanged { sandbox } => sandbox.id,
            Notice::SandboxDeleted { sandbox_id } => *sandbox_id,
            _ => return None,
        };
        let mut followed = self.followed.values();
        let shared = followed.any(|followed| followed.sandbox == Some(id));
        shared.then(|| self.translate(notice)).flatten()
    }

    /// What a notice is to this user.
    fn translate(&self, notice: &Notice) -> Option<ServerMessage> {
        let admin = self.identity.role == Role::Admin;
        match notice {
            Notice::SessionChanged { session } => Some(ServerMessage::SessionChanged {
                session: (**session).clone(),
            }),
            Notice::SessionDeleted { session_id } => Some(ServerMessage::SessionDeleted {
                session_id: *session_id,
            }),
            Notice::RunnersChanged => admin.then_some(ServerMessage::RunnersChanged),
            Notice::QueueChanged => admin.then_some(ServerMessage::QueueChanged),
            Notice::SandboxChanged { sandbox } => Some(ServerMessage::SandboxChanged {
                sandbox: Box::new((**sandbox).clone()),
            }),
            Notice::SandboxDeleted { sandbox_id } => Some(ServerMessage::SandboxDeleted {
                sandbox_id: *sandbox_id,
            }),
            Notice::SharesChanged => Some(ServerMessage::SharesChanged),
            Notice::SnapshotsChanged => Some(ServerMessage::SnapshotsChanged),
            Notice::SandboxHostsChanged => admin.then_some(ServerMessage::SandboxHostsChanged),
            Notice::ModelsChanged => Some(ServerMessage::ModelsChanged),
            Notice::Appended { .. } => None,
        }
    }
}

/// Sends messages, with as few writes as can be.
async fn send(socket: &mut WebSocket, messages: Vec<Message>) -> Result<(), axum::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    for message in messages {
        socket.feed(message).await?;
    }
    socket.flush().await
}

/// [`ServerMessage::SessionEvent`], of an event that is JSON already.
#[derive(Serialize)]
#[serde(tag = "type", rename = "session_event")]
struct LoggedMessage<'a> {
    session_id: SessionId,
    event: &'a RawValue,
}

/// Events of a session as they go over the socket, so many bytes together.
fn batches(session_id: SessionId, events: Vec<Logged>) -> impl Iterator<Item = Vec<Message>> {
    let mut events = events.into_iter();
    std::iter::from_fn(move || {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while bytes < TOGETHER
            && let Some(event) = events.next()
        {
            let event = &*event.json;
            // Of texts alone: it does not fail.
            if let Ok(text) = serde_json::to_string(&LoggedMessage { session_id, event }) {
                bytes += text.len();
                messages.push(Message::Text(text.into()));
            }
        }
        (!messages.is_empty()).then_some(messages)
    })
}

/// What could not be done, and in which session.
fn refuse(session_id: Option<SessionId>, message: &str) -> Option<ServerMessage> {
    Some(ServerMessage::Error {
        session_id,
        message: message.to_owned(),
    })
}

/// What comes next of something that is not always listened to.
async fn next_of(subscription: &mut Option<Box<dyn Subscription>>) -> Option<Received> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// As it goes over the socket.
fn texts(message: Option<ServerMessage>) -> Vec<Message> {
    let text = message.and_then(|message| serde_json::to_string(&message).ok());
    text.into_iter()
        .map(|text| Message::Text(text.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use helix_proto::{
        TurnId, TypedId as _,
        session::{SessionEvent, SessionEventBody},
    };

    use super::*;

    #[test]
    fn events_go_over_the_socket_as_the_contract_says_in_bounded_batches() {
        let session_id = SessionId::from_parts(1, 1);
        let event = |seq| SessionEvent {
            seq,
            at_ms: 7,
            body: SessionEventBody::TurnDelta {
                turn_id: TurnId::from_parts(1, 1),
                text: "\"é\n".repeat(1_000),
            },
        };
        let logged = (1..=100).map(|seq| Logged::try_from(&event(seq)).unwrap());
        let sent: Vec<_> = batches(session_id, logged.collect()).collect();
        assert!(sent.len() > 2, "{}", sent.len());
        let sent: Vec<_> = sent.into_iter().flatten().collect();
        assert_eq!(sent.len(), 100);
        for (message, seq) in sent.into_iter().zip(1..) {
            let expected = ServerMessage::SessionEvent {
                session_id,
                event: event(seq),
            };
            let text = message.into_text().unwrap();
            assert_eq!(*text, serde_json::to_string(&expected).unwrap());
        }
    }
}
