//! Keys bound to sessions: what an agent in a sandbox asks models with.
//!
//! Such a key is for `/v1` alone, and there for what agents need. What is asked with it counts
//! as its session's user's, and is counted for the session.
//!
//! **Invariant:** counting touches no database while a request is in flight: counts are kept
//! here, and written every few seconds. A crash loses the last of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use helix_base::{Clock, SecretString};
use helix_proto::{SessionId, session::ModelUsage};
use tokio::time::MissedTickBehavior;

use super::{Auth, secret};
use crate::{
    Foundation,
    store::{Error, Store},
};

/// How often counts are written.
const WRITE: Duration = Duration::from_secs(2);

/// Makes and ends the keys of sessions, and counts what they are used for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    auth: Auth,
    counted: Mutex<HashMap<SessionId, ModelUsage>>,
}

impl SessionKeys {
    /// Starts counting.
    pub(crate) fn start(foundation: &Foundation, auth: &Auth) -> Self {
        let keys = Self {
            inner: Arc::new(Inner {
                store: foundation.store.clone(),
                clock: Arc::clone(&foundation.clock),
                auth: auth.clone(),
                counted: Mutex::default(),
            }),
        };
        let writing = keys.clone().write_on();
        let draining = foundation.tasks.draining_token().clone();
        let last = keys.clone();
        foundation.tasks.spawn("model usage", async move {
            draining.run_until_cancelled(writing).await;
            last.write().await;
        });
        keys
    }

    /// Makes the key of a session, in place of one that it has. It works until
    /// [`Self::revoke`], or until the session is deleted.
    ///
    /// # Errors
    /// When the database cannot be asked, or there is no such session.
    pub async fn make(&self, session: SessionId) -> Result<SecretString, Error> {
        let minted = secret::mint(secret::SESSION_KEY);
        let now_ms = self.inner.clock.now_ms();
        self.inner
            .store
            .put_session_key(session, &minted.hash, now_ms)
            .await?;
        self.inner.auth.forget_session_key(session);
        Ok(minted.secret.into())
    }

    /// Ends the key of a session. What is being answered goes on to its end.
    ///
    /// # Errors
    /// When the database cannot be asked: the key may still work then.
    pub async fn revoke(&self, session: SessionId) -> Result<(), Error> {
        let removed = self.inner.store.remove_session_key(session).await;
        self.inner.auth.forget_session_key(session);
        removed
    }

    /// What was asked of models with the keys of a session.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn usage(&self, session: SessionId) -> Result<ModelUsage, Error> {
        let mut usage = self.inner.store.model_usage(session).await?;
        if let Some(counted) = self.counted().get(&session) {
            usage.add(counted);
        }
        Ok(usage)
    }

    /// Counts for a session.
    pub(crate) fn count(&self, session: SessionId, usage: &ModelUsage) {
        self.counted().entry(session).or_default().add(usage);
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<SessionId, ModelUsage>> {
        self.inner
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_on(self) {
        let mut ticks = tokio::time::interval(WRITE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.write().await;
        }
    }

    /// Writes what was counted; keeps it for the next time if that fails.
    async fn write(&self) {
        let counted: Vec<_> = self.counted().clone().into_iter().collect();
        if counted.is_empty() {
            return;
        }
        if let Err(error) = self.inner.store.add_model_usage(&counted).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what sessions asked of models is not stored yet"
            );
            return;
        }
        let mut kept = self.counted();
        for (session, written) in counted {
            if let Some(usage) = kept.get_mut(&session) {
                usage.subtract(&written);
                if *usage == ModelUsage::default() {
                    kept.remove(&session);
                }
            }
        }
    }
}
