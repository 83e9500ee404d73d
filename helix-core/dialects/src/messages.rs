//! Anthropic's Messages API, as `anthropic-version: 2023-06-01` has it.
//!
//! What of it an engine cannot do is refused with the parameter's name, or left out where an
//! agent could not work otherwise: tools without an `input_schema` (Anthropic's service runs
//! them, or only its models know them), `cache_control`, `metadata`, `thinking`'s budget.

mod answer;
mod blocks;
mod estimate;
mod models;
mod request;

pub use answer::Answer;
pub use estimate::estimate;
pub use models::{model, models};
pub use request::Request;

use serde_json::{Value, json};

/// The header with which a client says that it speaks this API.
pub const VERSION: &str = "anthropic-version";

/// An error in this API's shape.
pub fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// What this API calls an error with this HTTP status.
pub const fn error_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}
