//! The one way in which a handler says no.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use helix_base::{Retry as _, Retryability};
use helix_proto::{ApiError, ErrorCode, error::ErrorEnvelope};
use http::{HeaderValue, StatusCode, header};

use crate::store;

/// An error answer. Becomes the envelope of `/api/v1`, or OpenAI's shape on
/// `/v1`; the request's id is added on the way out.
#[derive(Debug, Clone)]
pub struct Failure(Box<ApiError>);

impl Failure {
    /// Any error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(ApiError::new(code, message)))
    }

    /// The request is not well formed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// A value in the request is not acceptable.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(
            ApiError::new(ErrorCode::Invalid, message).with_field(field),
        ))
    }

    /// No valid credential.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthenticated, message)
    }

    /// A valid credential that may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// There is no such thing, or the caller may not know of it.
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no such {what}"))
    }

    /// The state of the thing does not allow this now.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// Too many requests; `after` says when to try again.
    pub fn too_many(message: impl Into<String>, after: Duration) -> Self {
        Self::new(ErrorCode::TooManyRequests, message).retry_after(after)
    }

    /// A fault of the control plane: logged in full, told in general.
    pub fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "{what} failed");
        Self::new(
            ErrorCode::Internal,
            format!("{what} failed: the control plane's log has the reason under this request id"),
        )
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after_ms = Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// What it says.
    pub const fn error(&self) -> &ApiError {
        &self.0
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(Box::new(error))
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let code = match &error {
            store::Error::Unavailable(_) => ErrorCode::Unavailable,
            store::Error::Full(_) => ErrorCode::InsufficientStorage,
            store::Error::Duplicate(_) => ErrorCode::Conflict,
            _ => return Self::internal("a database query", &error),
        };
        if code != ErrorCode::Conflict {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the database failed"
            );
        }
        let failure = match code {
            ErrorCode::Unavailable => Self::new(code, "the database is busy or not reachable"),
            _ => Self::new(code, error.to_string()),
        };
        match error.retryability() {
            Retryability::After(after) => failure.retry_after(after),
            _ => failure,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        store::Error::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let envelope = ErrorEnvelope {
            error: (*self.0).clone(),
        };
        let mut response = (status, axum::Json(envelope)).into_response();
        if let Some(after) = self.0.retry_after_ms {
            let seconds = HeaderValue::from(after.div_ceil(1_000).max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // Read by the outermost layer, which knows the request's id and shape.
        response.extensions_mut().insert(self);
        response
    }
}
