//! The outermost layer: request ids, the shape of errors, spans, metrics,
//! security headers.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use helix_dialects::messages;
use helix_proto::{
    ErrorCode, RequestId,
    error::ErrorEnvelope,
    openai::{ErrorBody, ErrorDetail},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::Instrument as _;

use super::Failure;
use crate::App;

/// The header that carries a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request.
pub(super) async fn finish(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let foundation = app.foundation();
    let id: RequestId = foundation.ids.next();
    request.extensions_mut().insert(id);
    let begun = foundation.clock.now();
    let method = request.method().clone();
    let shape = Shape::of(&request);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |matched| matched.as_str().to_owned());
    let span = tracing::info_span!("request", %id, %method, route);
    let response = next.run(request).instrument(span.clone()).await;
    let mut response = shaped(response, id, shape);
    secure(&mut response, app.options().is_https());
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        if shape == Shape::Anthropic {
            response.headers_mut().insert("request-id", value.clone());
        }
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let took = foundation.clock.now().duration_since(begun);
    let status = response.status().as_u16();
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis() as u64, "answered"));
    count(&app, &route, response.status(), begun);
    response
}

/// Counts an answer.
pub(super) fn count(app: &App, route: &str, status: StatusCode, begun: Instant) {
    let foundation = app.foundation();
    let took = foundation.clock.now().duration_since(begun);
    let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
    let class = ["1xx", "2xx", "3xx", "4xx", "5xx"][class];
    let labels = [("route", route), ("status", class)];
    foundation
        .metrics
        .counter("helix_http_requests_total", &labels)
        .increment(1);
    foundation
        .metrics
        .histogram("helix_http_seconds", &labels[..1])
        .record(took.as_secs_f64());
}

/// Whose shape an error has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Own,
    OpenAi,
    Anthropic,
}

impl Shape {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let anthropic = || request.headers().contains_key(messages::VERSION);
        match path.strip_prefix("/v1/") {
            None => Self::Own,
            Some("messages" | "messages/count_tokens") => Self::Anthropic,
            Some(rest) if rest.starts_with("models") && anthropic() => Self::Anthropic,
            Some(_) => Self::OpenAi,
        }
    }
}

/// Adds the request's id to an error, and gives it OpenAI's or Anthropic's shape on `/v1`.
fn shaped(mut response: Response, id: RequestId, shape: Shape) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    let mut error = failure.error().clone();
    error.request_id = Some(id.to_string());
    let body = match shape {
        Shape::Own => axum::Json(ErrorEnvelope { error }).into_response(),
        Shape::OpenAi => axum::Json(ErrorBody {
            error: ErrorDetail {
                message: error.message,
                r#type: openai_type(error.code).to_owned(),
                param: error.field,
                code: serde_json::to_value(error.code)
                    .ok()
                    .and_then(|code| code.as_str().map(ToOwned::to_owned)),
            },
        })
        .into_response(),
        Shape::Anthropic => {
            let kind = messages::error_kind(response.status().as_u16());
            let mut body = messages::error(kind, &error.message);
            body["request_id"] = id.to_string().into();
            axum::Json(body).into_response()
        }
    };
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = body.into_body();
    response
}

/// What OpenAI calls errors of this kind.
const fn openai_type(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unauthenticated => "authentication_error",
        ErrorCode::Forbidden => "permission_error",
        ErrorCode::TooManyRequests => "rate_limit_error",
        ErrorCode::Internal
        | ErrorCode::Upstream
        | ErrorCode::Unavailable
        | ErrorCode::Timeout
        | ErrorCode::InsufficientStorage => "server_error",
        _ => "invalid_request_error",
    }
}

/// Headers that every answer carries.
fn secure(response: &mut Response, https: bool) {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    // A page beside the control plane on one site, as one of a sandbox may be, loads nothing.
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if https {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
