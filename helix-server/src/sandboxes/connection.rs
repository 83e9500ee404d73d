//! One connection of one host: hears what it says.

use std::time::Duration;

use helix_base::TaskGroup;
use helix_proto::{
    SandboxHostId, SandboxId,
    sandbox::host::{HostCapacity, HostEvent, HostInfo, SandboxStatus},
};
use helix_tunnel::CloseCode;

use super::{Client, Sandboxes};
use crate::{
    machines::follow::{Listener, follow},
    store,
};

/// How often it is stored that the host was heard of.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// How often and after which wait an event is tried again that could not be stored.
const TRIES: u32 = 5;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What a host said of its sandboxes.
enum Said<'a> {
    /// Everything that it has.
    All(&'a [SandboxStatus]),
    /// How one is.
    One(&'a SandboxStatus),
    /// One is gone.
    Gone(SandboxId),
}

pub(super) struct Connection {
    sandboxes: Sandboxes,
    id: SandboxHostId,
    number: u64,
    client: Client,
    group: TaskGroup,
    /// When it was last stored that the host was heard of.
    noted_at_ms: u64,
}

impl Connection {
    pub(super) fn new(
        sandboxes: Sandboxes,
        id: SandboxHostId,
        number: u64,
        client: Client,
    ) -> Self {
        Self {
            group: sandboxes.inner.tasks.child(),
            sandboxes,
            id,
            number,
            client,
            noted_at_ms: 0,
        }
    }

    /// Serves the connection until it ends.
    pub(super) fn spawn(self) {
        let tasks = self.sandboxes.inner.tasks.clone();
        tasks.spawn("sandbox-host-connection", self.run());
    }

    async fn run(mut self) {
        let (client, group) = (self.client.clone(), self.group.clone());
        let ended = follow(client.calls(), &group, &mut self).await;
        group.cancel();
        if self.sandboxes.inner.machines.detach(self.id, self.number) {
            tracing::info!(host = %self.id, reason = ended, "sandbox host disconnected");
            self.note(true).await;
            self.sandboxes.moved(self.id).await;
        }
    }

    /// Whether this connection is still the host's own.
    fn update(&self, change: impl FnOnce(&mut HostInfo)) -> bool {
        let now_ms = self.sandboxes.inner.clock.now_ms();
        let machines = &self.sandboxes.inner.machines;
        machines.update(self.id, self.number, |known| {
            known.last_seen_at_ms = Some(now_ms);
            if let Some(info) = &mut known.info {
                change(info);
            }
        })
    }

    async fn snapshot(&self, info: HostInfo, there: &[SandboxStatus]) {
        let machines = &self.sandboxes.inner.machines;
        let now_ms = self.sandboxes.inner.clock.now_ms();
        let (hostname, backend) = (info.hostname.clone(), info.backend.clone());
        let current = machines.update(self.id, self.number, |known| {
            known.last_seen_at_ms = Some(now_ms);
            known.info = Some(info);
        });
        if !current {
            return;
        }
        tracing::info!(host = %self.id, hostname, backend, sandboxes = there.len(), "sandbox host connected");
        self.stored(Said::All(there)).await;
        self.sandboxes.moved(self.id).await;
        let (sandboxes, id) = (self.sandboxes.clone(), self.id);
        self.group.spawn("live set", async move {
            sandboxes.send_live_set(id).await;
        });
    }

    /// Has something stored. What cannot be stored must not be lost: after some tries
    /// the tunnel is closed, and the next one begins with everything.
    async fn stored(&self, said: Said<'_>) {
        for _ in 0..TRIES {
            match self.store(&said).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(host = %self.id, error = &error as &dyn std::error::Error, "what a sandbox host said is not stored");
                }
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        let why = "what the host said could not be stored";
        self.client.tunnel().close(CloseCode::GOING_AWAY, why);
    }

    async fn store(&self, said: &Said<'_>) -> Result<(), store::Error> {
        match said {
            Said::All(there) => self.sandboxes.reconcile(self.id, there).await,
            Said::One(status) => self.sandboxes.reported(self.id, status).await,
            Said::Gone(id) => self.sandboxes.gone(self.id, *id).await,
        }
    }

    fn capacity(&self, capacity: HostCapacity) {
        let mut visible = false;
        let current = self.update(|info| {
            visible = info.capacity != capacity;
            info.capacity = capacity;
        });
        if current && visible {
            self.sandboxes.changed();
        }
    }

    /// Stores that the host was heard of, and what it said; not too often.
    async fn note(&mut self, now: bool) {
        let inner = &self.sandboxes.inner;
        let now_ms = inner.clock.now_ms();
        if !now && now_ms.saturating_sub(self.noted_at_ms) < NOTE_EVERY.as_millis() as u64 {
            return;
        }
        self.noted_at_ms = now_ms;
        let info = inner.machines.look(self.id, |known, _| known.info.clone());
        let Some(info) = info.flatten() else { return };
        if let Err(error) = inner.store.note_sandbox_host(self.id, &info, now_ms).await {
            tracing::warn!(host = %self.id, %error, "what the sandbox host said is not stored");
        }
    }
}

impl Listener for Connection {
    type Event = HostEvent;

    async fn heard(&mut self, event: HostEvent) -> bool {
        let whole = matches!(event, HostEvent::Snapshot { .. });
        match event {
            HostEvent::Snapshot { info, sandboxes } => self.snapshot(info, &sandboxes).await,
            HostEvent::Sandbox(status) => {
                if self.update(|_| ()) {
                    self.stored(Said::One(&status)).await;
                }
            }
            HostEvent::Gone(id) => {
                if self.update(|_| ()) {
                    self.stored(Said::Gone(id)).await;
                }
            }
            HostEvent::Capacity(capacity) => self.capacity(capacity),
            // A sign of life; who wants to know asks.
            HostEvent::Stats(_) => {
                self.update(|_| ());
            }
        }
        self.note(false).await;
        whole
    }

    async fn moved(&mut self, away: bool) {
        let inner = &self.sandboxes.inner;
        if inner.machines.noticed(self.id, self.number, away) {
            tracing::info!(host = %self.id, away, "the sandbox host's connection broke or was replaced");
            self.sandboxes.moved(self.id).await;
        }
    }
}
