//! What is wrong with a message.

use super::{MALFORMED, TOO_LARGE};

/// What is wrong with a message. None of it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON, or not a message that there is.
    #[error("not a message of agent sync: {0}")]
    Malformed(String),
    /// The other side speaks another version.
    #[error(
        "version {theirs} of agent sync, where {} is spoken here",
        super::VERSION
    )]
    Version {
        /// What it speaks.
        theirs: u32,
    },
    /// It is beyond its bound.
    #[error("{what} has {bytes} bytes or entries, where {bound} are allowed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        bound: usize,
    },
    /// Numbers that do not follow one another.
    #[error("{what} begin at 1 and have no gaps")]
    Numbers {
        /// Of what.
        what: &'static str,
    },
}

impl Error {
    /// The code to close the WebSocket with; the reason is the error's text.
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => TOO_LARGE,
            _ => MALFORMED,
        }
    }
}
