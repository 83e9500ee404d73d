//! The agent's side: dial out, serve a router, and dial again.

mod dial;
mod greet;
mod lanes;
mod live;
mod retry;
mod serve;

use std::{sync::Arc, time::Duration};

use axum::Router;
use helix_base::{
    BackoffPolicy, Outbound, Retry as _, Retryability, SecretString, TaskGroup, outbound,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use url::Url;

pub use self::dial::{Dial, DialError, WebSocketDial};
use self::{
    greet::{GreetError, Greeter},
    lanes::Lanes,
    live::{Change, Live},
    retry::{Next, Retries},
    serve::Serve,
};
use crate::{
    CloseCode, CloseReason, Forward, HeartbeatPolicy, Lane, Limits, link::greeting::Welcome,
    transport::Transport,
};

/// How an agent behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentOptions {
    /// Bounds.
    pub limits: Limits,
    /// When the control plane counts as dead.
    pub heartbeat: HeartbeatPolicy,
    /// Waits between attempts, started over only by an answered heartbeat.
    pub backoff: BackoffPolicy,
    /// Waits between attempts while the control plane refuses the credential: somebody
    /// has to act, and may do so there.
    pub refused: BackoffPolicy,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            heartbeat: HeartbeatPolicy::default(),
            backoff: BackoffPolicy::default(),
            refused: BackoffPolicy {
                base: Duration::from_secs(30),
                cap: Duration::from_secs(300),
            },
        }
    }
}

/// Where an agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentState {
    /// It dials, or has dialled and has no heartbeat answered yet.
    Connecting,
    /// The control plane is there, proven by an answered heartbeat.
    Connected,
    /// It will dial again.
    Waiting {
        /// Not before this time.
        until: Instant,
        /// Why it is not connected.
        reason: String,
    },
    /// It will not dial again.
    Stopped {
        /// Why.
        reason: Stopped,
    },
}

/// Why an agent stopped for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// Its task group was shut down.
    #[error("shut down")]
    Shutdown,
    /// The control plane said to stay away: another connection took over, or the
    /// credential was revoked.
    #[error("the control plane said to stay away: {0}")]
    Dismissed(CloseReason),
    /// It can never dial, as it is set up.
    #[error("cannot dial: {0}")]
    Misconfigured(String),
}

/// Keeps one router reachable from the control plane.
#[derive(Debug)]
pub struct Agent {
    dial: Arc<dyn Dial>,
    router: Router,
    forward: Forward,
    options: AgentOptions,
    state: watch::Sender<AgentState>,
}

impl Agent {
    /// An agent that dials the control plane at `url` (its base, such as
    /// `https://helix.example.com`) with its credential as a bearer token.
    ///
    /// # Errors
    ///
    /// The URL or the credential cannot be used.
    pub fn new(
        url: &Url,
        credential: SecretString,
        outbound: Outbound,
        router: Router,
        options: AgentOptions,
    ) -> Result<Self, outbound::Error> {
        let dial = WebSocketDial::new(url, credential, outbound)?;
        Ok(Self::with_dial(Arc::new(dial), router, options))
    }

    /// An agent over any transport.
    pub fn with_dial(dial: Arc<dyn Dial>, router: Router, options: AgentOptions) -> Self {
        Self {
            dial,
            router,
            forward: Forward::default(),
            options,
            state: watch::Sender::new(AgentState::Connecting),
        }
    }

    /// What it connects to for the control plane; nothing by default.
    #[must_use]
    pub fn with_forward(self, forward: Forward) -> Self {
        Self { forward, ..self }
    }

    /// Follows the state.
    pub fn state(&self) -> watch::Receiver<AgentState> {
        self.state.subscribe()
    }

    /// Dials, serves and dials again until the group drains or the control plane says to
    /// stay away. A connection that breaks is replaced, and what was on it goes on. While
    /// the group drains, requests under way finish; requests that have not arrived yet
    /// are refused in a way that tells the control plane so.
    pub async fn run(self, group: &TaskGroup) -> Stopped {
        let greeter = Greeter::new(self.dial, self.options.limits.replay);
        let retries = Retries::new(self.options.backoff, self.options.refused);
        let serve = Serve {
            router: self.router,
            forward: self.forward,
            options: self.options,
        };
        let control = Control {
            greeter: Arc::new(greeter),
            serve: Arc::new(serve),
            state: self.state,
            retries,
            live: None,
            group: group.clone(),
        };
        control.run().await
    }
}

/// The control lane: there for as long as the agent runs.
struct Control {
    greeter: Arc<Greeter>,
    serve: Arc<Serve>,
    state: watch::Sender<AgentState>,
    retries: Retries,
    /// The link, from its first connection to its end.
    live: Option<Live>,
    group: TaskGroup,
}

impl Control {
    async fn run(mut self) -> Stopped {
        let reason = loop {
            let next = match self.connect().await {
                Some(next) => next,
                None => self.hold().await,
            };
            if self.group.is_draining() {
                break Stopped::Shutdown;
            }
            let (delay, reason) = match next {
                Next::Stop(reason) => break reason,
                Next::Wait(delay, reason) => (delay, reason),
            };
            let until = Instant::now() + delay;
            self.state
                .send_replace(AgentState::Waiting { until, reason });
            tokio::select! {
                biased;
                () = self.group.draining() => break Stopped::Shutdown,
                () = tokio::time::sleep_until(until) => {}
            }
        };
        if let Some(live) = &self.live {
            let why = "the agent has stopped";
            live.handle().close(CloseCode::GOING_AWAY, why);
        }
        tracing::info!(%reason, "tunnel agent stopped");
        self.state.send_replace(AgentState::Stopped {
            reason: reason.clone(),
        });
        reason
    }

    /// One attempt to bring the link a connection, or a link; what to do if it failed.
    async fn connect(&mut self) -> Option<Next> {
        self.state.send_replace(AgentState::Connecting);
        let resume = self.live.as_ref().and_then(Live::resume);
        let greeted = tokio::select! {
            biased;
            () = self.group.draining() => return Some(Next::Stop(Stopped::Shutdown)),
            greeted = self.greeter.greet(Lane::Control, resume) => greeted,
        };
        match greeted {
            Ok((transport, welcome)) => {
                self.welcome(transport, welcome);
                None
            }
            Err(GreetError::Dial(error)) => Some(self.after_failed_dial(&error)),
            Err(GreetError::Closed(reason)) => Some(self.after_close(reason)),
        }
    }

    fn welcome(&mut self, transport: Box<dyn Transport>, welcome: Welcome) {
        match (welcome, &mut self.live) {
            (Welcome::Resumed { received }, Some(live)) => live.attach(transport, received),
            // The control plane goes on with what was never begun: it will notice.
            (Welcome::Resumed { .. }, None) => {}
            (
                Welcome::New {
                    identity,
                    grace,
                    window,
                },
                live,
            ) => {
                if let Some(old) = live.take() {
                    old.handle().end(CloseReason::forgotten());
                }
                let lanes = Lanes::new(
                    Arc::clone(&self.greeter),
                    Arc::clone(&self.serve),
                    &self.group,
                );
                let lanes = Some(Arc::new(lanes));
                let keep = (grace, window);
                *live = Some(
                    self.serve
                        .start(transport, identity, keep, lanes, &self.group),
                );
            }
        }
    }

    /// Holds the link until it needs a connection, or is gone.
    async fn hold(&mut self) -> Next {
        while let Some(live) = &mut self.live {
            match live.changed().await {
                Change::Proven => {
                    self.retries.succeeded();
                    tracing::info!("connected to the control plane");
                    self.state.send_replace(AgentState::Connected);
                }
                Change::Detached(reason) => return self.after_break(&reason),
                Change::Ended(reason) => {
                    self.live = None;
                    return self.after_close(reason);
                }
            }
        }
        self.after_close(CloseReason::forgotten())
    }

    fn after_break(&mut self, reason: &CloseReason) -> Next {
        let next = self.retries.after_break(reason, &mut rand::rng());
        tracing::warn!(%reason, "the connection to the control plane broke; dialling again");
        next
    }

    fn after_close(&mut self, reason: CloseReason) -> Next {
        if reason.code() == Some(CloseCode::RESUME_REFUSED)
            && let Some(live) = self.live.take()
        {
            live.handle().end(CloseReason::forgotten());
        }
        let next = self.retries.after_close(reason, &mut rand::rng());
        if let Next::Wait(delay, reason) = &next
            && !self.group.is_draining()
        {
            tracing::warn!(%reason, ?delay, "disconnected from the control plane; dialling again");
        }
        next
    }

    fn after_failed_dial(&mut self, error: &DialError) -> Next {
        let next = self.retries.after_failed_dial(error, &mut rand::rng());
        match &next {
            Next::Wait(delay, _) if error.is_refusal() => tracing::error!(
                %error, ?delay,
                "the control plane refuses this agent's credential; make a new one there, or \
                 check the one in use; trying again now and then"
            ),
            Next::Wait(delay, _) => {
                tracing::warn!(%error, ?delay, "cannot reach the control plane; trying again");
            }
            Next::Stop(_) => tracing::error!(%error, "cannot reach the control plane"),
        }
        next
    }
}

impl DialError {
    /// Whether somebody must act on the credential.
    fn is_refusal(&self) -> bool {
        matches!(self.refused_with(), Some(401 | 403))
    }

    fn can_never_work(&self) -> bool {
        matches!(self, Self::Outbound(error) if !error.retryability().is_retryable())
            && self.refused_with().is_none()
            && !matches!(
                self,
                Self::Outbound(outbound::Error::ProxyRefused { .. } | outbound::Error::Tls { .. })
            )
    }

    fn asked_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Outbound(error) => match error.retryability() {
                Retryability::After(wait) => Some(wait),
                _ => None,
            },
            Self::Other(_) => None,
        }
    }
}
