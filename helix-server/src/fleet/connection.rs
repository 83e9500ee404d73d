//! One connection of one runner: reads what it says, hands it its commands.

use std::time::Duration;

use helix_base::TaskGroup;
use helix_proto::{
    InstanceId, RunnerId,
    runner::{InstanceStatus, RunnerEvent, RunnerInfo},
};
use helix_scheduler::Event;
use helix_tunnel::{CloseCode, LaneState, Tunnel};
use tokio::sync::mpsc;

use super::{Client, Command, Fleet, client::Error};

/// A runner says something at least every ten seconds, while its tunnel has a
/// connection. Without one, the tunnel itself says when that was too long.
const SILENCE: Duration = Duration::from_secs(60);

/// How often it is stored that the runner was heard of.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// How long a runner may take to leave after its stream of events has ended.
const LEAVING: Duration = Duration::from_secs(30);

/// Ended instances that are shown; older ones are forgotten.
const ENDED_SHOWN: usize = 20;

pub(super) struct Connection {
    fleet: Fleet,
    id: RunnerId,
    number: u64,
    client: Client,
    tunnel: Tunnel,
    /// Where the tunnel stood when the scheduler was last told.
    told: LaneState,
    /// When it was last stored that the runner was heard of.
    noted_at_ms: u64,
}

impl Connection {
    pub(super) const fn new(
        fleet: Fleet,
        id: RunnerId,
        number: u64,
        client: Client,
        tunnel: Tunnel,
    ) -> Self {
        Self {
            fleet,
            id,
            number,
            client,
            tunnel,
            told: LaneState::Connected,
            noted_at_ms: 0,
        }
    }

    /// Serves the connection until it ends.
    pub(super) fn spawn(self, orders: mpsc::Receiver<Command>) {
        let tasks = self.fleet.inner.tasks.clone();
        let group = tasks.child();
        tasks.spawn("runner-connection", self.run(group, orders));
    }

    async fn run(mut self, group: TaskGroup, orders: mpsc::Receiver<Command>) {
        let tunnel = self.tunnel.clone();
        let ended = tokio::select! {
            read = self.read(&group, orders) => match read {
                Ok(()) => self.leaving().await,
                Err(error) => error.to_string(),
            },
            reason = tunnel.closed() => reason.to_string(),
            // Answers in flight are finished: the tunnel closes after the last one.
            () = group.draining() => tunnel.closed().await.to_string(),
        };
        group.cancel();
        tunnel.close(CloseCode::GOING_AWAY, ended.clone());
        if self.fleet.detach(self.id, self.number) {
            tracing::info!(runner = %self.id, reason = ended, "runner disconnected");
            self.note(true).await;
            self.fleet.changed();
            self.fleet.tell(Event::RunnerDown { runner: self.id }).await;
        }
    }

    /// The stream ends when the runner shuts down. The end of the last answer may still be
    /// on its way then; the tunnel ends after that.
    async fn leaving(&self) -> String {
        match tokio::time::timeout(LEAVING, self.tunnel.closed()).await {
            Ok(reason) => reason.to_string(),
            Err(_) => "the runner ended its stream of events".to_owned(),
        }
    }

    async fn read(
        &mut self,
        group: &TaskGroup,
        orders: mpsc::Receiver<Command>,
    ) -> Result<(), Error> {
        let mut events = self.client.events().await?;
        let mut orders = Some(orders);
        loop {
            let silence = async {
                if self.told == LaneState::Resuming {
                    return std::future::pending().await;
                }
                tokio::time::sleep(SILENCE).await;
            };
            let next = tokio::select! {
                biased;
                state = self.tunnel.state_other_than(self.told) => {
                    self.tell_state(state).await?;
                    continue;
                }
                next = events.next::<RunnerEvent>() => next?,
                () = silence => {
                    let why = format!("it said nothing for {} s", SILENCE.as_secs());
                    return Err(Error::Lost(why));
                }
            };
            let Some(event) = next else { return Ok(()) };
            self.heard(event).await;
            // Commands make sense once the scheduler knows what the runner has.
            if let Some(orders) = orders.take() {
                let obeyed = obey(self.fleet.clone(), self.id, self.client.clone(), orders);
                let draining = group.draining_token().clone();
                group.spawn(
                    "runner-commands",
                    draining.run_until_cancelled_owned(obeyed),
                );
            }
        }
    }

    /// The tunnel's connection broke, or was replaced.
    async fn tell_state(&mut self, state: LaneState) -> Result<(), Error> {
        let away = match state {
            LaneState::Connected => false,
            LaneState::Resuming => true,
            _ => return Err(Error::Lost(self.tunnel.closed().await.to_string())),
        };
        self.told = state;
        let runner = self.id;
        if self.fleet.noticed(runner, self.number, away) {
            tracing::info!(%runner, away, "the runner's connection broke or was replaced");
            let event = if away {
                Event::RunnerAway { runner }
            } else {
                Event::RunnerBack { runner }
            };
            self.fleet.tell(event).await;
            self.fleet.changed();
        }
        Ok(())
    }

    async fn heard(&mut self, event: RunnerEvent) {
        let now_ms = self.fleet.inner.clock.now_ms();
        let mut visible = true;
        let told = match event {
            RunnerEvent::Snapshot { info } => {
                // With this the scheduler takes the runner for connected.
                self.told = LaneState::Connected;
                self.snapshot(info, now_ms)
            }
            RunnerEvent::Devices { devices } => {
                let current = self.fleet.update(self.id, self.number, |known| {
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
                let current = self.fleet.update(self.id, self.number, |known| {
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
        let Some(told) = told else { return };
        self.fleet.tell(told).await;
        self.note(false).await;
        if visible {
            self.fleet.changed();
        }
    }

    fn snapshot(&self, info: RunnerInfo, now_ms: u64) -> Option<Event> {
        let mut draining = false;
        let current = self.fleet.update(self.id, self.number, |known| {
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
                    let failure = error.into_failure();
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
