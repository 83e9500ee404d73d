use helix_base::{Retry, Retryability, outbound};

use crate::{credential, devices};

/// A runner could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Proxies, certificates or the control plane's URL cannot be used.
    #[error(transparent)]
    Outbound(#[from] outbound::Error),
    /// An option cannot work.
    #[error("option {option}: {reason}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// The devices cannot be asked.
    #[error(transparent)]
    Devices(#[from] devices::Error),
    /// There is no credential to connect with.
    #[error(transparent)]
    Credential(#[from] credential::Error),
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Option { .. } => Retryability::Permanent,
            Self::Outbound(error) => error.retryability(),
            Self::Devices(error) => error.retryability(),
            Self::Credential(error) => error.retryability(),
        }
    }
}
