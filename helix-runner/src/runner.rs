//! The assembly: options and parts in, a running runner out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::Router;
use helix_base::{Clock, Outbound, OutboundOptions, ShutdownReport, SystemClock, TaskGroup};
use helix_proto::{model::EngineKind, runner::RunnerEvent};
use helix_tunnel::{Agent, AgentOptions, Stopped};
use rand::RngExt as _;
use tokio::sync::{broadcast, watch};

use crate::{
    Error, RunnerOptions, credential,
    devices::{self, Devices},
    engine::{Engine, External, LlamaCpp, Ollama, SearchPath, Vllm, llamacpp::managed::Managed},
    handle::{Handle, Identity, Inner},
    http::{self, Proxy, Served},
    instances::{Instances, Shared},
    process::Supervisor,
    sources::Fetcher,
};

/// How often devices are looked at, and told to whoever follows.
const DEVICES_INTERVAL: Duration = Duration::from_secs(5);

/// How often engines are looked for again, in device intervals.
const ENGINES_EVERY: u32 = 6;

/// How many events a slow reader may be behind.
const EVENTS: usize = 256;

/// Puts a runner together. What is not given is the machine's own.
#[derive(Debug)]
pub struct RunnerBuilder {
    options: RunnerOptions,
    supervisor: Supervisor,
    search: SearchPath,
    devices: Option<Arc<dyn Devices>>,
    engines: Vec<Arc<dyn Engine>>,
    clock: Arc<dyn Clock>,
    agent: AgentOptions,
}

impl RunnerBuilder {
    /// Where engines' programs are looked for.
    #[must_use]
    pub fn search_path(mut self, search: SearchPath) -> Self {
        self.search = search;
        self
    }

    /// Other devices than the machine's own.
    #[must_use]
    pub fn devices(mut self, devices: Arc<dyn Devices>) -> Self {
        self.devices = Some(devices);
        self
    }

    /// Another engine; it takes the place of the built-in one of its kind.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engines.push(engine);
        self
    }

    /// Another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Other bounds and waits for the tunnel than those of the options.
    #[must_use]
    pub fn agent(mut self, agent: AgentOptions) -> Self {
        self.agent = agent;
        self
    }

    /// Puts it together, and registers the runner if it has to. Its tasks are
    /// in `tasks`, which the caller shuts down, or lets [`Runner::run`] do so.
    ///
    /// # Errors
    ///
    /// When the options cannot work, or there is no credential.
    pub async fn build(self, tasks: &TaskGroup) -> Result<Runner, Error> {
        let options = self.options;
        let outbound = Outbound::new(&options.outbound)?;
        // Engines on this machine are reached without any proxy.
        let direct = Outbound::new(&OutboundOptions::default())?.http().clone();
        let devices = match self.devices {
            Some(devices) => devices,
            None => devices::of_this_machine(options.devices)?,
        };
        let fetcher = fetcher(&options, &outbound);
        let mut engines = built_in(&options, &self.search, &fetcher);
        engines.extend(
            self.engines
                .into_iter()
                .map(|engine| (engine.capability().kind, engine)),
        );
        let (events, _) = broadcast::channel(EVENTS);
        let tasks = tasks.child();
        let instances = Instances::new(Shared {
            engines,
            options: options.life,
            supervisor: self.supervisor,
            devices: Arc::clone(&devices),
            clock: self.clock,
            direct,
            outward: outbound.http().clone(),
            tasks: tasks.clone(),
            events,
        });
        let (seen, seen_devices) = watch::channel(devices.list()?);
        let identity = Identity::of_this_machine();
        let proxy = Proxy::new(options.http.clone(), outbound.http().clone());
        let parts = |connection| Inner {
            instances: instances.clone(),
            devices: seen_devices.clone(),
            identity: identity.clone(),
            fetcher: fetcher.clone(),
            connection,
        };
        let router = http::router(Served {
            handle: Handle::new(parts(None)),
            proxy,
        });
        options.tunnel.check().map_err(|reason| Error::Option {
            option: "tunnel.heartbeat_interval_ms",
            reason,
        })?;
        let agent = match &options.server {
            Some(server) => {
                let credential = credential::resolve(&options, server, &outbound).await?;
                Some(Agent::new(
                    server,
                    credential,
                    outbound.clone(),
                    router.clone(),
                    self.agent,
                )?)
            }
            None => None,
        };
        let handle = Handle::new(parts(agent.as_ref().map(Agent::state)));
        tasks.spawn(
            "devices",
            watch_devices(devices, seen, handle.clone(), tasks.clone()),
        );
        Ok(Runner {
            options,
            tasks,
            router,
            handle,
            agent,
        })
    }
}

/// A machine with devices that runs models for a control plane.
///
/// Two of them can live in one process. Dropping a runner without shutting
/// down its task group leaves its tasks to that group.
#[derive(Debug)]
pub struct Runner {
    options: RunnerOptions,
    tasks: TaskGroup,
    router: Router,
    handle: Handle,
    agent: Option<Agent>,
}

impl Runner {
    /// Begins a runner. Of its parts only the supervisor has no default: see
    /// [`Supervisor`].
    pub fn builder(options: RunnerOptions, supervisor: Supervisor) -> RunnerBuilder {
        let agent = options.tunnel.agent();
        RunnerBuilder {
            options,
            supervisor,
            search: SearchPath::default(),
            devices: None,
            engines: Vec::new(),
            clock: Arc::new(SystemClock),
            agent,
        }
    }

    /// The runner from within its process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The routes that the control plane reaches through the tunnel, for those
    /// who reach them in another way. There is no access control in them.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves the control plane until `stop` ends or the control plane says to
    /// stay away; then stops all instances and answers how that went. A runner
    /// without a control plane just waits for `stop`.
    ///
    /// # Errors
    ///
    /// When the control plane said to stay away, or can never be reached as
    /// the runner is set up. Everything has been stopped then, too.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<ShutdownReport, Stopped> {
        let connected = async {
            match self.agent {
                Some(agent) => agent.run(&self.tasks).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = stop => None,
            stopped = connected => Some(stopped),
        };
        let report = self.tasks.shutdown(self.options.shutdown_budget).await;
        match ended {
            Some(stopped) if stopped != Stopped::Shutdown => Err(stopped),
            _ => Ok(report),
        }
    }
}

fn fetcher(options: &RunnerOptions, outbound: &Outbound) -> Fetcher {
    let folder = options.data_dir.join("models/hub");
    Fetcher::new(options.hub.clone(), folder, outbound.downloads().clone())
}

fn built_in(
    options: &RunnerOptions,
    search: &SearchPath,
    fetcher: &Fetcher,
) -> HashMap<EngineKind, Arc<dyn Engine>> {
    let ollama = options.data_dir.join("models/ollama");
    let engines = options.engines.clone();
    let managed = Managed::new(engines.llamacpp.managed.clone(), &options.data_dir);
    let all: [Arc<dyn Engine>; 4] = [
        Arc::new(LlamaCpp::new(
            engines.llamacpp,
            search.clone(),
            managed,
            fetcher.clone(),
        )),
        Arc::new(Vllm::new(engines.vllm, search.clone(), fetcher.clone())),
        Arc::new(Ollama::new(engines.ollama, search.clone(), ollama)),
        Arc::new(External::new(engines.external)),
    ];
    all.into_iter()
        .map(|engine| (engine.capability().kind, engine))
        .collect()
}

/// Looks at the devices and tells what it sees, for as long as the group runs.
async fn watch_devices(
    devices: Arc<dyn Devices>,
    seen: watch::Sender<Vec<helix_proto::runner::Device>>,
    handle: Handle,
    tasks: TaskGroup,
) {
    let mut engines = handle.engines().await;
    let mut timer = tokio::time::interval(DEVICES_INTERVAL);
    for round in 0_u32.. {
        tokio::select! {
            _ = timer.tick() => {}
            () = tasks.draining() => return,
        }
        let list = Arc::clone(&devices);
        match tokio::task::spawn_blocking(move || list.list()).await {
            Ok(Ok(list)) => {
                seen.send_replace(list.clone());
                handle.tell(RunnerEvent::Devices { devices: list });
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the devices cannot be asked: showing what was seen last")
            }
            Err(_) => return,
        }
        if round % ENGINES_EVERY == 0 {
            let found = handle.engines().await;
            if found != engines {
                engines = found;
                handle.tell(RunnerEvent::Snapshot {
                    info: handle.info().await,
                });
            }
        }
    }
}

impl Identity {
    fn of_this_machine() -> Self {
        let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
        let boot_id = format!("{:032x}", rand::rng().random::<u128>());
        Self {
            boot_id,
            hostname: hostname(),
            platform,
        }
    }
}

/// What this machine calls itself.
pub(crate) fn hostname() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "runner".to_owned())
}
