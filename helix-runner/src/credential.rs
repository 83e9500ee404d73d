//! The runner's credential: given, kept from an earlier registration, or made
//! with a join token.

use std::{
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use helix_base::{ExposeSecret as _, Outbound, Retry, Retryability, SecretString, outbound::why};
use helix_proto::{
    error::ErrorEnvelope,
    fleet::{CreatedRunner, JoinRequest},
};
use url::Url;

use crate::RunnerOptions;

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
    options: &RunnerOptions,
    server: &Url,
    outbound: &Outbound,
) -> Result<SecretString, Error> {
    if let Some(credential) = &options.credential {
        return Ok(credential.clone());
    }
    if let Some(path) = &options.credential_file {
        return read(path).await?.ok_or_else(|| Error::File {
            path: path.clone(),
            source: io::Error::from(io::ErrorKind::NotFound),
        });
    }
    if let Some(kept) = read(&kept_at(&options.data_dir)).await? {
        return Ok(kept);
    }
    let token = options.join_token.as_ref().ok_or(Error::None)?;
    let name = options.name.clone().unwrap_or_else(crate::runner::hostname);
    let created = register(outbound, server, token, &name).await?;
    keep(&kept_at(&options.data_dir), &created.credential)?;
    tracing::info!(runner = %created.id, name = created.name, "registered at the control plane");
    Ok(created.credential.into())
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

/// Keeps a credential where only the runner's own user can read it.
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

/// Registers this machine as a runner with a join token.
///
/// # Errors
///
/// When the control plane cannot be reached, or refuses.
pub async fn register(
    outbound: &Outbound,
    server: &Url,
    token: &SecretString,
    name: &str,
) -> Result<CreatedRunner, Error> {
    let base = server.as_str().trim_end_matches('/');
    let url = Url::parse(&format!("{base}/api/v1/runners/join"))
        .map_err(|_| Error::BadUrl(server.clone()))?;
    let host = server.host_str().unwrap_or_default().to_owned();
    let broke = |error: &reqwest::Error| Error::Unreachable {
        host: host.clone(),
        why: why(error),
    };
    let body = JoinRequest {
        token: token.expose_secret().to_owned(),
        name: name.to_owned(),
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

    #[tokio::test]
    async fn a_kept_credential_is_private_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = RunnerOptions {
            data_dir: folder.path().join("new"),
            ..Default::default()
        };
        let path = kept_at(&options.data_dir);
        keep(&path, "hxr_1").unwrap();
        keep(&path, "hxr_2").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let server = Url::parse("http://127.0.0.1:1").unwrap();
        let outbound = Outbound::new(&options.outbound).unwrap();
        let found = resolve(&options, &server, &outbound).await.unwrap();
        assert_eq!(found.expose_secret(), "hxr_2");
    }

    #[tokio::test]
    async fn without_any_the_error_says_what_to_give() {
        let folder = tempfile::tempdir().unwrap();
        let options = RunnerOptions {
            data_dir: folder.path().to_owned(),
            ..Default::default()
        };
        let server = Url::parse("http://127.0.0.1:1").unwrap();
        let outbound = Outbound::new(&options.outbound).unwrap();
        let error = resolve(&options, &server, &outbound).await.unwrap_err();
        assert!(error.to_string().contains("join token"), "{error}");
        let missing = RunnerOptions {
            credential_file: Some("/nope".into()),
            ..options
        };
        let error = resolve(&missing, &server, &outbound).await.unwrap_err();
        assert!(error.to_string().contains("/nope"), "{error}");
    }
}
