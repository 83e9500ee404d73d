//! Tells the readers of a log that it grew, and lists that they changed.
//!
//! A [`Notice`] is a hint, never the truth: a reader that missed some reads
//! the store again from where it stands.

use std::{fmt, sync::Arc};

use helix_proto::{
    SandboxId, SessionId, UserId,
    sandbox::Sandbox,
    session::{Session, SessionEvent},
};

mod local;

pub use local::LocalBus;

/// What a notice is about, and what readers subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One session's log.
    Session(SessionId),
    /// What one user's lists show.
    User(UserId),
    /// Runners, instances, models, the queue, sandbox hosts.
    Fleet,
    /// Every sandbox, for what works in sandboxes.
    Sandboxes,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Notice {
    /// These events were appended to a session's log.
    Appended {
        /// Whose log.
        session_id: SessionId,
        /// In order, without gaps.
        events: Arc<[SessionEvent]>,
    },
    /// A session was made or changed.
    SessionChanged {
        /// As it is now.
        session: Arc<Session>,
    },
    /// A session was deleted.
    SessionDeleted {
        /// Which.
        session_id: SessionId,
    },
    /// Runners or instances changed.
    RunnersChanged,
    /// Models changed.
    ModelsChanged,
    /// The queue changed.
    QueueChanged,
    /// A sandbox was made or changed.
    SandboxChanged {
        /// As it is now.
        sandbox: Arc<Sandbox>,
    },
    /// A sandbox was deleted.
    SandboxDeleted {
        /// Which.
        sandbox_id: SandboxId,
    },
    /// What is shared with a user, or how, changed.
    SharesChanged,
    /// Snapshots were taken or deleted.
    SnapshotsChanged,
    /// Sandbox hosts, or sandboxes on them, changed.
    SandboxHostsChanged,
}

/// What a subscription yields.
#[derive(Debug, Clone)]
pub enum Received {
    /// A notice.
    Notice(Notice),
    /// The reader was too slow and missed some: read the store again.
    Missed,
}

/// Carries notices from writers to readers.
///
/// # Contract
/// - `publish` never waits and never fails; with no subscriber it does nothing.
/// - A subscriber gets every notice that is published after `subscribe`
///   returned, in the order in which one writer published them, or
///   [`Received::Missed`] once in place of those it was too slow for.
/// - What is kept for a slow subscriber is bounded.
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Tells all subscribers of the topic.
    fn publish(&self, topic: Topic, notice: Notice);

    /// Listens from now on.
    fn subscribe(&self, topic: Topic) -> Box<dyn Subscription>;
}

/// One reader's side of a [`Bus`].
#[async_trait::async_trait]
pub trait Subscription: fmt::Debug + Send + Sync + 'static {
    /// The next notice; `None` when the bus is gone. Cancel safe.
    async fn next(&mut self) -> Option<Received>;
}
