//! The one error envelope of `/api/v1`. (`/v1` answers in OpenAI's shape, see
//! [`crate::openai::ErrorBody`].)

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for programs. The HTTP status follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request is not well formed (400).
    BadRequest,
    /// No valid credential came with the request (401).
    Unauthenticated,
    /// The credential is valid but may not do this (403).
    Forbidden,
    /// There is no such thing, or the caller may not know of it (404).
    NotFound,
    /// The state of the thing does not allow this now (409).
    Conflict,
    /// The body is larger than allowed (413).
    PayloadTooLarge,
    /// The request is well formed but a value in it is not acceptable (422).
    Invalid,
    /// Too many requests, or the queue is full (429, with `Retry-After`).
    TooManyRequests,
    /// A fault of the control plane (500).
    Internal,
    /// This thing cannot do that, now or later (501).
    Unsupported,
    /// The runner, engine or provider answered with an error (502).
    Upstream,
    /// Nothing can serve this now (503).
    Unavailable,
    /// It took longer than its deadline (504).
    Timeout,
    /// The disk is full or over quota (507).
    InsufficientStorage,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::PayloadTooLarge => 413,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::Unsupported => 501,
            Self::Upstream => 502,
            Self::Unavailable => 503,
            Self::Timeout => 504,
            Self::InsufficientStorage => 507,
        }
    }
}

/// The body of every error answer of `/api/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorEnvelope {
    /// The error.
    pub error: ApiError,
}

/// One error, for programs (`code`) and for people (`message`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What failed, on what, and what to do where that is known.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When to try again, in milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The field of the request that was not acceptable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The id under which the control plane logged the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ApiError {
    /// An error with the retryability usual for its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = matches!(
            code,
            ErrorCode::TooManyRequests
                | ErrorCode::Upstream
                | ErrorCode::Unavailable
                | ErrorCode::Timeout
        );
        Self {
            code,
            message: message.into(),
            retryable,
            retry_after_ms: None,
            field: None,
            request_id: None,
        }
    }

    /// Names the field that was not acceptable.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn with_retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }
}
