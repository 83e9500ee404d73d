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
/// Of how many measurements one tells, at most, that a sandbox was used.
const TELL_EVERY: u32 = 6;

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

/// What was told of a sandbox's use.
#[derive(Debug)]
struct Used {
    at_ms: u64,
    /// How often it was looked at since.
    looks: u32,
}

impl Used {
    const NEVER_TOLD: Self = Self {
        at_ms: 0,
        looks: TELL_EVERY,
    };

    /// Whether this is to be told: each time is written to a database, and browsers ask anew, so of one
    /// that is in use all the time only now and then.
    const fn is_news(&mut self, at_ms: u64) -> bool {
        self.looks = self.looks.saturating_add(1);
        if self.at_ms == at_ms || self.looks < TELL_EVERY {
            return false;
        }
        *self = Self { at_ms, looks: 0 };
        true
    }
}

/// Measures for as long as the group runs, while somebody follows.
async fn measure(handle: Handle, tasks: TaskGroup) {
    let sandboxes = &handle.sandboxes;
    let mut timer = tokio::time::interval(MEASURE_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut used: BTreeMap<SandboxId, Used> = BTreeMap::new();
    let isolation = Arc::clone(&sandboxes.shared().isolation);
    let mut images = isolation.images().await.unwrap_or_default();
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
        used.retain(|id, _| statuses.iter().any(|status| status.id == *id));
        for status in statuses {
            let of = used.entry(status.id).or_insert(Used::NEVER_TOLD);
            if of.is_news(status.used_at_ms) {
                tell(HostEvent::Sandbox(status));
            }
        }
        // Another process imports and removes them.
        if let Ok(now) = isolation.images().await
            && now != images
        {
            images = now;
            let (info, sandboxes) = (handle.info().await, sandboxes.statuses());
            tell(HostEvent::Snapshot { info, sandboxes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_told_at_once_and_then_now_and_then_and_the_last_of_it_in_the_end() {
        let mut used = Used::NEVER_TOLD;
        let told = (1..=20_u64).filter(|look| used.is_news((*look).min(15)));
        assert_eq!(told.collect::<Vec<_>>(), [1, 7, 13, 19]);
        assert_eq!(used.at_ms, 15);
        assert!((0..100).all(|_| !used.is_news(15)));
        assert!(used.is_news(16));
    }
}
