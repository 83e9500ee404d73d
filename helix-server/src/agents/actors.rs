//! Which conversations have an actor now.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use helix_proto::SessionId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Agents,
    actor::{self, Message},
};

/// Messages that wait for an actor; whoever sends more waits.
const INBOX: usize = 64;

/// The actors that there are.
#[derive(Debug, Default)]
pub(super) struct Actors {
    live: Mutex<HashMap<SessionId, Handle>>,
}

#[derive(Debug, Clone)]
pub(super) struct Handle {
    inbox: mpsc::Sender<Message>,
    /// When another may begin.
    over: CancellationToken,
}

impl Actors {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Handle>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions that have one.
    pub(super) fn all(&self) -> HashSet<SessionId> {
        self.lock().keys().copied().collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Agents {
    /// Gives a message to a session's actor, which begins if there is none. Waits while that has
    /// more than enough to do. The message is dropped where the control plane ends.
    pub(super) async fn tell(&self, session: SessionId, mut message: Message) {
        loop {
            let handle = self.wake(session);
            match handle.inbox.send(message).await {
                Ok(()) => return,
                Err(unsent) => message = unsent.0,
            }
            // It was about to end. There is one writer: the next begins after it.
            handle.over.cancelled().await;
            if self.inner.tasks.is_draining() {
                return;
            }
            // Where the runtime ends, actors end before they begin, and so must this.
            tokio::task::yield_now().await;
        }
    }

    /// A session's actor, which begins if there is none.
    pub(super) fn wake(&self, session: SessionId) -> Handle {
        let mut live = self.inner.actors.lock();
        if let Some(handle) = live.get(&session) {
            return handle.clone();
        }
        let (inbox, messages) = mpsc::channel(INBOX);
        let over = CancellationToken::new();
        let handle = Handle { inbox, over };
        live.insert(session, handle.clone());
        drop(live);
        let registered = Registered {
            agents: self.clone(),
            session,
            over: handle.over.clone(),
        };
        let agents = self.clone();
        let span = tracing::info_span!("agent", %session);
        let acting = async move {
            let _registered = registered;
            actor::run(agents, session, messages).await;
        };
        let acting = tracing::Instrument::instrument(acting, span);
        self.inner.tasks.spawn("agent", acting);
        handle
    }
}

/// Forgets an actor when it ends, however it ends.
struct Registered {
    agents: Agents,
    session: SessionId,
    over: CancellationToken,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.agents.inner.actors.lock().remove(&self.session);
        self.over.cancel();
    }
}
