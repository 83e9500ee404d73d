//! Failures of a backend, as a sandbox's end and as the answer to a request.

use helix_isolation::{Error, ErrorKind};
use helix_proto::{
    ApiError, ErrorCode,
    sandbox::{SandboxEnd, SandboxEndKind},
};

/// Why a sandbox failed.
pub(crate) fn end_of(error: &Error) -> SandboxEnd {
    let kind = match error.kind() {
        ErrorKind::Unsupported => SandboxEndKind::Unsupported,
        ErrorKind::NotFound => SandboxEndKind::ImageMissing,
        ErrorKind::Full => SandboxEndKind::DiskFull,
        ErrorKind::Timeout => SandboxEndKind::Timeout,
        _ => SandboxEndKind::Internal,
    };
    end(kind, error.to_string())
}

/// An end of a kind.
pub(crate) fn end(kind: SandboxEndKind, message: impl Into<String>) -> SandboxEnd {
    SandboxEnd {
        kind,
        message: message.into(),
    }
}

/// What a backend could not do, as it is answered.
pub(crate) fn answer_of(error: &Error) -> ApiError {
    let code = match error.kind() {
        ErrorKind::Unsupported | ErrorKind::Invalid => ErrorCode::Invalid,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Conflict => ErrorCode::Conflict,
        ErrorKind::Full => ErrorCode::InsufficientStorage,
        ErrorKind::Timeout => ErrorCode::Timeout,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, error.to_string())
}

/// Why what was asked did not come to be, as it is answered.
pub(crate) fn answer_of_end(why: &SandboxEnd) -> ApiError {
    let code = match why.kind {
        SandboxEndKind::Unsupported => ErrorCode::Invalid,
        SandboxEndKind::NoCapacity => ErrorCode::Unavailable,
        SandboxEndKind::ImageMissing => ErrorCode::NotFound,
        SandboxEndKind::Timeout => ErrorCode::Timeout,
        SandboxEndKind::DiskFull => ErrorCode::InsufficientStorage,
        SandboxEndKind::Internal => ErrorCode::Internal,
        _ => ErrorCode::Conflict,
    };
    ApiError::new(code, why.message.clone())
}
