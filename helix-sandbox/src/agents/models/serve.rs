//! One connection of a program that asks models.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    http::{Request, Response, StatusCode, Uri, header},
    response::IntoResponse as _,
};
use helix_base::{Outbound, outbound};
use helix_isolation::Connection;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use url::Url;

use crate::http::forwardable;

/// How long the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// The head of a request is not longer than this.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// What is asked of models, by any of their APIs.
const MODELS: &str = "/v1/";

/// Passes requests for models on to the control plane.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: Url,
    outbound: Outbound,
}

impl Gateway {
    pub(super) fn new(server: &Url, outbound: Outbound) -> Self {
        let mut base = server.clone();
        base.set_query(None);
        base.set_fragment(None);
        Self {
            inner: Arc::new(Inner { base, outbound }),
        }
    }

    /// Until either side ends it.
    pub(super) async fn serve(&self, connection: Box<dyn Connection>) {
        let answers = service_fn(|request| async {
            Ok::<_, Infallible>(Box::pin(self.answer(request)).await)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(connection), answers)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a program that asks models hung up");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(url) = self.target(request.uri()) else {
            return refused(
                StatusCode::NOT_FOUND,
                "not_found_error",
                "only what is below /v1 is led to the control plane from here",
            );
        };
        let (mut head, body) = request.into_parts();
        forwardable(&mut head.headers);
        head.headers.remove(header::HOST);
        let asked = self
            .inner
            .outbound
            .http()
            .request(head.method, url)
            .headers(head.headers)
            .body(reqwest::Body::wrap(body))
            .send()
            .await;
        match asked {
            Ok(answer) => {
                let mut answer = Response::<reqwest::Body>::from(answer);
                forwardable(answer.headers_mut());
                answer.map(Body::new)
            }
            Err(error) => refused(
                StatusCode::BAD_GATEWAY,
                "api_error",
                &format!(
                    "the sandbox's host cannot reach the control plane: {}",
                    outbound::why(&error)
                ),
            ),
        }
    }

    /// Where a request goes, if it is for models however the path is read.
    fn target(&self, asked: &Uri) -> Option<Url> {
        let mut url = self.inner.base.clone();
        let before = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{before}{}", asked.path()));
        url.set_query(asked.query());
        let rest = url.path().strip_prefix(&before)?;
        let is_plain = !asked.path().split('/').any(|part| {
            let part = part.to_ascii_lowercase().replace("%2e", ".");
            part == "." || part == ".."
        });
        (rest.starts_with(MODELS) && is_plain).then_some(url)
    }
}

/// An error that clients of each API for models understand.
fn refused(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let error = json!({"type": kind, "code": kind, "message": message});
    (status, Json(json!({"type": "error", "error": error}))).into_response()
}

#[cfg(test)]
mod tests {
    use helix_base::OutboundOptions;

    use super::*;

    #[test]
    fn only_what_is_for_models_goes_anywhere() {
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        let at = |base: &str, asked: &str| {
            let gateway = Gateway::new(&base.parse().unwrap(), outbound.clone());
            let url = gateway.target(&asked.parse().unwrap());
            url.map(|url| url.to_string())
        };
        let led = |base, asked, url: &str| assert_eq!(at(base, asked).as_deref(), Some(url));
        led(
            "https://helix.example",
            "/v1/models?limit=2",
            "https://helix.example/v1/models?limit=2",
        );
        led(
            "https://helix.example/helix/?x#y",
            "/v1/chat/completions",
            "https://helix.example/helix/v1/chat/completions",
        );
        // As a proxy is asked: its host is nobody's.
        led(
            "http://127.0.0.1:8080",
            "http://elsewhere.example/v1/messages",
            "http://127.0.0.1:8080/v1/messages",
        );
        for asked in [
            "/",
            "/v1",
            "/api/v1/sessions",
            "/v1/../api/v1/sessions",
            "/v1/%2e%2E/api/v1/sessions",
            "/v1/./models",
            "//v1/models",
            "/v2/models",
        ] {
            assert_eq!(at("https://helix.example", asked), None, "{asked}");
            assert_eq!(at("https://helix.example/helix", asked), None, "{asked}");
        }
    }
}
