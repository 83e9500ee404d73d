//! The assembly: options and an isolation in, a running sandbox host out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::Router;
use helix_base::{Clock, Outbound, ShutdownReport, SystemClock, TaskGroup};
use helix_isolation::Isolation;
use helix_proto::{SandboxId, sandbox::host::HostEvent};
use helix_tunnel::{Agent, AgentOptions, Stopped};
use tokio::sync::broadcast;

use crate::{
    Error, Handle, HostOptions, agents,
    authorities::Authorities,
    credential, http,
    machine::{Identity, Machine},
    records::Records,
    sandbox::Shared,
    sandboxes::Sandboxes,
};

/// How often sandboxes and machine are measured, and told to whoever follows: also the
/// sign of life.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// How many events a slow reader may be behind.
const EVENTS: usize = 1024;

/// Puts a sandbox host together.
#[derive(Debug)]
pub struct HostBuilder {
    options: HostOptions,
    isolation: Arc<dyn Isolation>,
    clock: Arc<dyn Clock>,
    env: BTreeMap<String, String>,
    agent: AgentOptions,
}

impl HostBuilder {
    /// Another clock than the machine's own.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Variables that every sandbox gets, unless it is given others.
    #[must_use]
    pub fn env(mut self, env: BTreeMap<String, String>) -> Self {
        self.env = env;
        self
    }

    /// How the tunnel behaves.
    #[must_use]
    pub fn agent(mut self, agent: AgentOptions) -> Self {
        self.agent = agent;
        self
    }

    /// The host, with every sandbox that an earlier one left. Its tasks belong to a child
    /// of `tasks`.
    ///
    /// # Errors
    ///
    /// When the options cannot work, there is no credential, or what exists cannot be
    /// listed.
    pub async fn build(self, tasks: &TaskGroup) -> Result<Host, Error> {
        let options = self.options;
        options.tunnel.check().map_err(|reason| Error::Option {
            option: "tunnel.heartbeat_interval_ms",
            reason: reason.to_owned(),
        })?;
        let outbound = Outbound::new(&options.outbound)?;
        let records = Records::open(&options.data_dir)?;
        let bundle = options.outbound.ca_bundle.as_deref();
        let authorities = bundle.map(Authorities::read).transpose()?;
        let mut env = self.env;
        if authorities.is_some() {
            Authorities::name(&mut env);
        }
        let tasks = tasks.child();
        let sandboxes = Sandboxes::open(Arc::new(Shared {
            isolation: self.isolation,
            machine: Machine::new(&options.data_dir)?,
            options: options.clone(),
            clock: self.clock,
            tasks: tasks.clone(),
            events: broadcast::Sender::new(EVENTS),
            records,
            env,
            authorities,
        }))
        .await?;
        let mut handle = Handle {
            sandboxes: sandboxes.clone(),
            identity: Identity::of_this_machine(),
            connection: None,
        };
        let router = http::router(handle.clone());
        let agent = match &options.server {
            Some(server) => {
                let credential = credential::resolve(&options, server, &outbound).await?;
                agents::begin(
                    sandboxes.clone(),
                    server,
                    credential.clone(),
                    outbound.clone(),
                    &tasks,
                )
                .await?;
                let agent = Agent::new(server, credential, outbound, router.clone(), self.agent)?;
                handle.connection = Some(agent.state());
                Some(agent)
            }
            None => None,
        };
        tasks.spawn("measure sandboxes", measure(handle.clone(), tasks.clone()));
        Ok(Host {
            options,
            tasks,
            router,
            handle,
            agent,
        })
    }
}

/// A machine that hosts sandboxes for a control plane.
///
/// Two of them can live in one process, each with an isolation of its own. Dropping a host
/// without shutting down its task group leaves its tasks to that group.
#[derive(Debug)]
pub struct Host {
    options: HostOptions,
    tasks: TaskGroup,
    router: Router,
    handle: Handle,
    agent: Option<Agent>,
}

impl Host {
    /// Begins a host whose sandboxes are made by `isolation`.
    pub fn builder(options: HostOptions, isolation: Arc<dyn Isolation>) -> HostBuilder {
        HostBuilder {
            agent: options.tunnel.agent(),
            options,
            isolation,
            clock: Arc::new(SystemClock),
            env: BTreeMap::new(),
        }
    }

    /// The host from within its process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The routes that the control plane reaches through the tunnel, for those who reach
    /// them in another way. There is no access control in them.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves the control plane until `stop` ends or the control plane says to stay away.
    /// Sandboxes go on after it, unless the options say that they are stopped; either way
    /// the host that is started next goes on with them. A host without a control plane
    /// just waits for `stop`.
    ///
    /// # Errors
    ///
    /// When the control plane said to stay away, or can never be reached as the host is
    /// set up. Everything has been stopped then, too.
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
        let budget = self.options.shutdown_budget;
        if self.options.stop_sandboxes {
            let halted = self.handle.sandboxes.halt();
            if tokio::time::timeout(budget / 2, halted).await.is_err() {
                tracing::error!("some sandboxes would not stop in time");
            }
        }
        let report = self.tasks.shutdown(budget / 2).await;
        match ended {
            Some(stopped) if stopped != Stopped::Shutdown => Err(stopped),
            _ => Ok(report),
        }
    }
}

/// Measures for as long as the group runs, while somebody follows.
async fn measure(handle: Handle, tasks: TaskGroup) {
    let sandboxes = &handle.sandboxes;
    let mut timer = tokio::time::interval(MEASURE_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut used: Vec<(SandboxId, u64)> = Vec::new();
    let mut images = handle.info().await.images;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = tasks.draining() => return,
        }
        let events = &sandboxes.shared().events;
        if events.receiver_count() == 0 {
            continue;
        }
        // Nobody may be listening any more.
        let tell = |event| drop(events.send(event));
        tell(HostEvent::Stats(sandboxes.uses().await.to_vec()));
        tell(HostEvent::Capacity(sandboxes.capacity()));
        let statuses = sandboxes.statuses();
        let now: Vec<_> = statuses
            .iter()
            .map(|status| (status.id, status.used_at_ms))
            .collect();
        for status in statuses {
            if !used.contains(&(status.id, status.used_at_ms)) {
                tell(HostEvent::Sandbox(status));
            }
        }
        used = now;
        // Another process imports and removes them.
        let info = handle.info().await;
        if info.images != images {
            images.clone_from(&info.images);
            let sandboxes = sandboxes.statuses();
            tell(HostEvent::Snapshot { info, sandboxes });
        }
    }
}
