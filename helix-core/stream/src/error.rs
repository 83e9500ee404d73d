//! What can go wrong with a desktop.

use std::fmt;

use helix_base::{Retry, Retryability};

/// What failed, on what, and what to do where that is known.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This desktop, or this machine, cannot do it.
    Unsupported,
    /// What was asked for cannot be right.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// Not now: something else is under way, or it was switched off.
    Conflict,
    /// It is gone: the compositor has ended, or the connection to it.
    Ended,
    /// It took too long.
    Timeout,
    /// A program or library failed.
    Failed,
}

impl Error {
    /// An error with a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A call that failed: `what` says which and on what.
    pub fn failed(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Failed, format!("{what}: {why}"))
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self.kind {
            ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::NotFound => {
                Retryability::Permanent
            }
            ErrorKind::Conflict | ErrorKind::Ended | ErrorKind::Timeout | ErrorKind::Failed => {
                Retryability::Transient
            }
        }
    }
}
