//! Passwords: argon2id, off the async threads, few at once.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use helix_base::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Hashes at once. Each takes 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;

/// How long to wait for one of them to become free.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Too many at once.
    #[error("too many sign-ins at once")]
    Busy,
    /// The stored hash is not one, or hashing failed.
    #[error("a password could not be hashed: {0}")]
    Hash(String),
}

/// Hashes and compares passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    free: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// What is stored of a password.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String, Error> {
        self.off_thread(move || {
            Argon2::default()
                .hash_password(password.expose_secret().as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| Error::Hash(error.to_string()))
        })
        .await
    }

    /// Whether it is the password. Without a hash (no such account) it takes
    /// as long, so that nobody learns from the time who has an account.
    pub(super) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, Error> {
        let Some(hash) = hash else {
            self.hash(password).await?;
            return Ok(false);
        };
        self.off_thread(move || {
            let hash = PasswordHash::new(&hash).map_err(|error| Error::Hash(error.to_string()))?;
            let password = password.expose_secret().as_bytes();
            Ok(Argon2::default().verify_password(password, &hash).is_ok())
        })
        .await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let free = Arc::clone(&self.free).acquire_owned();
        let permit = tokio::time::timeout(PATIENCE, free)
            .await
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Busy)?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|error| Error::Hash(error.to_string()))?
    }
}
