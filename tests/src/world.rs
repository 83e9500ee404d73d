//! A control plane and its runners, as their own processes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use helix_proto::{
    RunnerId,
    auth::{CreateApiKeyRequest, CreatedApiKey, RegisterRequest, Scope},
    fleet::{CreateRunnerRequest, CreatedRunner, Runner as RunnerView, RunnerState},
    model::{CreateModelRequest, EngineKind, Model, ModelSettings, ModelSource},
};
use reqwest::Method;
use tempfile::TempDir;

use crate::{
    client::Client,
    database::{Database, DatabaseKind, free_port},
    disk::{self, SmallDisk},
    eventually::{SOON, eventually},
    process::{Process, with_argument},
    programs::{programs, tiny_model},
};

/// The name of the demo model.
pub const TINY: &str = "tiny";

/// Everything that one test runs. Runners end before the control plane, and
/// that before its database.
#[derive(Debug)]
pub struct World {
    /// The control plane.
    pub server: Server,
    /// An administrator's client.
    pub admin: Client,
    /// The weights of the demo model: a copy whose path no other test has.
    pub weights: PathBuf,
    folder: TempDir,
    _database: Database,
}

impl World {
    /// A control plane with an administrator, and nothing else.
    pub async fn empty(kind: DatabaseKind) -> Self {
        Self::with_options(kind, "").await
    }

    /// The same, with more lines in the control plane's configuration.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with_options(kind: DatabaseKind, options: &str) -> Self {
        let folder = folder();
        let database = Database::start(kind);
        let server = Server::new(folder.path(), database.url(), options);
        Self::around(server, folder, database).await
    }

    /// The same, with its database on a disk that is soon full.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn on_a_small_disk(kind: DatabaseKind) -> (Self, SmallDisk) {
        let folder = folder();
        let (database, disk) = Database::on_a_small_disk(kind);
        let mut server = Server::new(folder.path(), database.url(), "");
        server.on_a_small_disk = disk.is_none();
        let mut world = Self::around(server, folder, database).await;
        let disk = disk.unwrap_or_else(|| world.server.disk());
        (world, disk)
    }

    async fn around(mut server: Server, folder: TempDir, database: Database) -> Self {
        server.start().await;
        let weights = folder.path().join("tiny.gguf");
        fs::copy(tiny_model(), &weights).unwrap();
        let admin = server.first_admin().await;
        Self {
            server,
            admin,
            weights,
            folder,
            _database: database,
        }
    }

    /// A control plane, the demo model, and one runner that is connected.
    pub async fn with_runner(kind: DatabaseKind) -> (Self, Runner) {
        let world = Self::empty(kind).await;
        world.register_tiny(ModelSettings::default()).await;
        let runner = world.runner("one").await;
        (world, runner)
    }

    /// Registers the demo model, so that an answer without an end does not end
    /// with the context either. Its engine has one thread: several wait for one
    /// another by turning, which on a machine with more to do than processors
    /// takes a hundred times as long.
    pub async fn register_tiny(&self, settings: ModelSettings) -> Model {
        let settings = ModelSettings {
            engine_args: ["--context-shift", "--threads", "1"]
                .map(str::to_owned)
                .to_vec(),
            ..settings
        };
        self.register(TINY, &self.weights, settings).await
    }

    /// Registers a file as a model of llama.cpp.
    pub async fn register(&self, name: &str, path: &Path, settings: ModelSettings) -> Model {
        let request = CreateModelRequest {
            name: name.to_owned(),
            description: String::new(),
            engine: EngineKind::LlamaCpp,
            source: ModelSource::File {
                path: path.display().to_string(),
            },
            settings,
            default: false,
        };
        self.admin.post("/api/v1/models", &request).await
    }

    /// Registers a runner, starts its daemon and waits until it is connected.
    pub async fn runner(&self, name: &str) -> Runner {
        self.runner_by(name, self.server.url()).await
    }

    /// The same, with another way to the control plane.
    pub async fn runner_by(&self, name: &str, url: &str) -> Runner {
        let request = CreateRunnerRequest {
            name: name.to_owned(),
        };
        let created: CreatedRunner = self.admin.post("/api/v1/runners", &request).await;
        let runner = Runner::start(url, &created, &self.folder.path().join(name));
        self.until_online(runner.id).await;
        runner
    }

    /// Waits until a runner is connected.
    pub async fn until_online(&self, id: RunnerId) {
        eventually("the runner to connect", SOON, async || {
            let view = self.view(id).await;
            if view.state == RunnerState::Online {
                Ok(())
            } else {
                Err(view)
            }
        })
        .await;
    }

    /// A runner as the control plane sees it.
    pub async fn view(&self, id: RunnerId) -> RunnerView {
        self.admin.get(&format!("/api/v1/runners/{id}")).await
    }

    /// Process ids of the engines that run the demo model of this test.
    ///
    /// # Panics
    /// When the runner's program is gone.
    pub fn engines(&self) -> Vec<i32> {
        let runner = programs().runner.canonicalize().unwrap();
        let supervises =
            |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).ok() == Some(runner.clone());
        let all = with_argument(&self.weights.display().to_string());
        all.into_iter().filter(|pid| !supervises(pid)).collect()
    }

    /// Waits until no engine of this test is left.
    pub async fn until_no_engine(&self) {
        eventually("every engine to end", SOON, async || {
            let left = with_argument(&self.weights.display().to_string());
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
    }

    /// A folder of this test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("helix-test-").tempdir().unwrap()
}

/// A control plane. It keeps its port when it is started again.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    folder: PathBuf,
    on_a_small_disk: bool,
    url: String,
}

impl Server {
    fn new(folder: &Path, database: Option<&str>, options: &str) -> Self {
        let folder = folder.join("server");
        fs::create_dir(&folder).unwrap();
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        // An answer that has no end is not waited for.
        let mut config =
            format!("data_dir = {data:?}\nlisten = {address:?}\nshutdown_budget_ms = 4000\n");
        if let Some(database) = database {
            config.push_str(&format!("database_url = {database:?}\n"));
        }
        fs::write(folder.join("helix.toml"), config + options).unwrap();
        Self {
            process: None,
            folder,
            on_a_small_disk: false,
            url: format!("http://{address}"),
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was not started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Starts it, and waits until it takes requests.
    pub async fn start(&mut self) {
        let mut command = Command::new(&programs().server);
        command.arg("--config").arg(self.folder.join("helix.toml"));
        if self.on_a_small_disk {
            command = disk::mounted(&self.folder.join("data"), SmallDisk::SIZE, &command);
        }
        let process = self
            .process
            .insert(Process::start(&mut command, &self.folder.join("log")));
        let stranger = Client::stranger(&self.url);
        eventually("the control plane to be ready", SOON, async || {
            let answer = stranger.request(Method::GET, "/readyz").send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                Ok(())
            } else {
                Err(process.log())
            }
        })
        .await;
    }

    fn disk(&mut self) -> SmallDisk {
        let pid = self.process().pid();
        SmallDisk::new(pid, self.folder.join("data"))
    }

    async fn first_admin(&mut self) -> Client {
        let link = self.disk().read("setup-link");
        let stranger = Client::stranger(&self.url);
        let request = RegisterRequest {
            email: "admin@example.com".to_owned(),
            name: "Admin".to_owned(),
            password: "correct horse battery".to_owned(),
            setup_token: link
                .trim()
                .rsplit_once("token=")
                .map(|(_, token)| token.to_owned()),
        };
        let answer = stranger.try_post("/api/v1/auth/register", &request).await;
        let cookie = answer.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap();
        let request = CreateApiKeyRequest {
            name: "tests".to_owned(),
            scopes: vec![Scope::Inference, Scope::Sessions, Scope::Admin],
            expires_at_ms: None,
        };
        let made = stranger
            .request(Method::POST, "/api/v1/api-keys")
            .header("cookie", cookie);
        let key: CreatedApiKey = made
            .json(&request)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        stranger.with_key(&key.secret)
    }
}

/// A runner's daemon.
#[derive(Debug)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// Its process.
    pub process: Process,
    folder: PathBuf,
}

impl Runner {
    fn start(url: &str, created: &CreatedRunner, folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        symlink(&programs().engines, folder.join("engines")).unwrap();
        let config = format!(
            "data_dir = {folder:?}\nserver = {url:?}\ncredential = {:?}\ndevices = \"cpu\"\n",
            created.credential
        );
        fs::write(folder.join("runner.toml"), config).unwrap();
        Self {
            id: created.id,
            process: Self::daemon(folder),
            folder: folder.to_owned(),
        }
    }

    fn daemon(folder: &Path) -> Process {
        let mut command = Command::new(&programs().runner);
        command.arg("--config").arg(folder.join("runner.toml"));
        Process::start(&mut command, &folder.join("log"))
    }

    /// Starts its daemon again, after it ended.
    pub fn start_again(&mut self) {
        self.process = Self::daemon(&self.folder);
    }
}
