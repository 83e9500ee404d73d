//! Follows a session's log: first what is stored, then what comes, without gap
//! or repetition.

use std::collections::VecDeque;

use helix_proto::{SessionId, session::SessionEvent};

use crate::{
    events::{Notice, Received, Subscription, Topic},
    sessions::Sessions,
    store::{self, Logged},
};

/// Events read from the store at once.
const PAGE: u32 = 500;

/// One reader of one log.
///
/// It listens before it reads the store, so that nothing falls between; the
/// sequence numbers say what it has already, and what it missed.
#[derive(Debug)]
pub struct Follower {
    sessions: Sessions,
    session: SessionId,
    subscription: Box<dyn Subscription>,
    ready: VecDeque<Logged>,
    last: u64,
    /// The store may have more after `last`.
    behind: bool,
}

impl Follower {
    pub(super) fn new(sessions: Sessions, session: SessionId, after: u64) -> Self {
        let subscription = sessions.bus().subscribe(Topic::Session(session));
        Self {
            sessions,
            session,
            subscription,
            ready: VecDeque::new(),
            last: after,
            behind: true,
        }
    }

    /// The next event; `None` when the session was deleted. Cancel safe.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Logged>, store::Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.behind {
                self.read().await?;
                continue;
            }
            match self.subscription.next().await {
                None | Some(Received::Notice(Notice::SessionDeleted { .. })) => return Ok(None),
                Some(Received::Missed) => self.behind = true,
                Some(Received::Notice(Notice::Appended { events, .. })) => self.take(&events),
                Some(Received::Notice(_)) => {}
            }
        }
    }

    /// The next event that is there already; `None` at the end of the log. Cancel safe.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn there(&mut self) -> Result<Option<Logged>, store::Error> {
        self.has_more().await?;
        Ok(self.ready.pop_front())
    }

    /// Whether there is another event already.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn has_more(&mut self) -> Result<bool, store::Error> {
        if self.ready.is_empty() && self.behind {
            self.read().await?;
        }
        Ok(!self.ready.is_empty())
    }

    /// The next events, as many as are at hand: at least one, at most a page or what was appended
    /// at once. `None` when the session was deleted. Cancel safe.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn more(&mut self) -> Result<Option<Vec<Logged>>, store::Error> {
        let first = self.next().await?;
        Ok(first.map(|first| std::iter::once(first).chain(self.ready.drain(..)).collect()))
    }

    async fn read(&mut self) -> Result<(), store::Error> {
        let events = self
            .sessions
            .store()
            .events(self.session, self.last, PAGE)
            .await?;
        self.behind = events.len() == PAGE as usize;
        self.last = events.last().map_or(self.last, |event| event.seq);
        self.ready.extend(events);
        Ok(())
    }

    fn take(&mut self, events: &[SessionEvent]) {
        for event in events {
            if event.seq <= self.last {
                continue;
            }
            let next = (event.seq == self.last + 1).then(|| Logged::try_from(event));
            let Some(Ok(logged)) = next else {
                // Another writer was faster to publish: the store has it in order.
                self.behind = true;
                return;
            };
            self.last = event.seq;
            self.ready.push_back(logged);
        }
    }
}
