//! How an agent gets a transport.

use std::{fmt, io};

use async_trait::async_trait;
use helix_base::{ExposeSecret as _, Outbound, SecretString, outbound};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use url::Url;

use crate::{
    REVDIAL_PATH,
    transport::{
        Transport,
        websocket::{self, WebSocket},
    },
};

/// Why dialling failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Dialling a WebSocket failed.
    #[error(transparent)]
    Outbound(#[from] outbound::Error),
    /// Another kind of transport failed.
    #[error(transparent)]
    Other(#[from] io::Error),
}

impl DialError {
    /// The HTTP status with which the control plane refused, if that is what happened.
    pub fn refused_with(&self) -> Option<u16> {
        match self {
            Self::Outbound(error) => error.refused_with().map(|status| status.as_u16()),
            Self::Other(_) => None,
        }
    }
}

/// Opens a new connection to the control plane each time.
///
/// # Contract
///
/// - Each call is one attempt with a bounded time; the agent decides about the next.
/// - Dropping the future gives the attempt up.
#[async_trait]
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    /// One attempt.
    async fn dial(&self) -> Result<Box<dyn Transport>, DialError>;
}

/// Dials [`REVDIAL_PATH`] with a bearer token.
pub struct WebSocketDial {
    url: Url,
    authorization: HeaderValue,
    outbound: Outbound,
}

impl fmt::Debug for WebSocketDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketDial")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

impl WebSocketDial {
    /// Dials the control plane at this base URL, which may have a path of its own.
    ///
    /// # Errors
    ///
    /// The URL holds credentials or no host, or the credential cannot be a header.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a secret is given away, not lent"
    )]
    pub fn new(
        base: &Url,
        credential: SecretString,
        outbound: Outbound,
    ) -> Result<Self, outbound::Error> {
        let invalid = |reason: &str| outbound::Error::Url {
            reason: reason.to_owned(),
        };
        if !base.username().is_empty() || base.password().is_some() || !base.has_host() {
            return Err(invalid(
                "the control plane's URL must have a host and no credentials",
            ));
        }
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path(&format!(
            "{}{REVDIAL_PATH}",
            base.path().trim_end_matches('/')
        ));
        let bearer = format!("Bearer {}", credential.expose_secret());
        let mut authorization = HeaderValue::from_str(&bearer)
            .map_err(|_| invalid("the credential holds characters that no header can"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            url,
            authorization,
            outbound,
        })
    }
}

#[async_trait]
impl Dial for WebSocketDial {
    async fn dial(&self) -> Result<Box<dyn Transport>, DialError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let socket = self
            .outbound
            .websocket_with(&self.url, headers, websocket::config())
            .await?;
        Ok(Box::new(WebSocket::new(socket)))
    }
}
