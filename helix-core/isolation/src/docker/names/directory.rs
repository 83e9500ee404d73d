//! Keeps the names at hand.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use helix_base::Clock;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Container, index};
use crate::docker::api;

/// A container that has just been started may not have been told of yet: a name that is
/// not known is looked for again after so long.
const FRESH: Duration = Duration::from_millis(200);
/// The most containers whose names are known.
const MOST_CONTAINERS: usize = 512;
/// How many are asked about at a time.
const AT_ONCE: usize = 8;
/// Between two tries to follow the daemon's events.
const AGAIN: Duration = Duration::from_millis(500);
/// What changes names: containers and their networks.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";

/// The names of the containers that run, as the daemon says.
#[derive(Debug)]
pub struct Directory {
    socket: PathBuf,
    clock: Arc<dyn Clock>,
    changed: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    names: HashMap<String, Vec<Ipv4Addr>>,
    at: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

impl Directory {
    /// The names that the daemon at a socket knows.
    pub fn new(socket: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            socket,
            clock,
            changed: AtomicBool::new(true),
            known: Mutex::default(),
        }
    }

    /// The addresses of a name; none where there is no such name, or the daemon does not
    /// answer.
    pub async fn lookup(&self, name: &str) -> Vec<Ipv4Addr> {
        let name = name.to_ascii_lowercase();
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let is_fresh = known
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < FRESH);
        let has_changed = self.changed.swap(false, Ordering::AcqRel);
        if has_changed || (!is_fresh && !known.names.contains_key(&name)) {
            match self.read().await {
                Ok(names) => known.names = names,
                Err(error) => {
                    tracing::debug!(%error, "the names of containers are not known");
                    known.names.clear();
                    self.changed.store(true, Ordering::Release);
                }
            }
            known.at = Some(now);
        }
        known.names.get(&name).cloned().unwrap_or_default()
    }

    /// Notes when names change, for ever.
    pub(in crate::docker) async fn follow(&self) -> Infallible {
        loop {
            let changed = || self.changed.store(true, Ordering::Release);
            if let Err(error) = api::watch(&self.socket, EVENTS, changed).await {
                tracing::debug!(%error, "the Docker daemon's events ended");
            }
            self.changed.store(true, Ordering::Release);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn read(&self) -> io::Result<HashMap<String, Vec<Ipv4Addr>>> {
        let path = format!(
            "/containers/json?limit={MOST_CONTAINERS}&filters=%7B%22status%22%3A%5B%22running%22%5D%7D"
        );
        let listed: Vec<Listed> = serde_json::from_slice(&api::get(&self.socket, &path).await?)?;
        let containers: Vec<Option<Container>> = stream::iter(listed)
            .map(|listed| async move {
                let path = format!("/containers/{}/json", listed.id);
                let answer = api::get(&self.socket, &path).await;
                // One that ended meanwhile has no names.
                answer
                    .ok()
                    .and_then(|body| serde_json::from_slice(&body).ok())
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let containers: Vec<Container> = containers.into_iter().flatten().collect();
        Ok(index(&containers))
    }
}
