//! The agents' side of a sandbox host that does as it is told by a test, over a real WebSocket.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use helix_base::{Outbound, OutboundOptions, outbound::BoxedIo};
use helix_proto::{
    ThreadId,
    agents::{
        Command, Content, Down, Event, EventBody, Held, MAX_EVENTS, Numbered, Open, Up, VERSION,
    },
};
use http::{HeaderMap, header};
use serde_json::json;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::world::World;

pub(crate) const PATH: &str = "/api/v1/external-agents/sync";

/// What a host keeps on its disk, and its connection.
pub(crate) struct AgentHost {
    credential: String,
    pub(crate) socket: WebSocketStream<BoxedIo>,
    /// What the welcome said.
    pub(crate) forget: Vec<ThreadId>,
    pub(crate) threads: BTreeMap<ThreadId, Kept>,
}

/// A thread as the host keeps it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) accepted: u64,
    /// Those that are not acknowledged.
    pub(crate) events: Vec<Event>,
    pub(crate) last_seq: u64,
}

impl AgentHost {
    /// Connects a host that has no thread.
    pub(crate) async fn connect(world: &World, credential: &str) -> Self {
        let socket = dial(world, credential).await;
        let mut host = Self {
            credential: credential.to_owned(),
            socket,
            forget: Vec::new(),
            threads: BTreeMap::new(),
        };
        host.greet().await;
        host
    }

    /// Connects again, with what is on the disk.
    pub(crate) async fn reconnect(&mut self, world: &World) {
        self.socket = dial(world, &self.credential).await;
        self.greet().await;
    }

    async fn greet(&mut self) {
        let held = |(thread, kept): (&ThreadId, &Kept)| Held {
            thread: *thread,
            accepted: kept.accepted,
            first_seq: kept
                .events
                .first()
                .map_or(kept.last_seq + 1, |event| event.seq),
            last_seq: kept.last_seq,
        };
        let threads = self.threads.iter().map(held).collect();
        self.say(Up::Hello {
            version: VERSION,
            threads,
        })
        .await;
        let Down::Welcome {
            threads, forget, ..
        } = self.hear().await
        else {
            panic!("no welcome");
        };
        for known in threads {
            let kept = self.threads.get_mut(&known.thread).unwrap();
            kept.events.retain(|event| event.seq > known.acknowledged);
            let (thread, kept) = (known.thread, kept.events.clone());
            for events in kept.chunks(MAX_EVENTS) {
                let events = events.to_vec();
                self.say(Up::Events { thread, events }).await;
            }
        }
        for thread in &forget {
            self.threads.remove(thread);
        }
        self.forget = forget;
    }

    pub(crate) async fn say(&mut self, up: Up) {
        let text = serde_json::to_string(&up).unwrap();
        self.socket.send(Message::Text(text.into())).await.unwrap();
    }

    /// The next message within 20 s.
    pub(crate) async fn hear(&mut self) -> Down {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.socket.next());
            match next.await.expect("a message in time").unwrap().unwrap() {
                Message::Text(text) => return Down::decode(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next command, which is stored and accepted; acknowledgements before it are taken.
    pub(crate) async fn command(&mut self) -> (ThreadId, Command) {
        loop {
            match self.hear().await {
                Down::Command {
                    thread,
                    command: Numbered { number, command },
                } => {
                    let kept = self.threads.entry(thread).or_default();
                    if number <= kept.accepted {
                        continue;
                    }
                    assert_eq!(number, kept.accepted + 1);
                    kept.accepted = number;
                    self.say(Up::Accepted {
                        thread,
                        through: number,
                    })
                    .await;
                    return (thread, command);
                }
                Down::Acknowledge { thread, through } => self.acknowledged(thread, through),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next thread that is to be forgotten, which is; acknowledgements before that are taken.
    pub(crate) async fn forgets(&mut self) -> ThreadId {
        loop {
            match self.hear().await {
                Down::Forget { thread } => {
                    self.threads.remove(&thread);
                    return thread;
                }
                Down::Acknowledge { thread, through } => self.acknowledged(thread, through),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Takes what is there to be read: acknowledgements.
    pub(crate) fn take(&mut self) {
        while let Some(Some(Ok(message))) = self.socket.next().now_or_never() {
            let Message::Text(text) = message else {
                continue;
            };
            match Down::decode(&text).unwrap() {
                Down::Acknowledge { thread, through } => self.acknowledged(thread, through),
                other => panic!("{other:?}"),
            }
        }
    }

    fn acknowledged(&mut self, thread: ThreadId, through: u64) {
        let kept = self.threads.get_mut(&thread).unwrap();
        kept.events.retain(|event| event.seq > through);
    }

    /// The first two commands of a thread: the opening and a prompt.
    pub(crate) async fn opened(&mut self) -> (ThreadId, Open, helix_proto::TurnId) {
        let (thread, Command::Open(open)) = self.command().await else {
            panic!("not opened");
        };
        let (_, Command::Prompt { turn, .. }) = self.command().await else {
            panic!("no prompt");
        };
        (thread, *open, turn)
    }

    /// Keeps events, and says them.
    pub(crate) async fn tell(&mut self, thread: ThreadId, bodies: Vec<EventBody>) -> u64 {
        let events = self.keep(thread, bodies);
        let last = events.last().unwrap().seq;
        self.say(Up::Events { thread, events }).await;
        last
    }

    /// Keeps events without saying them.
    pub(crate) fn keep(&mut self, thread: ThreadId, bodies: Vec<EventBody>) -> Vec<Event> {
        let kept = self.threads.get_mut(&thread).unwrap();
        let events: Vec<_> = bodies
            .into_iter()
            .map(|body| {
                kept.last_seq += 1;
                Event {
                    seq: kept.last_seq,
                    at_ms: 1,
                    body,
                }
            })
            .collect();
        kept.events.extend(events.iter().cloned());
        events
    }

    /// Waits until everything is acknowledged.
    pub(crate) async fn all_acknowledged(&mut self, thread: ThreadId) {
        while !self.threads[&thread].events.is_empty() {
            match self.hear().await {
                Down::Acknowledge { thread, through } => self.acknowledged(thread, through),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code and the reason with which the control plane closes, within 20 s.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        closing(&mut self.socket).await
    }
}

/// The code and the reason with which the control plane closes, within 20 s.
pub(crate) async fn closing(socket: &mut WebSocketStream<BoxedIo>) -> (u16, String) {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), socket.next());
        match next.await.expect("a close in time") {
            Some(Ok(Message::Close(Some(frame)))) => {
                return (frame.code.into(), frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A socket that has not said hello.
pub(crate) async fn dial(world: &World, credential: &str) -> WebSocketStream<BoxedIo> {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {credential}");
    headers.insert(header::AUTHORIZATION, bearer.parse().unwrap());
    let url = format!("{}{PATH}", world.url().replace("http", "ws"));
    let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
    let config = WebSocketConfig::default();
    outbound
        .websocket_with(&url.parse().unwrap(), headers, config)
        .await
        .unwrap()
}

pub(crate) fn started(turn: helix_proto::TurnId) -> EventBody {
    EventBody::TurnStarted { turn }
}

pub(crate) fn message(text: &str) -> EventBody {
    EventBody::Message {
        content: Content::text(text),
    }
}

/// An event as JSON says it.
pub(crate) fn event(value: serde_json::Value) -> EventBody {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn ended(turn: helix_proto::TurnId) -> EventBody {
    event(json!({"type": "turn_ended", "turn": turn, "outcome": "completed", "stop": "end_turn"}))
}

/// A request for a permission with two options.
pub(crate) fn asks() -> EventBody {
    event(json!({"type": "permission_requested",
        "call": {"id": "c1", "title": "Write hello.txt"},
        "options": [{"id": "yes", "name": "Allow", "kind": "allow_once"},
            {"id": "no", "name": "Reject", "kind": "reject_once"}]}))
}
