//! A link that an agent serves on, as the agent's loops see it.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    CloseReason,
    handle::{Attach, Handle, Phase},
    link::greeting::{Identity, Resume},
    transport::Transport,
};

/// What happens to a link.
#[derive(Debug)]
pub(super) enum Change {
    /// A heartbeat was answered on its connection.
    Proven,
    /// Its connection broke; it waits for another.
    Detached(CloseReason),
    /// It is gone.
    Ended(CloseReason),
}

/// A link and the task that serves on it.
#[derive(Debug)]
pub(super) struct Live {
    identity: Identity,
    handle: Arc<Handle>,
    phase: watch::Receiver<Phase>,
    serving: JoinHandle<Option<CloseReason>>,
}

impl Live {
    pub(super) fn new(
        identity: Identity,
        handle: Arc<Handle>,
        serving: JoinHandle<Option<CloseReason>>,
    ) -> Self {
        Self {
            identity,
            phase: handle.phase(),
            handle,
            serving,
        }
    }

    pub(super) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// How to go on with it, while it is detached; none, when it has ended.
    pub(super) fn resume(&self) -> Option<Resume> {
        (!self.handle.has_ended()).then(|| Resume {
            identity: self.identity.clone(),
            received: self.handle.received(),
        })
    }

    /// Goes on with it.
    pub(super) fn attach(&mut self, transport: Box<dyn Transport>, received: u64) {
        // The phase as it is now is the old connection's.
        self.phase.mark_unchanged();
        self.handle.attach(Attach {
            transport,
            received,
            welcome: false,
        });
    }

    /// The next change.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            tokio::select! {
                biased;
                ended = &mut self.serving => {
                    // No reason means that the group was cancelled.
                    let reason = ended.ok().flatten();
                    return Change::Ended(reason.unwrap_or_else(|| self.handle.finish()));
                }
                changed = self.phase.changed() => {
                    let phase = self.phase.borrow_and_update().clone();
                    match phase {
                        Phase::Attached => {}
                        Phase::Proven => return Change::Proven,
                        Phase::Detached(reason) => return Change::Detached(reason),
                    }
                    if changed.is_err() {
                        return Change::Ended(self.handle.finish());
                    }
                }
            }
        }
    }
}
