//! What an agent is given to read, line by line.

use std::{collections::VecDeque, future::pending, pin::Pin};

use helix_isolation::GuestClient;
use helix_proto::ExecId;

/// Bytes that wait to be read by the agent, at most: beyond, it does not read.
const MOST: usize = 64 << 20;

/// Lines on their way, one at a time.
#[derive(Default)]
pub(super) struct Writer {
    waiting: VecDeque<(String, Option<u64>)>,
    bytes: usize,
    now: Option<Now>,
    /// A line did not arrive: nothing more is written.
    ended: bool,
}

struct Now {
    told: Option<u64>,
    written: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Adds a line; with the number of what the agent is told by it, if this is the last of it.
    ///
    /// # Errors
    ///
    /// The agent does not read.
    pub(super) fn push(&mut self, line: String, told: Option<u64>) -> Result<(), String> {
        if self.ended {
            return Ok(());
        }
        self.bytes += line.len();
        if self.bytes > MOST {
            return Err("the agent does not read what it is told".to_owned());
        }
        self.waiting.push_back((line, told));
        Ok(())
    }

    /// Whether something is on its way of which the agent is told: what it says afterwards is
    /// read afterwards.
    pub(super) fn tells(&self) -> bool {
        let is_told = |told: &Option<u64>| told.is_some();
        self.now.as_ref().is_some_and(|now| is_told(&now.told))
            || self.waiting.iter().any(|(_, told)| is_told(told))
    }

    /// Begins with the next line, if none is on its way.
    pub(super) fn advance(&mut self, guest: &GuestClient, exec: ExecId) {
        if self.now.is_some() {
            return;
        }
        let Some((line, told)) = self.waiting.pop_front() else {
            return;
        };
        self.bytes -= line.len();
        let guest = guest.clone();
        let written = Box::pin(async move {
            let written = guest.input(exec, line.into()).await;
            written.map_err(|error| error.to_string())
        });
        self.now = Some(Now { told, written });
    }

    /// Waits until the line on its way is written; what the agent was told by that.
    ///
    /// # Errors
    ///
    /// The line did not arrive, and no other will.
    pub(super) async fn written(&mut self) -> Result<Option<u64>, String> {
        let Some(now) = &mut self.now else {
            return pending().await;
        };
        let written = (&mut now.written).await;
        let told = now.told;
        self.now = None;
        if written.is_err() {
            self.ended = true;
            self.bytes = 0;
            self.waiting.clear();
        }
        written.map(|()| told)
    }
}
