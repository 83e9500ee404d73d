//! Live streams: how many one user may have, and when each must end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use helix_proto::UserId;
use tokio::time::{Interval, MissedTickBehavior};

use super::Failure;
use crate::{App, auth::Identity};

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
