//! The host's side: asks the guest about its Docker daemon.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use helix_proto::sandbox::guest::{DockerNames, ServiceState, ServiceStatus};
use http::{Method, StatusCode};

use crate::{Environment, Error, ErrorKind, GuestClient, dns::LocalNames};

/// The most addresses of one name that are believed.
const MOST_ADDRESSES: usize = 64;
/// For one name.
const PATIENCE: Duration = Duration::from_secs(1);

/// The names of a sandbox's containers, as its guest says.
#[derive(Debug, Clone)]
pub struct GuestNames {
    /// Not to keep a sandbox that is gone.
    sandbox: Weak<dyn Environment>,
}

impl GuestNames {
    /// For a sandbox with a Docker daemon.
    pub const fn new(sandbox: Weak<dyn Environment>) -> Self {
        Self { sandbox }
    }
}

#[async_trait]
impl LocalNames for GuestNames {
    async fn lookup(&self, name: &str) -> Vec<IpAddr> {
        // What no container can be called is not asked for.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let Some(sandbox) = self.sandbox.upgrade().filter(|_| name.bytes().all(plain)) else {
            return Vec::new();
        };
        let client = GuestClient::new(sandbox).with_patience(PATIENCE);
        let path = format!("/docker/names/{name}");
        let Ok(answer) = client.ask(Method::GET, &path, Bytes::new()).await else {
            return Vec::new();
        };
        let names: Result<DockerNames, _> = serde_json::from_slice(answer.body());
        let mut addresses = names.map(|names| names.addresses).unwrap_or_default();
        addresses.truncate(MOST_ADDRESSES);
        addresses
    }
}

/// Waits until a sandbox's Docker daemon is ready.
///
/// # Errors
///
/// Where it fails, is not ready within `patience`, or the guest does not say.
pub async fn until_ready(sandbox: Arc<dyn Environment>, patience: Duration) -> Result<(), Error> {
    let wait_ms = patience.as_millis();
    let client = GuestClient::new(sandbox).with_patience(patience + PATIENCE);
    let path = format!("/docker?wait_ms={wait_ms}");
    let answer = client.ask(Method::GET, &path, Bytes::new()).await?;
    if answer.status() != StatusCode::OK {
        let message = format!(
            "the guest answers {} about its Docker daemon",
            answer.status()
        );
        return Err(Error::new(ErrorKind::Failed, message));
    }
    let status: ServiceStatus = serde_json::from_slice(answer.body()).map_err(|error| {
        let message = format!("the guest's word on its Docker daemon cannot be read: {error}");
        Error::new(ErrorKind::Failed, message)
    })?;
    let said: String = status.message.chars().take(500).collect();
    match status.state {
        ServiceState::Ready => Ok(()),
        ServiceState::Starting => {
            let seconds = patience.as_secs();
            let message =
                format!("the sandbox's Docker daemon is not ready after {seconds} s {said}");
            Err(Error::new(ErrorKind::Timeout, message.trim_end()))
        }
        ServiceState::Failed | ServiceState::Stopped => {
            let message = format!("the sandbox's Docker daemon does not run: {said}");
            Err(Error::new(ErrorKind::Failed, message))
        }
    }
}
