//! Stores what a step changed, and does what it wants.

use helix_agent::{
    Step,
    control::{Change, Effect},
};
use helix_proto::{TurnId, agents::Down};

use super::{Actor, Stop, news};
use crate::{
    agents::{opening, sandbox::Place},
    store::agents::Batch,
};

impl Actor {
    /// Stores a step, then carries out its effects, and what follows from them.
    pub(super) async fn carry_out(&mut self, step: Step<Change, Effect>) -> Result<(), Stop> {
        let mut next = Some(step);
        while let Some(step) = next.take() {
            self.commit(step.changes, None).await?;
            for effect in step.effects {
                match effect {
                    Effect::Send(down) => self.send(&down).await,
                    Effect::NeedsThread => next = self.thread().await?,
                    // A session is deleted, not closed: its host hears `forget`.
                    Effect::Over => {}
                }
            }
        }
        Ok(())
    }

    /// Stores changes in one transaction, and tells readers.
    pub(super) async fn commit(
        &mut self,
        changes: Vec<Change>,
        key: Option<(TurnId, String)>,
    ) -> Result<(), Stop> {
        if changes.is_empty() {
            return Ok(());
        }
        let inner = &self.agents.inner;
        let shown = self.machine.saved().turn().map(helix_agent::turn::Turn::id);
        let mut phase = self.stored.phase;
        news::follow_phase(&mut phase, &changes);
        let session = self.stored.session_id;
        let batch = Batch {
            session,
            title: news::title(&changes),
            is_news: shown != self.shown || news::is_asked(&changes),
            changes,
            key,
        };
        let now_ms = inner.clock.now_ms();
        let Some(appended) = inner.writer.store(batch, now_ms).await? else {
            // Its user was deleted, and the session with them.
            if let Some(thread) = self.machine.saved().thread().map(|thread| thread.id) {
                self.send(&Down::Forget { thread }).await;
            }
            return Err(Stop::Done);
        };
        self.shown = shown;
        self.stored.phase = phase;
        let notices = inner.sessions.notices();
        notices.appended(session, appended.events);
        if let Some(session) = appended.session {
            notices.changed(self.stored.user_id, session);
        }
        Ok(())
    }

    async fn send(&self, down: &Down) {
        if let Some(link) = &self.link {
            link.send(down).await;
        }
    }

    /// A thread for a prompt that waits for one, or the end of that prompt.
    pub(super) async fn thread(&mut self) -> Result<Option<Step<Change, Effect>>, Stop> {
        let place = self.agents.place(self.stored.agent.sandbox_id).await?;
        self.waits_for_sandbox = place == Place::Coming;
        match place {
            Place::Coming => return Ok(None),
            Place::Gone(reason) => return Ok(Some(self.cannot_open(&reason))),
            Place::There => {}
        }
        if let Some(reason) = self.unreadable.clone() {
            return Ok(Some(self.cannot_open(&reason)));
        }
        if self.needs_repository() {
            return Ok(None);
        }
        let (user, session) = (self.stored.user_id, self.stored.session_id);
        // A person may have chosen another model meanwhile.
        if let Some(session) = self.agents.inner.store.session(user, session).await? {
            self.stored.model = session.model;
        }
        Ok(Some(match self.agents.opening(&self.stored).await? {
            Err(reason) => self.cannot_open(&reason),
            Ok(open) => {
                let id = self.agents.inner.ids.next();
                if let Some(link) = &self.link {
                    link.begins(id);
                }
                let now_ms = self.now_ms();
                self.machine.open(id, open, now_ms)
            }
        }))
    }

    /// Where no thread can begin, the prompt that waits for one fails, and says why. The host hears
    /// nothing of it.
    pub(super) fn cannot_open(&mut self, reason: &str) -> Step<Change, Effect> {
        let now_ms = self.now_ms();
        let id = self.agents.inner.ids.next();
        let open = opening::never(&self.stored);
        let mut step = self.machine.open(id, open, now_ms);
        step.then(self.gone(reason));
        step.effects
            .retain(|effect| matches!(effect, Effect::NeedsThread));
        step
    }

    /// The thread is over. The host may be connected all the same.
    fn gone(&mut self, reason: &str) -> Step<Change, Effect> {
        let now_ms = self.now_ms();
        let mut step = self.machine.host_gone(reason, now_ms);
        if self.link.is_some() {
            step.then(self.machine.connected(None, now_ms));
        }
        step
    }

    /// The sandbox may be another now: a prompt that waits for it is sent, and a thread in one that
    /// does not run any more is over, or whose secrets cannot be read.
    pub(super) async fn look_at_sandbox(&mut self) -> Result<(), Stop> {
        if self.waits_for_sandbox {
            if let Some(step) = self.thread().await? {
                self.carry_out(step).await?;
            }
            return Ok(());
        }
        let Some(thread) = self.machine.saved().thread().map(|thread| thread.id) else {
            return Ok(());
        };
        let place = self.agents.place(self.stored.agent.sandbox_id).await?;
        let reason = match place {
            Place::Gone(reason) => Some(reason),
            Place::Coming | Place::There => self.unreadable.clone(),
        };
        if let Some(reason) = reason {
            let step = self.gone(&reason);
            self.carry_out(step).await?;
            self.send(&Down::Forget { thread }).await;
        }
        Ok(())
    }
}
