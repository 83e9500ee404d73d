//! The few parts of OpenAI's API that the control plane must look into.
//! Everything else that a client sends passes through untouched.

mod request;

pub use request::{BodyError, RequestBody};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The list of `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models.
    pub data: Vec<ModelCard>,
}

/// One model of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelCard {
    /// What to send as `model`.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When it was registered, in seconds since the Unix epoch.
    pub created: u64,
    /// `helix`, or the provider's name.
    pub owned_by: String,
}

/// The body of an error answer, in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// One error, in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For people.
    pub message: String,
    /// Such as `invalid_request_error`.
    pub r#type: String,
    /// The parameter at fault.
    pub param: Option<String>,
    /// Such as `model_not_found`.
    pub code: Option<String>,
}
