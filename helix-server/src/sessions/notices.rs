//! Tells readers what changed.

use std::sync::Arc;

use helix_proto::{
    SessionId, UserId,
    session::{Session, SessionEvent},
};

use crate::events::{Bus, Notice, Topic};

/// Publishes what sessions tell. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Notices {
    pub(super) bus: Arc<dyn Bus>,
}

impl Notices {
    /// A log grew.
    pub(crate) fn appended(&self, session_id: SessionId, events: Vec<SessionEvent>) {
        if !events.is_empty() {
            let notice = Notice::Appended {
                session_id,
                events: events.into(),
            };
            self.bus.publish(Topic::Session(session_id), notice);
        }
    }

    /// A session was made or changed.
    pub(crate) fn changed(&self, user: UserId, session: Session) {
        let notice = Notice::SessionChanged {
            session: Arc::new(session),
        };
        self.bus.publish(Topic::User(user), notice);
    }

    /// A session was deleted.
    pub(super) fn deleted(&self, user: UserId, session_id: SessionId) {
        let notice = Notice::SessionDeleted { session_id };
        self.bus.publish(Topic::Session(session_id), notice.clone());
        self.bus.publish(Topic::User(user), notice);
    }
}
