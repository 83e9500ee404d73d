//! Errors as they are answered, and bodies as they are read.

use std::{fmt, io};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use helix_proto::error::{ApiError, ErrorCode, ErrorEnvelope};
use http::{HeaderName, StatusCode};
use serde::de::DeserializeOwned;

/// Tells an error of the guest from an answer of what listens on a port.
const OWN_ERROR: HeaderName = HeaderName::from_static("x-helix-error");

/// An error as it is answered.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) ApiError);

pub(crate) type Answer<T> = Result<T, Failed>;

impl Failed {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }

    /// A value that is not acceptable, and where it stood.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self(ApiError::new(ErrorCode::Invalid, message).with_field(field))
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// A call that failed: `what` says which and on what.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let code = match error.kind() {
            Kind::NotFound => ErrorCode::NotFound,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => ErrorCode::Forbidden,
            Kind::AlreadyExists | Kind::DirectoryNotEmpty | Kind::ResourceBusy => {
                ErrorCode::Conflict
            }
            Kind::StorageFull | Kind::QuotaExceeded => {
                return Self::new(
                    ErrorCode::InsufficientStorage,
                    format!(
                        "{what}: the sandbox's disk is full: remove something, or make a sandbox with a larger one"
                    ),
                );
            }
            Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::InvalidInput
            | Kind::InvalidFilename
            | Kind::FileTooLarge
            | Kind::CrossesDevices
            | Kind::TooManyLinks => ErrorCode::Invalid,
            Kind::OutOfMemory => ErrorCode::Unavailable,
            _ => by_errno(error),
        };
        Self::new(code, format!("{what}: {}", plain(error)))
    }
}

/// Kinds that the standard library has no stable name for.
fn by_errno(error: &io::Error) -> ErrorCode {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP) => ErrorCode::Invalid,
        Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN) => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    }
}

/// The text of an error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.find(" (os error")
        .map_or(text.as_str(), |at| &text[..at])
        .to_lowercase()
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let own = [(OWN_ERROR, "guest")];
        (status, own, Json(ErrorEnvelope { error: self.0 })).into_response()
    }
}

/// A JSON body, whatever its content type says.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            let code = match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::PayloadTooLarge,
                _ => ErrorCode::BadRequest,
            };
            Failed::new(
                code,
                format!("the body could not be read: {}", error.body_text()),
            )
        })?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = error.path().to_string();
            let failed = ApiError::new(
                ErrorCode::BadRequest,
                format!("the body is not right: {error}"),
            );
            Failed(if field == "." {
                failed
            } else {
                failed.with_field(field)
            })
        })?;
        json.end().map_err(|error| {
            Failed::new(
                ErrorCode::BadRequest,
                format!("the body is not one JSON value: {error}"),
            )
        })?;
        Ok(Self(value))
    }
}
