//! Errors that say whether the same thing may succeed later.

use std::time::Duration;

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retryability {
    /// It will fail again until someone changes something.
    Permanent,
    /// It may succeed later.
    Transient,
    /// It may succeed, but not before this much time has passed.
    After(Duration),
}

impl Retryability {
    /// Whether trying again makes sense at all.
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Permanent)
    }
}

/// Implemented by every library error of the project.
pub trait Retry {
    /// Whether the same call may succeed later.
    fn retryability(&self) -> Retryability;
}
