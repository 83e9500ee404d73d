//! One connection of one runner: reads what it says, hands it its commands.

use std::time::Duration;

use helix_base::TaskGroup;
use helix_proto::{
    InstanceId, RunnerId,
    runner::{InstanceStatus, RunnerEvent, RunnerInfo},
};
use helix_scheduler::Event;
use tokio::sync::mpsc;

use super::{Client, Command, Fleet, client::into_failure};
use crate::machines::follow::{Listener, follow};

/// How often it is stored that the runner was heard of.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// Ended instances that are shown; older ones are forgotten.
const ENDED_SHOWN: usize = 20;

pub(super) struct Connection {
    fleet: Fleet,
    id: RunnerId,
    number: u64,
    client: Client,
    group: TaskGroup,
    /// Until the runner said what it has: commands make sense once the scheduler
    /// knows that.
    orders: Option<mpsc::Receiver<Command>>,
    /// When it was last stored that the runner was heard of.
    noted_at_ms: u64,
}

impl Connection {
    pub(super) fn new(
        fleet: Fleet,
        id: RunnerId,
        number: u64,
        client: Client,
        orders: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            group: fleet.inner.tasks.child(),
            fleet,
            id,
            number,
            client,
            orders: Some(orders),
            noted_at_ms: 0,
        }
    }

    /// Serves the connection until it ends.
    pub(super) fn spawn(self) {
        let tasks = self.fleet.inner.tasks.clone();
        tasks.spawn("runner-connection", self.run());
    }

    async fn run(mut self) {
        // The scheduler hears of the end of one connection before the next one's first
        // word, and of what is lost with it before a place is given away again.
        let turn = self.fleet.inner.machines.turn(self.id).await;
        let (client, group) = (self.client.clone(), self.group.clone());
        let ended = follow(client.calls(), &group, &mut self).await;
        group.cancel();
        let own = self.fleet.inner.machines.detach(self.id, self.number);
        self.fleet.tell(Event::RunnerDown { runner: self.id }).await;
        drop(turn);
        if own {
            tracing::info!(runner = %self.id, reason = ended, "runner disconnected");
            self.note(true).await;
            self.fleet.changed();
        }
    }

    /// Hands the runner its commands from now on.
    fn obey(&mut self) {
        if let Some(orders) = self.orders.take() {
            let obeyed = obey(self.fleet.clone(), self.id, self.client.clone(), orders);
            let draining = self.group.draining_token().clone();
            self.group.spawn(
                "runner-commands",
                draining.run_until_cancelled_owned(obeyed),
            );
        }
    }

    /// Whether it was everything that the runner has.
    async fn take(&mut self, event: RunnerEvent) -> bool {
        let now_ms = self.fleet.inner.clock.now_ms();
        let mut visible = true;
        let whole = matches!(event, RunnerEvent::Snapshot { .. });
        let told = match event {
            RunnerEvent::Snapshot { info } => self.snapshot(info, now_ms),
            RunnerEvent::Devices { devices } => {
                let current = self
                    .fleet
                    .inner
                    .machines
                    .update(self.id, self.number, |known| {
                        known.last_seen_at_ms = Some(now_ms);
                        if let Some(info) = &mut known.info {
                            visible = info.devices != devices;
                            info.devices.clone_from(&devices);
                        }
                    });
                current.then_some(Event::DevicesMeasured {
                    runner: self.id,
                    devices,
                })
            }
            RunnerEvent::Instance { instance } => {
                let current = self
                    .fleet
                    .inner
                    .machines
                    .update(self.id, self.number, |known| {
                        known.last_seen_at_ms = Some(now_ms);
                        if let Some(info) = &mut known.info {
                            put_instance(info, instance.clone());
                        }
                    });
                let status = Box::new(instance);
                current.then_some(Event::InstanceReported {
                    runner: self.id,
                    status,
                })
            }
        };
        let Some(told) = told else { return whole };
        self.fleet.tell(told).await;
        self.note(false).await;
        if visible {
            self.fleet.changed();
        }
        whole
    }

    fn snapshot(&self, info: RunnerInfo, now_ms: u64) -> Option<Event> {
        let mut draining = false;
        let current = self
            .fleet
            .inner
            .machines
            .update(self.id, self.number, |known| {
                draining = known.draining;
                known.last_seen_at_ms = Some(now_ms);
                known.info = Some(info.clone());
            });
        if current {
            tracing::info!(
                runner = %self.id, host = info.hostname, devices = info.devices.len(),
                instances = info.instances.len(), "runner connected"
            );
        }
        current.then(|| Event::RunnerUp {
            runner: self.id,
            info: Box::new(info),
            draining,
        })
    }

    /// Stores that the runner was heard of, and what it said; not too often.
    async fn note(&mut self, now: bool) {
        let now_ms = self.fleet.inner.clock.now_ms();
        if !now && now_ms.saturating_sub(self.noted_at_ms) < NOTE_EVERY.as_millis() as u64 {
            return;
        }
        self.noted_at_ms = now_ms;
        let Some(info) = self.fleet.runner(self.id).and_then(|view| view.known.info) else {
            return;
        };
        if let Err(error) = self
            .fleet
            .inner
            .store
            .note_runner(self.id, &info, now_ms)
            .await
        {
            tracing::warn!(runner = %self.id, %error, "what the runner said is not stored");
        }
    }
}

impl Listener for Connection {
    type Event = RunnerEvent;

    async fn heard(&mut self, event: RunnerEvent) -> bool {
        let whole = self.take(event).await;
        self.obey();
        // With it the scheduler takes the runner for connected.
        whole
    }

    async fn moved(&mut self, away: bool) {
        let runner = self.id;
        if self.fleet.inner.machines.noticed(runner, self.number, away) {
            tracing::info!(%runner, away, "the runner's connection broke or was replaced");
            let event = if away {
                Event::RunnerAway { runner }
            } else {
                Event::RunnerBack { runner }
            };
            self.fleet.tell(event).await;
            self.fleet.changed();
        }
    }
}

/// Keeps an instance's latest status, and not too many that have ended.
fn put_instance(info: &mut RunnerInfo, status: InstanceStatus) {
    match info.instances.iter_mut().find(|it| it.id == status.id) {
        Some(known) => *known = status,
        None => info.instances.push(status),
    }
    let ended = info
        .instances
        .iter()
        .filter(|it| it.state.is_terminal())
        .count();
    let mut surplus = ended.saturating_sub(ENDED_SHOWN);
    info.instances.retain(|it| {
        let drop = surplus > 0 && it.state.is_terminal();
        surplus -= usize::from(drop);
        !drop
    });
}

/// Hands a runner its commands, one after the other: in the order in which the
/// scheduler gave them.
async fn obey(fleet: Fleet, runner: RunnerId, client: Client, mut orders: mpsc::Receiver<Command>) {
    while let Some(command) = orders.recv().await {
        let event = match command {
            Command::Start { instance, start } => match client.start(instance, &start).await {
                Ok(status) => ended(runner, status),
                Err(error) => {
                    tracing::warn!(%runner, %instance, %error, "an instance was not started");
                    let failure = into_failure(error);
                    failure.map(|failure| Event::StartRefused { instance, failure })
                }
            },
            Command::Stop { instance } => stop(&client, runner, instance).await,
        };
        if let Some(event) = event {
            fleet.tell(event).await;
        }
    }
}

async fn stop(client: &Client, runner: RunnerId, instance: InstanceId) -> Option<Event> {
    match client.stop(instance).await {
        Ok(status) => ended(runner, status),
        Err(error) if error.is_not_found() => Some(Event::InstanceGone { instance }),
        Err(error) => {
            tracing::warn!(%runner, %instance, %error, "an instance was not stopped");
            None
        }
    }
}

/// An answer may be older than what the stream of events said since; only an end
/// is never overtaken.
fn ended(runner: RunnerId, status: InstanceStatus) -> Option<Event> {
    let status = Box::new(status);
    status
        .state
        .is_terminal()
        .then_some(Event::InstanceReported { runner, status })
}
