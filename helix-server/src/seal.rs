//! Secrets at rest: sealed before they reach the database, with a key that is not in it.
//!
//! A sealed text is bound to its [`Place`]: moved to another row, it does not open. It
//! names its key, so that keys can change: the first of the given keys seals, every one
//! of them opens, and [`Seal::renew`] seals everything anew with the first.
//!
//! Which keys are in use is known to the database (`seal_keys`), each with a text that
//! only it opens. So a key that is missing or wrong is an error of the start.
//!
//! The cipher is XChaCha20-Poly1305, whose nonces are long enough to be random.

use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    XNonce,
    aead::{Aead as _, Payload},
};
use helix_base::SecretString;
use rand::RngExt as _;

use crate::{
    options::Options,
    store::{self, Store},
};

mod keys;
mod renew;

use keys::{Key, KeyId};
pub(crate) use renew::SealedColumn;
pub use renew::{Renewed, renew};

/// The longest secret, in bytes.
pub const LONGEST: usize = 64 << 10;
/// Which way of sealing it is.
const VERSION: &str = "v1";
const NONCE_BYTES: usize = 24;

/// Where a sealed text belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's id, or its user's.
    pub id: &'a str,
    /// Which of the row's or the user's secrets.
    pub name: &'a str,
}

/// Why a secret was not sealed or opened, or a control plane does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The secret is too long.
    #[error("a secret has at most {LONGEST} bytes")]
    TooLong,
    /// It is not a sealed text.
    #[error("the stored secret cannot be read: it is not a sealed text")]
    Malformed,
    /// Its key is not one of those given.
    #[error(
        "a secret is sealed with the key `{0}`, which is not among those given in `secrets.key_file` or `secrets.key`"
    )]
    UnknownKey(String),
    /// Its key does not open it here.
    #[error("the stored secret does not open: it was changed, or belongs to another row")]
    Broken,
    /// A key cannot be used.
    #[error("the key for secrets in {source_name}: {reason}")]
    Key {
        /// Where it comes from.
        source_name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Seals and opens secrets. Cheap to clone.
#[derive(Clone)]
pub struct Seal {
    /// The first one seals. Never empty.
    keys: Arc<[Key]>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(Key::id))
            .finish()
    }
}

impl Seal {
    /// Takes the keys that the options name, or those of the data directory, where one
    /// is made for a database without secrets; and proves them on the database.
    ///
    /// # Errors
    /// When a key cannot be read, is none, or is not the one that the database's secrets
    /// are sealed with.
    pub(crate) async fn start(
        options: &Options,
        store: &Store,
        now_ms: u64,
    ) -> Result<Self, Error> {
        let known = store.seal_keys().await?;
        let keys = keys::load(options, known.is_empty()).await?;
        let seal = Self { keys: keys.into() };
        seal.prove(store, now_ms).await?;
        Ok(seal)
    }

    /// Seals a secret for its place.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(&self, place: Place<'_>, secret: &str) -> Result<String, Error> {
        if secret.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let key = &self.keys[0];
        let nonce: [u8; NONCE_BYTES] = rand::rng().random();
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: &bound_to(key.id(), place),
        };
        let sealed = key
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::TooLong)?;
        let bytes = [&nonce[..], &sealed].concat();
        let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!("{VERSION}.{}.{text}", key.id()))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// When it was not, was changed, or its key is not there.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<SecretString, Error> {
        let (id, text) = parts(sealed)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id().as_str() == id)
            .ok_or_else(|| Error::UnknownKey(id.chars().take(16).collect()))?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| Error::Malformed)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(Error::Malformed)?;
        let payload = Payload {
            msg: sealed,
            aad: &bound_to(key.id(), place),
        };
        let secret = key
            .cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| Error::Broken)?;
        let secret = String::from_utf8(secret).map_err(|_| Error::Malformed)?;
        Ok(secret.into())
    }
}

/// The key's id and the rest of a sealed text.
fn parts(sealed: &str) -> Result<(&str, &str), Error> {
    sealed
        .strip_prefix(VERSION)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.split_once('.'))
        .ok_or(Error::Malformed)
}

/// What a sealed text is bound to. Each part has its length in front, so that no two
/// places have the same.
fn bound_to(key: &KeyId, place: Place<'_>) -> Vec<u8> {
    let mut bound = Vec::new();
    for part in [VERSION, key.as_str(), place.table, place.id, place.name] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part.as_bytes());
    }
    bound
}

#[cfg(test)]
mod tests;
