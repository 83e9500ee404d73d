//! A control plane that says what a test says, and remembers what it hears.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::HeaderMap,
    response::Response,
    routing::get,
};
use helix_proto::{
    ThreadId,
    agents::{Command, Down, Event, Known, Numbered, Up, VERSION},
};
use tokio::sync::watch;

/// Whose key asks.
async fn models(headers: HeaderMap) -> String {
    let key = headers.get("authorization");
    key.map_or("nobody", |key| key.to_str().unwrap()).to_owned()
}

/// What a control plane knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfThread {
    pub(crate) commands: Vec<Command>,
    pub(crate) accepted: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) unknown: bool,
}

/// What a control plane is.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) state: Arc<Mutex<Everything>>,
    pub(crate) changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Everything {
    pub(crate) threads: BTreeMap<ThreadId, OfThread>,
    pub(crate) hellos: u32,
    /// Connections of before this are closed.
    pub(crate) since: u64,
    pub(crate) acknowledges: bool,
    /// Events that came twice, or out of order.
    pub(crate) faults: Vec<String>,
}

impl Control {
    pub(crate) fn new() -> Self {
        let state = Everything {
            acknowledges: true,
            ..Everything::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Everything) -> T) -> T {
        let answer = change(&mut self.state.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        answer
    }

    /// The route of agent sync.
    pub(crate) fn routes(&self) -> Router {
        let sync =
            async |State(control): State<Self>, upgrade: WebSocketUpgrade| control.serve(upgrade);
        Router::new()
            .route("/api/v1/external-agents/sync", get(sync))
            .route("/v1/models", get(models))
            .route("/api/v1/sessions", get(models))
            .with_state(self.clone())
    }

    fn serve(self, upgrade: WebSocketUpgrade) -> Response {
        upgrade
            .max_message_size(8 << 20)
            .on_upgrade(async move |socket| self.talk(socket).await)
    }

    async fn talk(self, mut socket: WebSocket) {
        let generation = self.state.lock().unwrap().since;
        let mut sent: BTreeMap<ThreadId, u64> = BTreeMap::new();
        let mut changed = self.changed.subscribe();
        let mut welcomed = false;
        loop {
            if self.state.lock().unwrap().since != generation {
                // As a cut is: without a word.
                return;
            }
            if welcomed {
                let downs = self.commands(&mut sent);
                for down in downs {
                    let text = down.encode().unwrap();
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                message = socket.recv() => {
                    let Some(Ok(message)) = message else { return };
                    let Message::Text(text) = message else { continue };
                    let up = Up::decode(text.as_str()).unwrap();
                    match self.hears(up, &mut sent, &mut welcomed) {
                        Ok(downs) => for down in downs {
                            let text = down.encode().unwrap();
                            if socket.send(Message::text(text)).await.is_err() {
                                return;
                            }
                        },
                        Err(why) => {
                            let frame = CloseFrame { code: 4010, reason: why.into() };
                            let _ = socket.send(Message::Close(Some(frame))).await;
                            return;
                        }
                    }
                }
            }
        }
    }

    fn commands(&self, sent: &mut BTreeMap<ThreadId, u64>) -> Vec<Down> {
        let state = self.state.lock().unwrap();
        let mut downs = Vec::new();
        for (thread, known) in &state.threads {
            let from = sent.entry(*thread).or_insert(known.accepted);
            for number in *from + 1..=known.commands.len() as u64 {
                let at = usize::try_from(number - 1).unwrap();
                let command = known.commands[at].clone();
                let command = Numbered { number, command };
                downs.push(Down::Command {
                    thread: *thread,
                    command,
                });
                *from = number;
            }
        }
        downs
    }

    fn hears(
        &self,
        up: Up,
        sent: &mut BTreeMap<ThreadId, u64>,
        welcomed: &mut bool,
    ) -> Result<Vec<Down>, String> {
        self.change(|state| match up {
            Up::Hello { threads, .. } => {
                state.hellos += 1;
                *welcomed = true;
                let mut known = Vec::new();
                for held in &threads {
                    let Some(thread) = state.threads.get_mut(&held.thread) else {
                        continue;
                    };
                    thread.accepted = held.accepted;
                    sent.insert(held.thread, held.accepted);
                    known.push(Known {
                        thread: held.thread,
                        acknowledged: thread.events.len() as u64,
                    });
                }
                let version = VERSION;
                Ok(vec![Down::Welcome {
                    version,
                    threads: known,
                    forget: Vec::new(),
                }])
            }
            Up::Accepted { thread, through } => {
                let known = state.threads.get_mut(&thread).unwrap();
                known.accepted = known.accepted.max(through);
                Ok(Vec::new())
            }
            Up::Events { thread, events } => {
                let acknowledges = state.acknowledges;
                let known = state.threads.get_mut(&thread).unwrap();
                for event in events {
                    let next = known.events.len() as u64 + 1;
                    if event.seq > next {
                        return Err(format!("{} after {next}", event.seq));
                    }
                    if event.seq == next {
                        known.events.push(event);
                    } else if known.events[usize::try_from(event.seq - 1).unwrap()] != event {
                        state.faults.push(format!("event {} changed", event.seq));
                    }
                }
                let through = known.events.len() as u64;
                Ok(if acknowledges {
                    vec![Down::Acknowledge { thread, through }]
                } else {
                    Vec::new()
                })
            }
            Up::Unknown { thread } => {
                state.threads.get_mut(&thread).unwrap().unknown = true;
                Ok(Vec::new())
            }
            // Nobody reads by this control plane, which keeps no logs.
            Up::Follow { .. } | Up::Unfollow { .. } => Ok(Vec::new()),
        })
    }
}
