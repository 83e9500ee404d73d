use helix_base::{Retry, Retryability};
use helix_proto::runner::FailureKind;

use crate::sources;

/// Why an engine could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine is not installed.
    #[error("{0}")]
    Missing(String),
    /// The settings or the source cannot work with this engine.
    #[error("{0}")]
    Unsupported(String),
    /// The weights are not there.
    #[error("{0}")]
    ModelMissing(String),
    /// The weights could not be fetched.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// There was too little memory.
    #[error("{0}")]
    OutOfMemory(String),
    /// The engine answered otherwise than it should.
    #[error("{0}")]
    Unhealthy(String),
}

impl Error {
    /// What to call it in an instance's status.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Missing(_) => FailureKind::EngineMissing,
            Self::Unsupported(_) => FailureKind::Unsupported,
            Self::ModelMissing(_) => FailureKind::ModelMissing,
            Self::Source(error) if error.is_missing() => FailureKind::ModelMissing,
            Self::Source(_) => FailureKind::Download,
            Self::OutOfMemory(_) => FailureKind::OutOfMemory,
            Self::Unhealthy(_) => FailureKind::Unhealthy,
        }
    }
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Source(error) => error.retryability(),
            Self::OutOfMemory(_) | Self::Unhealthy(_) => Retryability::Transient,
            Self::Missing(_) | Self::Unsupported(_) | Self::ModelMissing(_) => {
                Retryability::Permanent
            }
        }
    }
}
