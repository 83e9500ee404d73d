//! Verified credentials, for a short time, so that `/v1` does not ask the
//! database for each request.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Identity;

/// Entries at most; all are dropped when there would be more.
const CAPACITY: usize = 10_000;

/// Proof that a look-up began before anything was revoked since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Keyed by the hash of the credential.
///
/// **Invariant:** what was forgotten does not come back by a look-up that was
/// under way: [`Cache::put`] does nothing when something was forgotten since
/// its [`Ticket`] was drawn.
#[derive(Debug)]
pub(super) struct Cache {
    believed: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    forgotten: u64,
    entries: HashMap<String, (Identity, Instant)>,
}

impl Cache {
    pub(super) fn new(believed: Duration) -> Self {
        Self {
            believed,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, hash: &str, now: Instant) -> Option<Identity> {
        let state = self.lock();
        let (identity, until) = state.entries.get(hash)?;
        (*until > now).then(|| identity.clone())
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.lock().forgotten)
    }

    pub(super) fn put(&self, ticket: Ticket, hash: String, identity: Identity, now: Instant) {
        let mut state = self.lock();
        if state.forgotten != ticket.0 {
            return;
        }
        if state.entries.len() >= CAPACITY {
            state.entries.retain(|_, (_, until)| *until > now);
        }
        if state.entries.len() >= CAPACITY {
            state.entries.clear();
        }
        state.entries.insert(hash, (identity, now + self.believed));
    }

    pub(super) fn forget(&self, which: impl Fn(&str, &Identity) -> bool) {
        let mut state = self.lock();
        state.forgotten += 1;
        state
            .entries
            .retain(|hash, (identity, _)| !which(hash, identity));
    }
}

#[cfg(test)]
mod tests {
    use helix_base::{Clock as _, ManualClock};
    use helix_proto::{TypedId as _, UserId, auth::Role};

    use super::{super::Credential, *};

    fn identity(n: u128) -> Identity {
        Identity {
            user_id: UserId::from_parts(1, n),
            role: Role::Member,
            credential: Credential::SignIn { expires_at_ms: 9 },
            secret_hash: "h".into(),
        }
    }

    #[test]
    fn a_credential_is_believed_for_a_while_and_no_longer() {
        let clock = ManualClock::new(0);
        let cache = Cache::new(Duration::from_secs(10));
        cache.put(cache.ticket(), "a".into(), identity(1), clock.now());
        clock.advance(Duration::from_secs(9));
        assert_eq!(cache.get("a", clock.now()), Some(identity(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.get("a", clock.now()), None);
    }

    #[test]
    fn a_look_up_that_was_under_way_does_not_bring_back_what_was_revoked() {
        let clock = ManualClock::new(0);
        let cache = Cache::new(Duration::from_secs(10));
        let ticket = cache.ticket();
        cache.forget(|hash, _| hash == "a");
        cache.put(ticket, "a".into(), identity(1), clock.now());
        assert_eq!(cache.get("a", clock.now()), None);
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let clock = ManualClock::new(0);
        let cache = Cache::new(Duration::from_secs(10));
        for n in 0..=CAPACITY {
            cache.put(cache.ticket(), n.to_string(), identity(1), clock.now());
        }
        assert!(cache.lock().entries.len() <= CAPACITY);
    }
}
