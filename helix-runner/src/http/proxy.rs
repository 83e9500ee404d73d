//! Requests to an engine's own API, streamed both ways.

use std::{error::Error as StdError, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, Request, Response, Uri, Version, header},
    response::IntoResponse as _,
};
use helix_proto::{ApiError, ErrorCode, InstanceId};
use http_body_util::{LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{Failed, Served, body::Watched, parse_id, unknown};
use crate::{instance::Upstream, options::HttpOptions};

/// How long an idle connection to an engine is kept. Shorter than engines keep
/// theirs, so that a request does not meet a connection that is being closed.
const IDLE: Duration = Duration::from_secs(4);

/// What concerns one connection only (RFC 9110, 7.6.1), and what only the
/// runner may say to an engine.
const NOT_FORWARDED: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::AUTHORIZATION,
];

/// Reaches engines. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    local: Client<HttpConnector, Limited<Body>>,
    outward: reqwest::Client,
    options: HttpOptions,
}

impl Proxy {
    pub(crate) fn new(options: HttpOptions, outward: reqwest::Client) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let local = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self {
            local,
            outward,
            options,
        }
    }

    async fn send(
        &self,
        upstream: &Upstream,
        request: Request<Body>,
    ) -> Result<Response<Body>, ApiError> {
        let (mut head, body) = request.into_parts();
        forwardable(&mut head.headers);
        if let Some(authorization) = &upstream.authorization {
            head.headers
                .insert(header::AUTHORIZATION, authorization.clone());
        }
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let body = Limited::new(body, self.options.max_body_bytes);
        let request = Request::from_parts(head, body);
        if upstream.local {
            let answer = self
                .local
                .request(request)
                .await
                .map_err(|error| refused(&error))?;
            Ok(answer.map(Body::new))
        } else {
            let request =
                request.map(|body| reqwest::Body::wrap_stream(Body::new(body).into_data_stream()));
            let request = reqwest::Request::try_from(request).map_err(|error| refused(&error))?;
            let answer = self
                .outward
                .execute(request)
                .await
                .map_err(|error| refused(&error))?;
            Ok(Response::<reqwest::Body>::from(answer).map(Body::new))
        }
    }
}

pub(super) async fn forward(
    State(served): State<Served>,
    mut request: Request<Body>,
) -> Response<Body> {
    match find(&served, &mut request) {
        Ok((upstream, in_flight)) => {
            let timeout = served.proxy.options.response_timeout;
            let answer = tokio::time::timeout(timeout, served.proxy.send(&upstream, request)).await;
            match answer.unwrap_or_else(|_| Err(too_slow(timeout))) {
                Ok(mut answer) => {
                    forwardable(answer.headers_mut());
                    answer.map(|body| Body::new(Watched::new(body, in_flight)))
                }
                Err(error) => Failed::from(error).into_response(),
            }
        }
        Err(failed) => failed.into_response(),
    }
}

/// The engine that a request is for; the request's address becomes that at the
/// engine.
fn find(
    served: &Served,
    request: &mut Request<Body>,
) -> Result<(std::sync::Arc<Upstream>, crate::instance::InFlight), Failed> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let rest = path
        .strip_prefix("/runner/v1/instances/")
        .and_then(|rest| rest.split_once("/engine/"));
    let Some((id, rest)) = rest else {
        return Err(ApiError::new(ErrorCode::NotFound, "no such route").into());
    };
    let id: InstanceId = parse_id(id)?;
    let max = served.proxy.options.max_body_bytes;
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max as u64) {
        return Err(too_long().into());
    }
    let gate = served.handle.gate(id).ok_or_else(|| unknown(id))?;
    let not_ready = || {
        ApiError::new(
            ErrorCode::Unavailable,
            format!("instance {id} is not ready"),
        )
    };
    let (upstream, in_flight) = gate.enter().ok_or_else(not_ready)?;
    let uri = Uri::try_from(format!("{}/{rest}", upstream.base));
    let wrong = |error| {
        ApiError::new(
            ErrorCode::BadRequest,
            format!("the path cannot be forwarded: {error}"),
        )
    };
    *request.uri_mut() = uri.map_err(wrong)?;
    Ok((upstream, in_flight))
}

fn forwardable(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named.iter().chain(&NOT_FORWARDED) {
        headers.remove(name);
    }
}

fn too_long() -> ApiError {
    ApiError::new(
        ErrorCode::PayloadTooLarge,
        "the request body is longer than the runner takes",
    )
}

fn too_slow(timeout: Duration) -> ApiError {
    let message = format!("the engine did not answer within {} s", timeout.as_secs());
    ApiError::new(ErrorCode::Timeout, message)
}

/// Says why a request did not get through, without what was in it.
fn refused(error: &(dyn StdError + 'static)) -> ApiError {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if this.is::<LengthLimitError>() {
            return too_long();
        }
        cause = this.source();
    }
    tracing::debug!(error, "a request did not reach its engine");
    let message = "the engine broke off before it answered; the instance's log may say why";
    ApiError::new(ErrorCode::Upstream, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_stays_on_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("host", "elsewhere"),
            ("authorization", "Bearer of-the-control-plane"),
            ("content-type", "application/json"),
            ("x-custom", "kept"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        forwardable(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-custom"]);
    }
}
