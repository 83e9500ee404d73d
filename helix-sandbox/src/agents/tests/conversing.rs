//! A control plane with one conversation, whose machine is the real one, and its log in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    routing::get,
};
use helix_agent::{
    Step,
    control::{Act, Change, Conversation, Effect, Limits, Refusal},
};
use helix_base::{Clock as _, SystemClock};
use helix_proto::{
    ThreadId,
    agents::{Down, Entry, Known, LogPage, Open, Up, VERSION},
};
use tokio::sync::watch;

/// Entries of a page at most: small, so that there are several.
const PAGE: usize = 7;

#[derive(Debug)]
struct Talk {
    machine: Conversation,
    thread: ThreadId,
    log: Vec<Entry>,
    downs: Vec<Down>,
    readers: BTreeMap<u64, (ThreadId, u64)>,
    /// Connections of before this are closed.
    since: u64,
    greeted: bool,
}

/// The control plane.
#[derive(Debug, Clone)]
pub(super) struct Conversing {
    talk: Arc<Mutex<Talk>>,
    pub(super) changed: watch::Sender<u64>,
}

impl Conversing {
    pub(super) fn new(thread: ThreadId) -> Self {
        let talk = Talk {
            machine: Conversation::new(Limits::default()),
            thread,
            log: Vec::new(),
            downs: Vec::new(),
            readers: BTreeMap::new(),
            since: 0,
            greeted: false,
        };
        Self {
            talk: Arc::new(Mutex::new(talk)),
            changed: watch::Sender::new(0),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Talk) -> T) -> T {
        let answer = change(&mut self.talk.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        answer
    }

    pub(super) fn open(&self, open: Open) {
        self.with(|talk| {
            let step = talk.machine.open(talk.thread, open, SystemClock.now_ms());
            talk.carry_out(step);
        });
    }

    /// What somebody does on the session's page.
    pub(super) fn act(&self, act: Act) -> Result<(), Refusal> {
        self.with(|talk| {
            let step = talk.machine.act(act, SystemClock.now_ms())?;
            talk.carry_out(step);
            Ok(())
        })
    }

    /// The connection is cut.
    pub(super) fn cut(&self) {
        self.with(|talk| talk.since += 1);
    }

    pub(super) fn log(&self) -> Vec<Entry> {
        self.talk.lock().unwrap().log.clone()
    }

    pub(super) fn routes(&self) -> Router {
        let sync = async |State(control): State<Self>, upgrade: WebSocketUpgrade| {
            let upgrade = upgrade.max_message_size(8 << 20);
            upgrade.on_upgrade(async move |socket| control.talk(socket).await)
        };
        Router::new()
            .route("/api/v1/external-agents/sync", get(sync))
            .with_state(self.clone())
    }

    async fn talk(self, mut socket: WebSocket) {
        let mut changed = self.changed.subscribe();
        let since = self.talk.lock().unwrap().since;
        loop {
            if self.talk.lock().unwrap().since != since {
                break;
            }
            let downs = self.talk.lock().unwrap().downs();
            for down in downs {
                let text = Message::text(down.encode().unwrap());
                if socket.send(text).await.is_err() {
                    break;
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let up = Up::decode(text.as_str()).unwrap();
                        self.with(|talk| talk.hears(up));
                    }
                    Some(Ok(_)) => {}
                    _ => break,
                },
            }
        }
        self.with(|talk| {
            talk.greeted = false;
            talk.downs.clear();
            talk.readers.clear();
            let step = talk.machine.disconnected(SystemClock.now_ms());
            talk.carry_out(step);
        });
    }
}

impl Talk {
    fn carry_out(&mut self, step: Step<Change, Effect>) {
        for change in step.changes {
            if let Change::Log { entry } = change {
                self.log.push(*entry);
            }
        }
        for effect in step.effects {
            if let Effect::Send(down) = effect {
                self.downs.push(down);
            }
        }
    }

    fn hears(&mut self, up: Up) {
        let now = SystemClock.now_ms();
        let step = match up {
            Up::Hello { threads, .. } => {
                let thread = self.thread;
                let held = threads.into_iter().find(|held| held.thread == thread);
                let here = held.is_some();
                let step = self.machine.connected(held, now);
                let known = self.machine.known().filter(|_| here);
                let threads: Vec<Known> = known.into_iter().collect();
                self.downs.clear();
                self.downs.push(Down::Welcome {
                    version: VERSION,
                    threads,
                    forget: Vec::new(),
                });
                self.greeted = true;
                step
            }
            Up::Events { thread, events } => self.machine.events(thread, events, now).unwrap(),
            Up::Accepted { thread, through } => {
                self.machine.accepted(thread, through, now).unwrap()
            }
            Up::Unknown { thread } => self.machine.unknown(thread, now),
            Up::Follow {
                thread,
                reader,
                after,
            } => {
                assert_eq!(thread, self.thread);
                self.readers.insert(reader, (thread, after));
                return;
            }
            Up::Unfollow { reader } => {
                self.readers.remove(&reader);
                return;
            }
        };
        self.carry_out(step);
    }

    /// What is to be sent.
    fn downs(&mut self) -> Vec<Down> {
        if !self.greeted {
            return Vec::new();
        }
        let mut downs = std::mem::take(&mut self.downs);
        let length = self.log.len() as u64;
        let ready = self.readers.extract_if(.., |_, (_, after)| *after < length);
        for (reader, (thread, after)) in ready.collect::<Vec<_>>() {
            let from = usize::try_from(after).unwrap();
            let until = self.log.len().min(from + PAGE);
            downs.push(Down::Log(LogPage {
                thread,
                reader,
                through: until as u64,
                more: until < self.log.len(),
                entries: self.log[from..until].to_vec(),
            }));
        }
        downs
    }
}
