//! Credentials: 256 bits of randomness behind a prefix that says what for.
//! Only their SHA-256 is stored: with that much randomness nobody can guess
//! from it, so it needs no salt and no slow hash.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// The prefix of API keys.
pub const API_KEY: &str = "hx_";
/// The prefix of runner credentials.
pub const RUNNER: &str = "hxr_";
/// The prefix of join tokens.
pub const JOIN_TOKEN: &str = "hxj_";
/// The prefix of sandbox hosts' credentials.
pub const SANDBOX_HOST: &str = "hxs_";
/// The prefix of keys that are bound to a session.
pub const SESSION_KEY: &str = "hxa_";
/// The prefix of browsers' cookies.
pub(crate) const SIGN_IN: &str = "hxc_";
/// The prefix of tokens in one-time links.
pub(crate) const LINK: &str = "hxl_";

/// The prefix of tokens in links that share a session.
pub(crate) const SHARE: &str = "hxh_";

/// The prefix of tokens that open a server in a sandbox once.
pub(crate) const PORT_TOKEN: &str = "hxp_";
/// The prefix of cookies that open a server in a sandbox.
pub(crate) const PORT_COOKIE: &str = "hxo_";
/// The prefix of what a browser has that may use such a token.
pub(crate) const PORT_STATE: &str = "hxn_";

/// A new credential. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Minted {
    /// What the caller is shown, once.
    pub secret: String,
    /// What is stored.
    pub hash: String,
    /// The first characters, to tell credentials apart.
    pub hint: String,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Makes a credential.
pub fn mint(prefix: &str) -> Minted {
    let random: [u8; 32] = rand::rng().random();
    let secret = format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let hint = secret.chars().take(prefix.len() + 5).collect();
    Minted {
        hash: hash(&secret),
        hint,
        secret,
    }
}

/// What is stored of a credential: its SHA-256 in hexadecimal.
pub fn hash(secret: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(secret.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_carries_its_prefix_and_is_not_shown_by_debug() {
        let minted = mint(API_KEY);
        assert!(minted.secret.starts_with("hx_"));
        assert_eq!(minted.secret.len(), 3 + 43);
        assert_eq!(hash(&minted.secret), minted.hash);
        assert!(!format!("{minted:?}").contains(&minted.secret));
        assert_ne!(mint(API_KEY).secret, minted.secret);
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
