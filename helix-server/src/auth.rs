//! Accounts, sign-in, API keys and credentials of machines: who is calling?

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use helix_base::{Clock, Ids, TaskGroup};
use helix_proto::{
    ApiKeyId, RunnerId, SandboxHostId, SessionId, UserId,
    auth::{Role, Scope},
};

use crate::{
    Foundation,
    store::{Error, Store},
};

mod accounts;
mod attempts;
mod cache;
mod password;
pub mod secret;
mod session_keys;

pub(crate) use accounts::{Registration, SignedIn};
use attempts::Attempts;
use cache::Cache;
use password::Passwords;
pub use session_keys::SessionKeys;

/// How long a verified credential is believed without asking the database
/// again. What this instance revokes is forgotten at once; what another one
/// revokes, within this time.
const BELIEVED: Duration = Duration::from_secs(10);

/// A user, as proven by a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user_id: UserId,
    /// What the user may do.
    pub role: Role,
    /// How it was proven.
    pub credential: Credential,
    /// What is stored of the secret that proved it.
    pub secret_hash: Arc<str>,
}

/// How a user proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// With the cookie of a browser that is signed in.
    SignIn {
        /// When the sign-in ends.
        expires_at_ms: u64,
    },
    /// With an API key.
    ApiKey {
        /// Which.
        id: ApiKeyId,
        /// What it may do.
        scopes: Arc<BTreeSet<Scope>>,
        /// When it ends.
        expires_at_ms: Option<u64>,
    },
    /// With the key of a session, which an agent has.
    SessionKey {
        /// Which session.
        session: SessionId,
        /// The session's model: answers for names that nobody here knows.
        model: Arc<str>,
    },
}

impl Credential {
    /// Whether it has ended.
    const fn has_expired(&self, now_ms: u64) -> bool {
        match self {
            Self::SignIn { expires_at_ms, .. } => *expires_at_ms <= now_ms,
            Self::ApiKey {
                expires_at_ms: Some(at),
                ..
            } => *at <= now_ms,
            Self::ApiKey {
                expires_at_ms: None,
                ..
            }
            | Self::SessionKey { .. } => false,
        }
    }
}

/// Says who is calling, and forgets it when a credential is revoked. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Ids,
    tasks: TaskGroup,
    cache: Cache,
    passwords: Passwords,
    attempts: Attempts,
    setup_file: PathBuf,
}

impl Auth {
    /// Starts with nothing cached.
    pub(crate) fn new(foundation: &Foundation) -> Self {
        Self {
            inner: Arc::new(Inner {
                store: foundation.store.clone(),
                clock: Arc::clone(&foundation.clock),
                ids: foundation.ids.clone(),
                tasks: foundation.tasks.clone(),
                cache: Cache::new(BELIEVED),
                passwords: Passwords::new(),
                attempts: Attempts::default(),
                setup_file: foundation.options.data_dir.join(accounts::SETUP_FILE),
            }),
        }
    }

    /// The user behind a cookie.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn identify_sign_in(&self, token: &str) -> Result<Option<Identity>, Error> {
        self.identify_sign_in_hash(secret::hash(token)).await
    }

    /// The user behind a sign-in, by the hash of its cookie.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn identify_sign_in_hash(
        &self,
        hash: String,
    ) -> Result<Option<Identity>, Error> {
        self.identify(hash, async |hash| self.inner.store.sign_in(hash).await)
            .await
    }

    /// The user behind an API key.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn identify_key(&self, key: &str) -> Result<Option<Identity>, Error> {
        if !key.starts_with(secret::API_KEY) {
            return Ok(None);
        }
        let hash = secret::hash(key);
        self.identify(hash, async |hash| self.key_by_hash(hash).await)
            .await
    }

    /// The user and the session behind a session's key.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn identify_session_key(&self, key: &str) -> Result<Option<Identity>, Error> {
        if !key.starts_with(secret::SESSION_KEY) {
            return Ok(None);
        }
        let store = &self.inner.store;
        let load = async |hash: &str| store.session_key_by_hash(hash).await;
        self.identify(secret::hash(key), load).await
    }

    async fn identify(
        &self,
        hash: String,
        load: impl AsyncFnOnce(&str) -> Result<Option<Identity>, Error>,
    ) -> Result<Option<Identity>, Error> {
        let Inner { cache, clock, .. } = &*self.inner;
        let now_ms = clock.now_ms();
        let valid = |identity: &Identity| !identity.credential.has_expired(now_ms);
        if let Some(identity) = cache.get(&hash, clock.now()) {
            return Ok(Some(identity).filter(valid));
        }
        let ticket = cache.ticket();
        let Some(identity) = load(&hash).await?.filter(valid) else {
            return Ok(None);
        };
        cache.put(ticket, hash, identity.clone(), clock.now());
        Ok(Some(identity))
    }

    /// Whether what proved an identity is still valid, for streams that outlive
    /// the check at their beginning.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn still_valid(&self, identity: &Identity) -> Result<bool, Error> {
        let store = &self.inner.store;
        let hash = identity.secret_hash.to_string();
        let found = match identity.credential {
            Credential::SignIn { .. } => {
                self.identify(hash, async |hash| store.sign_in(hash).await)
                    .await?
            }
            Credential::ApiKey { .. } => {
                self.identify(hash, async |hash| self.key_by_hash(hash).await)
                    .await?
            }
            Credential::SessionKey { .. } => {
                self.identify(hash, async |hash| store.session_key_by_hash(hash).await)
                    .await?
            }
        };
        Ok(found.is_some_and(|found| found.role == identity.role))
    }

    /// The key behind a hash; notes that it was used, at most once a minute.
    async fn key_by_hash(&self, hash: &str) -> Result<Option<Identity>, Error> {
        let Some((identity, last_used)) = self.inner.store.api_key_by_hash(hash).await? else {
            return Ok(None);
        };
        let now_ms = self.inner.clock.now_ms();
        if let Credential::ApiKey { id, .. } = identity.credential
            && last_used.is_none_or(|at| at + 60_000 <= now_ms)
        {
            let store = self.inner.store.clone();
            self.inner.tasks.spawn("note use of API key", async move {
                if let Err(error) = store.touch_api_key(id, now_ms).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, %id, "the use of an API key could not be noted");
                }
            });
        }
        Ok(Some(identity))
    }

    /// The runner behind a credential.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn identify_runner(&self, credential: &str) -> Result<Option<RunnerId>, Error> {
        if !credential.starts_with(secret::RUNNER) {
            return Ok(None);
        }
        // Asked once per connection of a runner: not worth a cache.
        self.inner
            .store
            .runner_by_credential(&secret::hash(credential))
            .await
    }

    /// The sandbox host behind a credential.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn identify_sandbox_host(
        &self,
        credential: &str,
    ) -> Result<Option<SandboxHostId>, Error> {
        if !credential.starts_with(secret::SANDBOX_HOST) {
            return Ok(None);
        }
        // Asked once per connection of a host: not worth a cache.
        self.inner
            .store
            .sandbox_host_by_credential(&secret::hash(credential))
            .await
    }

    /// Forgets a credential that was just revoked, by its hash.
    pub(crate) fn forget(&self, hash: &str) {
        self.inner.cache.forget(|key, _| key == hash);
    }

    /// Forgets every credential of a user.
    pub(crate) fn forget_user(&self, user: UserId) {
        self.inner
            .cache
            .forget(|_, identity| identity.user_id == user);
    }

    /// Forgets the key of a session that was just replaced or ended, or whose session changed.
    pub(crate) fn forget_session_key(&self, id: SessionId) {
        self.inner.cache.forget(|_, identity| {
            matches!(identity.credential, Credential::SessionKey { session, .. } if session == id)
        });
    }

    /// Forgets an API key that was just deleted.
    pub(crate) fn forget_key(&self, key: ApiKeyId) {
        self.inner.cache.forget(
            |_, identity| matches!(identity.credential, Credential::ApiKey { id, .. } if id == key),
        );
    }
}
