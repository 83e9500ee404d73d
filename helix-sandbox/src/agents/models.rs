//! The way from agents to models: what a program in a sandbox asks of `/v1` there is led to the
//! control plane, over the host's own way out. So it works whatever the sandbox may reach, and
//! wherever the control plane is: behind a proxy, with a private authority, on this machine.
//!
//! Nothing is added to a request: who asks is known by the session's key, which the program has.

mod serve;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use helix_base::{Outbound, TaskGroup};
use helix_isolation::{Connection, ErrorKind, GuestClient};
use helix_proto::{
    SandboxId,
    agents::{API, AgentSpec},
};
use tokio::sync::Semaphore;
use url::Url;

use super::place::Place;

/// What the forward is called in the sandbox.
const FORWARD: &str = "models";
/// Connections of one sandbox at once; more wait to be taken.
const CONNECTIONS: usize = 64;
/// Between two attempts to take a connection.
const AGAIN: Duration = Duration::from_secs(1);

/// The way, for all sandboxes.
#[derive(Debug, Clone)]
pub(super) struct Models {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    gateway: serve::Gateway,
    tasks: TaskGroup,
    led: Mutex<BTreeMap<SandboxId, Weak<Led>>>,
}

/// A sandbox whose programs are led to models, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Led {
    tasks: TaskGroup,
}

impl Drop for Led {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Models {
    pub(super) fn new(server: &Url, outbound: Outbound, tasks: TaskGroup) -> Self {
        let inner = Inner {
            gateway: serve::Gateway::new(server, outbound),
            tasks,
            led: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Leads what an agent asks of models, if it asks any.
    pub(super) fn lead(&self, spec: &AgentSpec, place: &Place) -> Option<Arc<Led>> {
        if !spec.asks_models() {
            return None;
        }
        let mut led = self
            .inner
            .led
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        led.retain(|_, led| led.strong_count() > 0);
        if let Some(led) = led.get(&place.id).and_then(Weak::upgrade) {
            return Some(led);
        }
        let tasks = self.inner.tasks.child();
        let takes = take(place.clone(), self.inner.gateway.clone(), tasks.clone());
        tasks.spawn("way to models", takes);
        let begun = Arc::new(Led { tasks });
        led.insert(place.id, Arc::downgrade(&begun));
        Some(begun)
    }

    /// The agent as it is started in a sandbox: with the address there.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) async fn filled(
        &self,
        spec: &AgentSpec,
        guest: &GuestClient,
    ) -> Result<AgentSpec, String> {
        if !spec.asks_models() {
            return Ok(spec.clone());
        }
        let port = guest.forward(FORWARD).await;
        let port = port.map_err(|error| format!("the agent has no way to models: {error}"))?;
        let mut filled = spec.clone();
        let values = filled.environment.iter_mut().map(|it| &mut it.value);
        for text in values.chain(&mut filled.command) {
            *text = text.replace(API, &format!("http://127.0.0.1:{port}"));
        }
        Ok(filled)
    }
}

/// Takes connections of the sandbox's programs, and serves each.
async fn take(place: Place, gateway: serve::Gateway, tasks: TaskGroup) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        match next(&place).await {
            Ok(Some(connection)) => {
                let gateway = gateway.clone();
                tasks.spawn("asking models", async move {
                    gateway.serve(connection).await;
                    drop(slot);
                });
            }
            Ok(None) => {}
            Err(why) => {
                tracing::debug!(sandbox = %place.id, why, "no way to models for now");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn next(place: &Place) -> Result<Option<Box<dyn Connection>>, String> {
    let guest = place.guest()?;
    match guest.next_connection(FORWARD).await {
        // The guest is a new one.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let listens = guest.forward(FORWARD).await;
            listens.map(|_| None).map_err(|error| error.to_string())
        }
        taken => taken.map_err(|error| error.to_string()),
    }
}
