use std::{io, path::PathBuf};

use helix_base::{Retry, Retryability};

/// Weights could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// They are not where the source says.
    #[error("{0}")]
    Missing(String),
    /// What is there is not what it should be.
    #[error("{} is not a model: {why}", path.display())]
    NotAModel {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The source is not well formed.
    #[error("{0}")]
    BadSource(String),
    /// The hub wants another credential.
    #[error(
        "the hub refused access to {0}; accept the model's terms there, and set the runner's `hub.token`"
    )]
    Refused(String),
    /// There is too little room on the disk.
    #[error("the disk of {} has {free} bytes free and the download needs {needed} more; free some, or set another data directory", folder.display())]
    DiskFull {
        /// Where it should go.
        folder: PathBuf,
        /// What it needs, with what must stay free.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// What came is not what the hub announced.
    #[error("{file} came damaged: {why}; it was discarded, try again")]
    Damaged {
        /// The file.
        file: String,
        /// What does not match.
        why: String,
    },
    /// The hub could not be reached, or broke off.
    #[error("cannot fetch {what} from {host}: {why}")]
    Network {
        /// What was being fetched.
        what: String,
        /// From where.
        host: String,
        /// What happened.
        why: String,
    },
    /// The disk failed.
    #[error("cannot use {}: {source}", path.display())]
    Disk {
        /// What was being read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Whether the weights are simply not there.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Missing(_) | Self::NotAModel { .. } | Self::BadSource(_)
        )
    }

    pub(super) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { path, source }
    }
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Network { .. } | Self::Damaged { .. } => Retryability::Transient,
            _ => Retryability::Permanent,
        }
    }
}
