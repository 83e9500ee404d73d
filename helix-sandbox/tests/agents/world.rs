//! A host with a real sandbox, and a control plane that says what a test says.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::{
    Isolation,
    namespaces::{Namespaces, Options},
};
use helix_proto::{
    SandboxId, ThreadId, TurnId, TypedId as _,
    agents::{
        AgentSpec, Command, Content, EventBody, Open, OptionKind, PermissionAnswer, TurnEnd,
        Variable,
    },
    sandbox::{
        DesktopKind, DesktopSpec, Egress, Rootfs, SandboxLimits, SandboxState, host::SandboxSpec,
    },
};
use helix_sandbox::{Handle, Host, HostOptions};
use http_body_util::BodyExt as _;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::control::{Control, OfThread};

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(90);
/// Where the model listens inside.
const PORT: u16 = 18_080;

pub(crate) fn trial<F: Future<Output = ()>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(2).enable_all().build();
        runtime.map_err(Failed::from)?.block_on(async {
            let ended = tokio::time::timeout(Duration::from_secs(300), test()).await;
            ended.map_err(|_| Failed::from("took more than five minutes"))
        })
    })
}

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) sandbox: SandboxId,
    pub(crate) thread: ThreadId,
    folder: tempfile::TempDir,
    options: HostOptions,
    /// Where there is a desktop.
    media: Option<PathBuf>,
    host: Option<Running>,
    tasks: TaskGroup,
    turns: u128,
}

/// Also where a test fails.
impl Drop for World {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(self.dispose()));
    }
}

/// What serves desktops, where cargo built it: beside this program's folder.
fn media() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let media = own.parent()?.parent()?.join("helix-media");
    media.is_file().then_some(media)
}

struct Running {
    tasks: TaskGroup,
    isolation: Arc<Namespaces>,
    handle: Handle,
    router: axum::Router,
}

impl World {
    /// With a sandbox that runs, and a scripted model in it.
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    /// The same, with a desktop that nothing of this machine's draws; none where what serves it was
    /// not built.
    pub(crate) async fn with_desktop() -> Option<Self> {
        let media = media()?;
        let world = Self::with(Some(media)).await;
        let path = format!(
            "/host/v1/sandboxes/{}/guest/desktop/screenshot",
            world.sandbox
        );
        let shown = async {
            loop {
                let router = world.host.as_ref().unwrap().router.clone();
                let request = Request::builder().uri(&path).body(Body::empty());
                let answer = router.oneshot(request.unwrap()).await.unwrap();
                if answer.status().is_success() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = tokio::time::timeout(WITHIN, shown).await;
        seen.expect("the desktop is shown");
        Some(world)
    }

    async fn with(media: Option<PathBuf>) -> Self {
        let tasks = TaskGroup::new();
        let folder = tempfile::tempdir().unwrap();
        let control = Control::new();
        let routes = control.routes();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn("control plane", async move {
            axum::serve(listener, routes).await
        });
        let options = HostOptions {
            data_dir: folder.path().to_owned(),
            server: Some(format!("http://{address}").parse().unwrap()),
            credential: Some("hxs_test".to_owned().into()),
            ..HostOptions::default()
        };
        let mut world = Self {
            control,
            sandbox: SandboxId::from_parts(1, 1),
            thread: ThreadId::from_parts(1, 1),
            folder,
            options,
            media,
            host: None,
            tasks,
            turns: 0,
        };
        world.start().await;
        world.handle().create(world.spec()).unwrap();
        let handle = world.handle();
        world
            .eventually("the sandbox runs", || {
                let status = handle.status(world.sandbox);
                status.is_some_and(|status| status.state == SandboxState::Running)
            })
            .await;
        world
            .put(
                "/home/user/agent.py",
                include_str!("../../src/agents/tests/agent.py"),
            )
            .await;
        world
            .put("/home/user/model.py", include_str!("model.py"))
            .await;
        let model = format!("exec python3 /home/user/model.py {PORT}");
        world.exec(&model, true).await;
        let listens = format!("until grep -q ':{PORT:04X} ' /proc/net/tcp; do sleep 0.1; done");
        world.exec(&listens, false).await;
        world
    }

    fn spec(&self) -> SandboxSpec {
        SandboxSpec {
            id: self.sandbox,
            name: "agents".to_owned(),
            rootfs: Rootfs::Host,
            egress: Egress::None,
            limits: SandboxLimits::DEFAULT,
            docker: false,
            desktop: self.media.as_ref().map(|_| DesktopSpec {
                kind: DesktopKind::Pattern,
                width: 640,
                height: 360,
                clipboard: true,
            }),
            env: BTreeMap::new(),
            idle_timeout_ms: None,
            expires_at_ms: None,
            origin: None,
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.host.as_ref().unwrap().handle.clone()
    }

    pub(crate) async fn start(&mut self) {
        let tasks = self.tasks.child();
        let settings = Options {
            tools: std::env::current_exe().ok(),
            media: self.media.clone(),
            ..Options::new(self.folder.path())
        };
        let opened = Namespaces::new(settings, Arc::new(SystemClock), tasks.clone()).await;
        let isolation = Arc::new(opened.unwrap());
        let shared: Arc<dyn Isolation> = Arc::clone(&isolation) as _;
        let host = Host::builder(self.options.clone(), shared)
            .build(&tasks)
            .await;
        let host = host.unwrap();
        self.host = Some(Running {
            tasks,
            isolation,
            handle: host.handle(),
            router: host.router(),
        });
    }

    /// The host ends as it does when it is killed: nothing more of it is done.
    pub(crate) async fn kill_host(&mut self) {
        let Running { tasks, .. } = self.host.take().unwrap();
        tasks.cancel();
        tasks.shutdown(WITHIN).await;
    }

    /// Nothing of it is left.
    async fn dispose(&mut self) {
        let Some(host) = self.host.take() else {
            return;
        };
        host.handle.delete(self.sandbox).await.unwrap();
        // What it asks the kernel by is of the host's tasks.
        host.isolation.dispose().await.unwrap();
        host.tasks.cancel();
        host.tasks.shutdown(WITHIN).await;
        self.tasks.cancel();
        self.tasks.shutdown(WITHIN).await;
    }

    async fn guest(&self, method: &str, path: &str, body: Vec<u8>) -> Vec<u8> {
        let path = format!("/host/v1/sandboxes/{}/guest/{path}", self.sandbox);
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let router = self.host.as_ref().unwrap().router.clone();
        let answer = router
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        body.to_vec()
    }

    pub(crate) async fn put(&self, path: &str, content: &str) {
        let path = format!("files/content?path={path}&parents=true");
        self.guest("PUT", &path, content.as_bytes().to_vec()).await;
    }

    pub(crate) async fn exec(&self, line: &str, background: bool) -> Value {
        let request = json!({"command": ["sh", "-c", line], "background": background});
        let answer = self
            .guest("POST", "exec", request.to_string().into_bytes())
            .await;
        serde_json::from_slice(&answer).unwrap()
    }

    /// What a file of the sandbox has; nothing where there is none.
    pub(crate) async fn file(&self, path: &str) -> String {
        let answer = self.exec(&format!("cat {path}"), false).await;
        answer["stdout"]["text"].as_str().unwrap().to_owned()
    }

    pub(crate) fn open(&self, command: &[&str], environment: &[(&str, String)]) {
        self.open_with(command, &[], environment);
    }

    pub(crate) fn open_with(
        &self,
        command: &[&str],
        install: &[&str],
        environment: &[(&str, String)],
    ) {
        let pairs = environment.iter().map(|(name, value)| Variable {
            name: (*name).to_owned(),
            value: value.clone(),
        });
        let open = Open {
            sandbox: self.sandbox,
            agent: AgentSpec {
                name: "agent".to_owned(),
                command: command.iter().map(|&word| word.to_owned()).collect(),
                install: install.iter().map(|&line| line.to_owned()).collect(),
                environment: pairs.collect(),
                directory: "/home/user/work".to_owned(),
            },
            resume: None,
        };
        self.command(Command::Open(Box::new(open)));
    }

    /// Where the model is, from inside.
    pub(crate) fn model() -> String {
        format!("http://127.0.0.1:{PORT}")
    }

    pub(crate) fn command(&self, command: Command) {
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

    pub(crate) fn prompt(&mut self, text: &str) -> TurnId {
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

    fn known(&self) -> OfThread {
        let state = self.control.state.lock().unwrap();
        assert!(state.faults.is_empty(), "{:?}", state.faults);
        state.threads.get(&self.thread).cloned().unwrap_or_default()
    }

    pub(crate) fn bodies(&self) -> Vec<EventBody> {
        let events = self.known().events.into_iter();
        events.map(|event| event.body).collect()
    }

    pub(crate) fn said(&self) -> String {
        let text = |body| match body {
            EventBody::Message {
                content: Content::Text { text },
            } => Some(text),
            _ => None,
        };
        self.bodies().into_iter().filter_map(text).collect()
    }

    /// Allows what is asked and not answered. How often it has.
    fn allow(&self, answered: &mut Vec<u64>) {
        for event in self.known().events {
            let EventBody::PermissionRequested { options, .. } = event.body else {
                continue;
            };
            if answered.contains(&event.seq) {
                continue;
            }
            answered.push(event.seq);
            let once = options
                .iter()
                .find(|option| option.kind == OptionKind::AllowOnce);
            let option = once.unwrap_or(&options[0]).id.clone();
            self.command(Command::Answer {
                request: event.seq,
                answer: PermissionAnswer::Selected { option },
            });
        }
    }

    /// Waits for a turn's end, and allows everything meanwhile.
    pub(crate) async fn ended(&self, turn: TurnId) -> TurnEnd {
        let find = || {
            self.bodies().into_iter().find_map(|body| match body {
                EventBody::TurnEnded { turn: other, end } if other == turn => Some(end),
                _ => None,
            })
        };
        let answered = std::sync::Mutex::new(Vec::new());
        self.eventually("the turn ends", || {
            self.allow(&mut answered.lock().unwrap());
            find().is_some()
        })
        .await;
        find().unwrap()
    }

    pub(crate) async fn eventually(&self, what: &str, is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(WITHIN, wait).await.is_err() {
            panic!("not within {WITHIN:?}: {what}: {:#?}", self.bodies());
        }
    }
}
