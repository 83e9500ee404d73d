//! The credential of a machine that dials the control plane: given, kept from an earlier
//! registration, or made with a join token.

use std::{
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use helix_proto::{error::ErrorEnvelope, fleet::JoinRequest};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize as _, Serializer};
use url::Url;

use crate::{Outbound, Retry, Retryability, outbound::why};

/// No registration takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// There is no credential to connect with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None was given, kept, or can be made.
    #[error(
        "no credential: give a join token, or a credential made by an administrator of the control plane"
    )]
    None,
    /// The file could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The control plane's URL cannot be used.
    #[error("cannot join {0}: give an http or https URL")]
    BadUrl(Url),
    /// The control plane could not be reached.
    #[error("cannot reach {host} to register: {why}")]
    Unreachable {
        /// Its host.
        host: String,
        /// What happened.
        why: String,
    },
    /// The control plane refused.
    #[error("{host} refused the registration: {why}")]
    Refused {
        /// Its host.
        host: String,
        /// What it said.
        why: String,
    },
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Unreachable { .. } => Retryability::Transient,
            _ => Retryability::Permanent,
        }
    }
}

/// Where a credential may come from, first to last.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// It itself.
    pub credential: Option<&'a SecretString>,
    /// A file with it.
    pub file: Option<&'a Path>,
    /// The machine's data directory, which keeps what a registration made.
    pub data_dir: &'a Path,
    /// A token with which the machine may register itself.
    pub join_token: Option<&'a SecretString>,
    /// What it is called then.
    pub name: &'a str,
    /// Where it registers, below the control plane's base, such as `/api/v1/runners/join`.
    pub join_path: &'a str,
}

/// A registration's answer, as far as the machine needs it.
#[derive(Deserialize)]
struct Registered {
    id: String,
    name: String,
    credential: String,
}

/// Writes a secret of the options as one that is not shown, for `serialize_with`.
///
/// # Errors
///
/// The serializer's own.
pub fn redacted<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "[redacted]").serialize(serializer)
}

/// Where a registration keeps its credential.
pub fn kept_at(data_dir: &Path) -> PathBuf {
    data_dir.join("credential")
}

/// The credential to connect to `server` with: the one given, else that of the
/// given file, else what an earlier registration kept, else a new one by the
/// join token, which is then kept.
///
/// # Errors
///
/// When there is none, or it cannot be had.
pub async fn resolve(
    sources: &Sources<'_>,
    server: &Url,
    outbound: &Outbound,
) -> Result<SecretString, Error> {
    if let Some(credential) = sources.credential {
        return Ok(credential.clone());
    }
    if let Some(path) = sources.file {
        return read(path).await?.ok_or_else(|| Error::File {
            path: path.to_owned(),
            source: io::Error::from(io::ErrorKind::NotFound),
        });
    }
    let kept = kept_at(sources.data_dir);
    if let Some(credential) = read(&kept).await? {
        return Ok(credential);
    }
    let token = sources.join_token.ok_or(Error::None)?;
    let registered = register(sources, token, server, outbound).await?;
    keep(&kept, &registered.credential)?;
    let Registered { id, name, .. } = registered;
    tracing::info!(id, name, "registered at the control plane");
    Ok(registered.credential.into())
}

async fn read(path: &Path) -> Result<Option<SecretString>, Error> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(Some(text.trim().to_owned().into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Keeps a credential where only the machine's own user can read it.
fn keep(path: &Path, credential: &str) -> Result<(), Error> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension("new");
        // A leftover may be readable by others.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(credential.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

async fn register(
    sources: &Sources<'_>,
    token: &SecretString,
    server: &Url,
    outbound: &Outbound,
) -> Result<Registered, Error> {
    let base = server.as_str().trim_end_matches('/');
    let url = Url::parse(&format!("{base}{}", sources.join_path))
        .map_err(|_| Error::BadUrl(server.clone()))?;
    let host = server.host_str().unwrap_or_default().to_owned();
    let broke = |error: &reqwest::Error| Error::Unreachable {
        host: host.clone(),
        why: why(error),
    };
    let body = JoinRequest {
        token: token.expose_secret().to_owned(),
        name: sources.name.to_owned(),
    };
    let request = outbound.http().post(url).timeout(TIMEOUT).json(&body);
    let answer = request.send().await.map_err(|error| broke(&error))?;
    let status = answer.status();
    let text = answer.bytes().await.map_err(|error| broke(&error))?;
    if status.is_success()
        && let Ok(created) = serde_json::from_slice(&text)
    {
        return Ok(created);
    }
    let why = serde_json::from_slice::<ErrorEnvelope>(&text).map_or_else(
        |_| format!("it answered with status {}", status.as_u16()),
        |body| body.error.message,
    );
    Err(Error::Refused { host, why })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn sources(data_dir: &Path) -> Sources<'_> {
        Sources {
            credential: None,
            file: None,
            data_dir,
            join_token: None,
            name: "machine",
            join_path: "/join",
        }
    }

    async fn resolved(sources: &Sources<'_>) -> Result<SecretString, Error> {
        let server = Url::parse("http://127.0.0.1:1").unwrap();
        let outbound = Outbound::new(&crate::OutboundOptions::default()).unwrap();
        resolve(sources, &server, &outbound).await
    }

    #[tokio::test]
    async fn a_kept_credential_is_private_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("new");
        let path = kept_at(&data_dir);
        keep(&path, "hxr_1").unwrap();
        keep(&path, "hxr_2").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let found = resolved(&sources(&data_dir)).await.unwrap();
        assert_eq!(found.expose_secret(), "hxr_2");
    }

    #[tokio::test]
    async fn without_any_the_error_says_what_to_give() {
        let folder = tempfile::tempdir().unwrap();
        let none = sources(folder.path());
        let error = resolved(&none).await.unwrap_err();
        assert!(error.to_string().contains("join token"), "{error}");
        let missing = Sources {
            file: Some(Path::new("/nope")),
            ..none
        };
        let error = resolved(&missing).await.unwrap_err();
        assert!(error.to_string().contains("/nope"), "{error}");
    }
}
