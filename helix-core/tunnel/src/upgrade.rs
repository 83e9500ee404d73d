//! The axum side of `GET /api/v1/revdial`: from an HTTP request to a [`Tunnel`].

use std::{fmt, hash::Hash, time::Duration};

use axum::{
    Json,
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderValue, Request, StatusCode,
        header::{CONNECTION, UPGRADE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use helix_proto::{ApiError, ErrorCode, error::ErrorEnvelope};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use crate::{Holder, Hub, Tunnel, websocket::WebSocket};

/// How long the connection may take to change over after the response.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// A request that may become a tunnel. Authenticate first: whose tunnel it is must come
/// from the credential. It needs HTTP/1.1 and a server that allows upgrades, as
/// `axum::serve` does.
#[derive(Debug)]
pub struct Upgrade {
    on_upgrade: OnUpgrade,
    headers: HeaderMap,
}

/// The request was not a WebSocket upgrade (426).
#[derive(Debug, thiserror::Error)]
#[error("this address takes WebSocket upgrades from agents only: {reason}")]
pub struct UpgradeRejection {
    reason: String,
}

impl IntoResponse for UpgradeRejection {
    fn into_response(self) -> Response {
        let error = ApiError::new(ErrorCode::BadRequest, self.to_string());
        let mut response =
            (StatusCode::UPGRADE_REQUIRED, Json(ErrorEnvelope { error })).into_response();
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = UpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let rejected = |reason: String| UpgradeRejection { reason };
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        let answer = create_response(&request).map_err(|error| rejected(error.to_string()))?;
        let on_upgrade = parts
            .extensions
            .remove::<OnUpgrade>()
            .ok_or_else(|| rejected("the connection cannot be upgraded".to_owned()))?;
        Ok(Self {
            on_upgrade,
            headers: answer.into_parts().0.headers,
        })
    }
}

impl Upgrade {
    /// Answers the request; then, when the connection has changed over, gives it to the
    /// hub. `connected` is called if a tunnel begins with it, and not if a tunnel there is
    /// goes on.
    pub fn accept<K>(
        self,
        hub: &Hub<K>,
        holder: Holder<K>,
        connected: impl FnOnce(Tunnel) + Send + 'static,
    ) -> Response
    where
        K: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static,
    {
        let inner = hub.clone();
        let on_upgrade = self.on_upgrade;
        hub.group().spawn("tunnel upgrade", async move {
            let upgraded = match tokio::time::timeout(UPGRADE_WITHIN, on_upgrade).await {
                Ok(Ok(upgraded)) => upgraded,
                Ok(Err(error)) => {
                    tracing::info!(%error, "an agent left before its tunnel was up");
                    return;
                }
                Err(_) => {
                    tracing::warn!("a connection did not change over to a tunnel in time");
                    return;
                }
            };
            let transport = WebSocket::server(TokioIo::new(upgraded)).await;
            match inner.accept(holder, transport).await {
                Ok(Some(tunnel)) => connected(tunnel),
                Ok(None) => {}
                Err(error) => tracing::info!(%error, "an agent's connection came to nothing"),
            }
        });
        (StatusCode::SWITCHING_PROTOCOLS, self.headers).into_response()
    }
}
