//! One thing at a time is done to a sandbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use helix_proto::SandboxId;
use tokio::sync::OwnedMutexGuard;

/// A lock for each sandbox that something is being done to.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<SandboxId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Locks {
    /// Waits for its turn.
    pub(super) async fn take(&self, id: SandboxId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain(|_, lock| lock.strong_count() > 0);
            match held.get(&id).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    held.insert(id, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use helix_proto::TypedId as _;

    use super::*;

    #[tokio::test]
    async fn one_sandbox_is_one_at_a_time_and_two_are_side_by_side() {
        let locks = Locks::default();
        let (one, two) = (SandboxId::from_parts(1, 1), SandboxId::from_parts(1, 2));
        let first = locks.take(one).await;
        let _other = locks.take(two).await;
        let second = locks.take(one);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        drop(locks.take(one).await);
        assert!(locks.held.lock().unwrap().len() <= 2);
    }
}
