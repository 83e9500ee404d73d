//! Another agent, or another model, for a session.

use helix_proto::{
    SessionId, UserId,
    session::{ChooseAgentRequest, Session},
};
use tokio::sync::oneshot;

use super::{
    Agents,
    actor::{Chosen, Message},
};
use crate::api::Failure;

impl Agents {
    /// Has a session go on with another agent, another model, or both: the thread ends, and the next
    /// prompt begins one.
    ///
    /// # Errors
    /// Not found; no such agent; conflict while a turn is in flight.
    pub(crate) async fn choose(
        &self,
        user: UserId,
        session: SessionId,
        ChooseAgentRequest { agent, model }: ChooseAgentRequest,
    ) -> Result<Session, Failure> {
        let current = self.agent_of(user, session).await?;
        if agent.is_none() && model.is_none() {
            return Err(Failure::invalid("agent", "`agent` or `model` is needed"));
        }
        let other = match agent.filter(|agent| *agent != current.agent) {
            None => None,
            Some(agent) => {
                let entry = self.startable("agent", &agent).await?;
                Some((entry.name, entry.title))
            }
        };
        let reason = match (&other, &model) {
            (Some((_, title)), None) => format!("the session goes on with {title}"),
            (Some((_, title)), Some(model)) => {
                format!("the session goes on with {title} and the model {model}")
            }
            (None, Some(model)) => format!("the session goes on with the model {model}"),
            // It is the one that there is.
            (None, None) => return self.inner.sessions.get(user, session).await,
        };
        let chosen = Chosen {
            agent: other,
            model,
            reason,
        };
        let (reply, answer) = oneshot::channel();
        self.ask(session, Message::Choose { chosen, reply }, answer)
            .await??;
        self.inner.sessions.get(user, session).await
    }
}
