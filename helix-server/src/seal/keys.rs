//! The keys: from the options, or of the data directory's own.

use std::{fmt, io, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use helix_base::{ExposeSecret as _, SecretString};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::Error;
use crate::options::Options;

/// The file in the data directory that holds the key, when none is given.
const OWN_FILE: &str = "secrets.key";
/// Keys at once at most.
const MOST: usize = 16;
const KEY_BYTES: usize = 32;

/// Tells keys apart and says nothing about them: eight digits of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyId(String);

impl KeyId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One key.
pub(super) struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl Key {
    pub(super) fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"helix seal key id");
        digest.update(bytes);
        let id = digest.finalize()[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            id: KeyId(id),
            cipher: XChaCha20Poly1305::new(&bytes.into()),
        }
    }

    pub(super) const fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) const fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }
}

/// The keys of the options, or of the data directory. `make`: whether one may be made
/// there.
pub(super) async fn load(options: &Options, make: bool) -> Result<Vec<Key>, Error> {
    let secrets = &options.secrets;
    if let Some(keys) = &secrets.key {
        if secrets.key_file.is_some() {
            return Err(fault(
                "`secrets.key`",
                "there is `secrets.key_file` too: give one of them",
            ));
        }
        return parse("`secrets.key`", keys);
    }
    if let Some(path) = &secrets.key_file {
        let name = format!("`{}`", path.display());
        let text = read(path)
            .await
            .map_err(|error| fault(&name, &error.to_string()))?;
        return parse(&name, &text);
    }
    let path = options.data_dir.join(OWN_FILE);
    let name = format!("`{}`", path.display());
    match read(&path).await {
        Ok(text) => parse(&name, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
            let text = write_new(&path)
                .await
                .map_err(|error| fault(&name, &error.to_string()))?;
            tracing::info!(file = %path.display(), "made the key that secrets are sealed with; without it they are lost: keep a copy apart from the database");
            parse(&name, &text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(fault(
            &name,
            "it is missing, and the database has secrets that are sealed: put the key back, or name it in `secrets.key_file`",
        )),
        Err(error) => Err(fault(&name, &error.to_string())),
    }
}

/// Keys in base64, separated by white space. The first one seals.
pub(super) fn parse(source: &str, text: &SecretString) -> Result<Vec<Key>, Error> {
    const FORM: &str = "each key is 32 bytes in base64, as `openssl rand -base64 32` makes them";
    let mut keys: Vec<Key> = Vec::new();
    for word in text.expose_secret().split_whitespace() {
        let bytes = BASE64_STANDARD.decode(word).ok();
        let bytes = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
        let key = Key::new(bytes.ok_or_else(|| fault(source, FORM))?);
        if keys.iter().any(|known| known.id == key.id) {
            return Err(fault(source, "the same key is there twice"));
        }
        keys.push(key);
    }
    match keys.len() {
        0 => Err(fault(source, "there is none")),
        1..=MOST => Ok(keys),
        _ => Err(fault(source, "there are more than 16")),
    }
}

fn fault(source: &str, reason: &str) -> Error {
    Error::Key {
        source_name: source.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Reads a file of keys, which is never long.
async fn read(path: &Path) -> io::Result<SecretString> {
    use tokio::io::AsyncReadExt as _;
    let file = tokio::fs::File::open(path).await?;
    let mut text = String::new();
    file.take(64 << 10).read_to_string(&mut text).await?;
    Ok(text.into())
}

/// Makes a key in a file that only its owner reads. One that is there already is not
/// replaced: it may be another's first start.
async fn write_new(path: &Path) -> io::Result<SecretString> {
    use tokio::io::AsyncWriteExt as _;
    let bytes: [u8; KEY_BYTES] = rand::rng().random();
    let text = format!("{}\n", BASE64_STANDARD.encode(bytes));
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).await?;
    file.write_all(text.as_bytes()).await?;
    file.sync_all().await?;
    Ok(text.into())
}
