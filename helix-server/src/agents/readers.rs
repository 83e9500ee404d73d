//! Editors in sandboxes that follow a session's log, through their host's connection.
//!
//! A reader says up to where it has read, and gets what follows as one page, once there is
//! something. So it is never sent more than it asked for, and a connection that is slow, or new,
//! loses nothing.

use std::{collections::HashMap, sync::Arc};

use helix_proto::{
    SessionId, ThreadId,
    agents::{Down, LogPage, MAX_EVENTS, MAX_READERS},
    session::SessionEventBody,
};
use tokio::sync::watch;

use super::{Agents, hosts::Link};
use crate::{sessions::Follower, store};

/// Bytes of a page from which on nothing is added.
const PAGE: usize = 512 << 10;

/// What a reader waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) thread: ThreadId,
    pub(super) session: SessionId,
    pub(super) after: u64,
}

/// The readers of one connection. Dropping it ends them.
#[derive(Debug, Default)]
pub(super) struct Readers(HashMap<u64, watch::Sender<Asked>>);

impl Readers {
    /// A reader waits for what follows. False: there are too many.
    pub(super) fn follow(
        &mut self,
        agents: &Agents,
        link: &Arc<Link>,
        reader: u64,
        asked: Asked,
    ) -> bool {
        if let Some(sender) = self.0.get(&reader)
            && sender.send(asked).is_ok()
        {
            return true;
        }
        self.0.retain(|_, sender| !sender.is_closed());
        if self.0.len() >= MAX_READERS {
            return false;
        }
        let (sender, latest) = watch::channel(asked);
        self.0.insert(reader, sender);
        let (agents, link) = (agents.clone(), Arc::clone(link));
        let tasks = agents.inner.tasks.clone();
        tasks.spawn("log reader", async move {
            let closed = link.closed.clone();
            let reading = Reader {
                agents,
                link,
                number: reader,
                latest,
            };
            closed.run_until_cancelled(reading.run()).await;
        });
        true
    }

    /// Nobody reads any more.
    pub(super) fn unfollow(&mut self, reader: u64) {
        self.0.remove(&reader);
    }
}

struct Reader {
    agents: Agents,
    link: Arc<Link>,
    number: u64,
    latest: watch::Receiver<Asked>,
}

impl Reader {
    async fn run(mut self) {
        let mut place: Option<(SessionId, u64, Follower)> = None;
        loop {
            let asked = *self.latest.borrow_and_update();
            let mut follower = match place.take() {
                Some((session, after, follower))
                    if (session, after) == (asked.session, asked.after) =>
                {
                    follower
                }
                _ => {
                    let sessions = &self.agents.inner.sessions;
                    sessions.read_log(asked.session, asked.after)
                }
            };
            let page = tokio::select! {
                page = page(self.number, asked, &mut follower) => page,
                // Something else is waited for, or nothing.
                changed = self.latest.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            match page {
                Ok(Some(page)) => {
                    place = Some((asked.session, page.through, follower));
                    self.link.send(&Down::Log(page)).await;
                }
                // The session was deleted: its conversation says so to the host.
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a log cannot be read for an editor"
                    );
                    // The next connection asks again.
                    return self.link.close(1001, "the database cannot be read now");
                }
            }
            if self.latest.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn page(
    reader: u64,
    asked: Asked,
    follower: &mut Follower,
) -> Result<Option<LogPage>, store::Error> {
    let Some(mut event) = follower.next().await? else {
        return Ok(None);
    };
    let mut page = LogPage {
        thread: asked.thread,
        reader,
        through: asked.after,
        more: false,
        entries: Vec::new(),
    };
    let mut bytes = 0;
    loop {
        page.through = event.seq;
        if let SessionEventBody::Agent { entry } = event.event()?.body {
            bytes += serde_json::to_string(&entry).map_or(0, |text| text.len());
            page.entries.push(*entry);
        }
        if bytes >= PAGE || page.entries.len() >= MAX_EVENTS {
            break;
        }
        match follower.there().await? {
            Some(next) => event = next,
            None => break,
        }
    }
    page.more = follower.has_more().await?;
    Ok(Some(page))
}
