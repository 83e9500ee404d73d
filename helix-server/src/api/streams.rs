//! Live streams: how many one user may have, and when each must end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use helix_proto::UserId;
use tokio::time::{Interval, MissedTickBehavior};

use super::Failure;
use crate::{
    App,
    auth::Identity,
    events::{Notice, Received, Subscription, Topic},
    sharing::{Grant, Right},
};

/// How often a stream shows that it lives, and checks that it may.
pub(super) const ALIVE: Duration = Duration::from_secs(15);

/// Counts the live streams of each user. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    open: Arc<Mutex<HashMap<UserId, u32>>>,
}

/// One live stream; ends its count when dropped.
#[derive(Debug)]
pub(super) struct Open {
    streams: Streams,
    user: UserId,
}

impl Streams {
    /// Counts one more stream of a user.
    pub(super) fn open(&self, user: UserId, most: u32) -> Result<Open, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(user).or_default();
        if *count >= most {
            return Err(Failure::too_many(
                format!("you have {most} streams or requests of this kind open: close some"),
                Duration::from_secs(10),
            ));
        }
        *count += 1;
        Ok(Open {
            streams: self.clone(),
            user,
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self
            .streams
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

/// Ticks as often as a stream is to show that it lives.
pub(super) fn ticks() -> Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + ALIVE, ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Whether the caller of a stream may still have it. While the database does
/// not answer it may.
pub(super) async fn may_go_on(app: &App, identity: &Identity) -> bool {
    app.auth().still_valid(identity).await.unwrap_or(true)
}

/// Checks again and again whether a stream may go on: whether the credential that it was opened
/// with is good, and the right that it was opened by still the same.
#[derive(Debug)]
pub(super) struct Checks {
    app: App,
    identity: Identity,
    grant: Option<Grant>,
    ticks: Interval,
    /// What is shared may end at any time.
    shares: Option<Box<dyn Subscription>>,
    /// One is to be made, or was not finished.
    due: bool,
}

impl Checks {
    /// Of a stream that needs a credential alone.
    pub(super) fn of_caller(app: &App, identity: &Identity) -> Self {
        Self {
            app: app.clone(),
            identity: identity.clone(),
            grant: None,
            ticks: ticks(),
            shares: None,
            due: false,
        }
    }

    /// Of a stream in a session or a sandbox.
    pub(super) fn of(app: &App, grant: &Grant) -> Self {
        let identity = grant.identity();
        let bus = &app.foundation().bus;
        let shared = grant.right() < Right::Own;
        Self {
            shares: shared.then(|| bus.subscribe(Topic::User(identity.user_id))),
            grant: Some(grant.clone()),
            // What changed before it listened is not missed.
            due: shared,
            ..Self::of_caller(app, identity)
        }
    }

    /// Whether the credential is good.
    pub(super) async fn signed_in(&self) -> bool {
        may_go_on(&self.app, &self.identity).await
    }

    /// The next check, when it is time for one: whether the stream may go on. Cancel safe.
    pub(super) async fn next(&mut self) -> bool {
        if !self.due {
            let Self { ticks, shares, .. } = self;
            let changed = async {
                if let Some(shares) = shares {
                    while let Some(heard) = shares.next().await {
                        if is_about_shares(&heard) {
                            return;
                        }
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                _ = ticks.tick() => {}
                () = changed => {}
            }
            self.due = true;
        }
        let mut may = self.signed_in().await;
        if let Some(grant) = &self.grant {
            may = may && self.app.sharing().holds(grant).await;
        }
        self.due = false;
        may
    }
}

/// Whether what was heard may be that a share changed.
const fn is_about_shares(heard: &Received) -> bool {
    matches!(
        heard,
        Received::Missed | Received::Notice(Notice::SharesChanged)
    )
}

#[cfg(test)]
mod tests {
    use helix_proto::TypedId as _;

    use super::*;

    #[test]
    fn one_user_has_a_bounded_number_of_streams_and_gets_them_back() {
        let streams = Streams::default();
        let user = UserId::from_parts(1, 1);
        let first = streams.open(user, 1).unwrap();
        assert!(streams.open(user, 1).is_err());
        assert!(streams.open(UserId::from_parts(1, 2), 1).is_ok());
        drop(first);
        assert!(streams.open(user, 1).is_ok());
        assert!(streams.open.lock().unwrap().is_empty());
    }
}
