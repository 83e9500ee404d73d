//! One session of the built-in agent.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use agent_client_protocol::Error as AcpError;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{failed, servers::Servers};

/// What it is.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) directory: PathBuf,
    pub(super) servers: Servers,
    /// The messages, as the model has them. Locked for the length of a turn.
    pub(super) said: tokio::sync::Mutex<Vec<Value>>,
    /// Counts cancels.
    cancels: watch::Sender<u64>,
    leave: Mutex<Leave>,
}

/// What may be done without asking.
#[derive(Debug, Default)]
struct Leave {
    everything: bool,
    tools: HashSet<String>,
}

/// The modes that there are.
pub(super) fn modes() -> Value {
    json!({
        "currentModeId": "ask",
        "availableModes": [
            {"id": "ask", "name": "Ask", "description": "Asks before it writes or runs anything"},
            {"id": "auto", "name": "Auto", "description": "Writes and runs without asking"},
        ],
    })
}

impl Session {
    pub(super) fn new(id: String, directory: PathBuf, servers: Servers, said: Vec<Value>) -> Self {
        Self {
            id,
            directory,
            servers,
            said: tokio::sync::Mutex::new(said),
            cancels: watch::Sender::new(0),
            leave: Mutex::default(),
        }
    }

    fn leave(&self) -> MutexGuard<'_, Leave> {
        self.leave.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_mode(&self, mode: &str) -> Result<(), AcpError> {
        self.leave().everything = match mode {
            "ask" => false,
            "auto" => true,
            other => return Err(failed(format!("there is no mode {other:?}"))),
        };
        Ok(())
    }

    pub(super) fn may(&self, tool: &str) -> bool {
        let leave = self.leave();
        leave.everything || leave.tools.contains(tool)
    }

    pub(super) fn allow(&self, tool: &str) {
        self.leave().tools.insert(tool.to_owned());
    }

    pub(super) fn cancel(&self) {
        self.cancels.send_modify(|count| *count += 1);
    }

    /// Ends when the turn that begins now is cancelled.
    pub(super) fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cancels = self.cancels.subscribe();
        async move {
            // The sender lives as long as the session, which a turn holds.
            let _ = cancels.changed().await;
        }
    }
}
