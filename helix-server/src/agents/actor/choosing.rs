//! Another agent, or another model, for a conversation.

use helix_agent::{Step, control::Act};
use tokio::sync::oneshot;

use super::{Actor, Chosen, Stop};
use crate::{agents::refused, api::Failure};

impl Actor {
    /// Ends the thread, and notes what the next one begins with.
    pub(super) async fn choose(
        &mut self,
        Chosen {
            agent,
            model,
            reason,
        }: Chosen,
        reply: oneshot::Sender<Result<(), Failure>>,
    ) -> Result<(), Stop> {
        let renew = Act::Renew {
            // A session of another agent's says nothing to this one.
            resumes: agent.is_none(),
            reason,
        };
        let now_ms = self.now_ms();
        let step = match self.machine.act(renew, now_ms) {
            Ok(step) => step,
            Err(refusal) => {
                let _ = reply.send(Err(refused(refusal)));
                return Ok(());
            }
        };
        self.commit(step.changes, None).await?;
        let (user, session) = (self.stored.user_id, self.stored.session_id);
        if let Some((name, title)) = agent {
            let store = &self.agents.inner.store;
            store.choose_agent(session, &name, &title).await?;
            self.stored.agent.agent = name;
            self.stored.agent.title = title;
        }
        // A thread that begins reads the model; and lists are told of both.
        let sessions = &self.agents.inner.sessions;
        let _ = reply.send(sessions.update(user, session, None, model).await.map(drop));
        let effects = Step {
            changes: Vec::new(),
            effects: step.effects,
        };
        self.carry_out(effects).await
    }
}
