//! A host with a sandbox of a real guest, and a control plane that says what a test says.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
    routing::get,
};
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::guest::{Guest, GuestConfig, Role, router};
use helix_proto::{
    SandboxId, ThreadId, TurnId, TypedId as _,
    agents::{
        AgentSpec, Command, Content, Down, Event, EventBody, Known, Numbered, Open, TurnEnd, Up,
        VERSION,
    },
    sandbox::SandboxState,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Host, HostOptions,
    mock::{Mock, spec},
};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);

/// What a control plane knows.
#[derive(Debug, Clone, Default)]
pub(super) struct OfThread {
    pub(super) commands: Vec<Command>,
    pub(super) accepted: u64,
    pub(super) events: Vec<Event>,
    pub(super) unknown: bool,
}

/// What a control plane is.
#[derive(Debug, Clone)]
pub(super) struct Control {
    state: Arc<Mutex<Everything>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Everything {
    threads: BTreeMap<ThreadId, OfThread>,
    hellos: u32,
    /// Connections of before this are closed.
    since: u64,
    refuses: bool,
    acknowledges: bool,
    /// Events that came twice, or out of order.
    faults: Vec<String>,
}

impl Control {
    fn new() -> Self {
        let state = Everything {
            acknowledges: true,
            ..Everything::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Everything) -> T) -> T {
        let answer = change(&mut self.state.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        answer
    }

    fn serve(self, upgrade: WebSocketUpgrade) -> Response {
        upgrade
            .max_message_size(8 << 20)
            .on_upgrade(async move |socket| self.talk(socket).await)
    }

    async fn talk(self, mut socket: WebSocket) {
        if self.state.lock().unwrap().refuses {
            return;
        }
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
        })
    }
}

/// Everything.
pub(super) struct World {
    pub(super) control: Control,
    pub(super) folder: tempfile::TempDir,
    pub(super) sandbox: SandboxId,
    pub(super) thread: ThreadId,
    mock: Mock,
    options: HostOptions,
    host: Option<(TaskGroup, crate::Handle)>,
    tasks: TaskGroup,
    turns: u128,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl World {
    /// With a sandbox that runs, and no thread.
    pub(super) async fn new() -> Self {
        let tasks = TaskGroup::new();
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        std::fs::create_dir(&work).unwrap();
        for path in [folder.path(), &work] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        std::fs::write(work.join("agent.py"), include_str!("agent.py")).unwrap();
        let config = GuestConfig {
            hostname: "box".to_owned(),
            env: BTreeMap::new(),
            docker: false,
            desktop: None,
            docker_images: Vec::new(),
        };
        let guest =
            Guest::new(config, Role::Ordinary, Arc::new(SystemClock), tasks.clone()).unwrap();
        let mock = Mock::default();
        *mock.inside.lock().unwrap() = Some(router(guest));
        let control = Control::new();
        let routes = Router::new()
            .route(
                "/api/v1/external-agents/sync",
                get(
                    async |State(control): State<Control>, upgrade: WebSocketUpgrade| {
                        control.serve(upgrade)
                    },
                ),
            )
            .with_state(control.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn("control plane", async move {
            axum::serve(listener, routes).await
        });
        let options = HostOptions {
            data_dir: folder.path().join("data"),
            server: Some(format!("http://{address}").parse().unwrap()),
            credential: Some("hxs_test".to_owned().into()),
            ..HostOptions::default()
        };
        std::fs::create_dir(&options.data_dir).unwrap();
        let mut world = Self {
            control,
            folder,
            sandbox: SandboxId::from_parts(1, 1),
            thread: ThreadId::from_parts(1, 1),
            mock,
            options,
            host: None,
            tasks,
            turns: 0,
        };
        world.start().await;
        let handle = world.handle();
        handle.create(spec(1)).unwrap();
        world
            .eventually("the sandbox runs", || {
                handle
                    .status(world.sandbox)
                    .is_some_and(|status| status.state == SandboxState::Running)
            })
            .await;
        world
    }

    pub(super) fn handle(&self) -> crate::Handle {
        self.host.as_ref().unwrap().1.clone()
    }

    pub(super) async fn start(&mut self) {
        let tasks = self.tasks.child();
        let isolation = Arc::new(self.mock.clone());
        let host = Host::builder(self.options.clone(), isolation)
            .build(&tasks)
            .await
            .unwrap();
        self.host = Some((tasks, host.handle()));
    }

    /// The host ends as it does when it is killed: nothing more of it is done.
    pub(super) async fn kill_host(&mut self) {
        let (tasks, _) = self.host.take().unwrap();
        tasks.cancel();
        tasks.shutdown(WITHIN).await;
    }

    /// The connection is cut, and every later one of before a time.
    pub(super) fn cut(&self) {
        self.control.change(|state| state.since += 1);
    }

    pub(super) fn acknowledges(&self, acknowledges: bool) {
        self.control
            .change(|state| state.acknowledges = acknowledges);
    }

    pub(super) fn work(&self) -> String {
        self.folder.path().join("work").display().to_string()
    }

    /// Opens the thread with the agent that does what its prompts say.
    pub(super) fn open(&self) {
        self.open_with(&["python3", "agent.py"], &[]);
    }

    pub(super) fn open_with(&self, command: &[&str], install: &[&str]) {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let open = Open {
            sandbox: self.sandbox,
            agent: AgentSpec {
                name: "scripted".to_owned(),
                command: words(command),
                install: words(install),
                environment: Vec::new(),
                directory: self.work(),
            },
            resume: None,
        };
        self.command(Command::Open(Box::new(open)));
    }

    pub(super) fn command(&self, command: Command) {
        let thread = self.thread;
        self.control.change(|state| {
            state
                .threads
                .entry(thread)
                .or_default()
                .commands
                .push(command)
        });
    }

    pub(super) fn prompt(&mut self, text: &str) -> TurnId {
        self.turns += 1;
        let turn = TurnId::from_parts(1, self.turns);
        let content = vec![Content::text(text)];
        self.command(Command::Prompt {
            turn,
            content,
            wanted: None,
        });
        turn
    }

    pub(super) fn known(&self) -> OfThread {
        let state = self.control.state.lock().unwrap();
        assert!(state.faults.is_empty(), "{:?}", state.faults);
        state.threads.get(&self.thread).cloned().unwrap_or_default()
    }

    pub(super) fn bodies(&self) -> Vec<EventBody> {
        self.known()
            .events
            .into_iter()
            .map(|event| event.body)
            .collect()
    }

    /// All that the agent said.
    pub(super) fn said(&self) -> String {
        let text = |body| match body {
            EventBody::Message {
                content: Content::Text { text },
            } => Some(text),
            _ => None,
        };
        self.bodies().into_iter().filter_map(text).collect()
    }

    /// Waits for a turn's end.
    pub(super) async fn ended(&self, turn: TurnId) -> TurnEnd {
        let find = || {
            self.bodies().into_iter().find_map(|body| match body {
                EventBody::TurnEnded { turn: other, end } if other == turn => Some(end),
                _ => None,
            })
        };
        self.eventually("the turn ends", || find().is_some()).await;
        find().unwrap()
    }

    pub(super) async fn eventually(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut changed = self.control.changed.subscribe();
        let wait = async {
            while !is_so() {
                tokio::select! {
                    _ = changed.changed() => {}
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        };
        if tokio::time::timeout(WITHIN, wait).await.is_err() {
            panic!("not within {WITHIN:?}: {what}: {:#?}", self.bodies());
        }
    }
}
