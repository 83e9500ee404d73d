//! A host with a sandbox of a real guest, and a control plane that says what a test says.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use helix_base::{SystemClock, TaskGroup};
use helix_isolation::guest::{Guest, GuestConfig, Role, router};
use helix_proto::{
    SandboxId, ThreadId, TurnId, TypedId as _,
    agents::{API, AgentPhase, AgentSpec, Command, Content, EventBody, Open, TurnEnd, Variable},
    sandbox::SandboxState,
};
use tokio::net::TcpListener;

use super::control::{Control, OfThread};
use crate::{
    Host, HostOptions,
    mock::{Mock, spec},
};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);

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
    /// The thread that is opened.
    pub(super) fn thread() -> ThreadId {
        ThreadId::from_parts(1, 1)
    }

    /// With a sandbox that runs, and no thread.
    pub(super) async fn new() -> Self {
        let control = Control::new();
        let routes = control.routes();
        let mut world = Self::serving(routes).await;
        world.control = control;
        world
    }

    /// With a control plane of one's own.
    pub(super) async fn serving(routes: axum::Router) -> Self {
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
            calls: Some(folder.path().join("calls")),
        };
        let guest =
            Guest::new(config, Role::Ordinary, Arc::new(SystemClock), tasks.clone()).unwrap();
        let mock = Mock::default();
        *mock.inside.lock().unwrap() = Some(router(guest));
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
            control: Control::new(),
            folder,
            sandbox: SandboxId::from_parts(1, 1),
            thread: Self::thread(),
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
        let open = self.opening(command, install);
        self.command(Command::Open(Box::new(open)));
    }

    pub(super) fn opening(&self, command: &[&str], install: &[&str]) -> Open {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Open {
            sandbox: self.sandbox,
            agent: AgentSpec {
                name: "scripted".to_owned(),
                command: words(command),
                install: words(install),
                environment: vec![Variable {
                    name: "API".to_owned(),
                    value: format!("{API}/v1"),
                }],
                directory: self.work(),
            },
            resume: None,
        }
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

    /// What was done so that it starts.
    pub(super) fn starting(&self) -> impl Iterator<Item = String> {
        self.bodies().into_iter().filter_map(|body| match body {
            EventBody::Agent {
                phase: AgentPhase::Starting,
                detail,
            } => Some(detail),
            _ => None,
        })
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
