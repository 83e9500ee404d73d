//! What is wrong with a message.

/// The WebSocket's code for what cannot be read.
pub const MALFORMED: u16 = 1002;
/// The WebSocket's code for what is beyond its bound.
pub const TOO_LARGE: u16 = 1009;

/// What is wrong with a message. None of it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not even a kind.
    #[error("an empty message")]
    Empty,
    /// A kind that nobody sends in this direction.
    #[error("a message of the unknown kind {0:#04x}")]
    Kind(u8),
    /// The other side speaks another version.
    #[error(
        "version {theirs} of the desktop's protocol, where {} is spoken here",
        super::VERSION
    )]
    Version {
        /// What it speaks.
        theirs: u16,
    },
    /// It ends in the middle of a field.
    #[error("{message} ends before or in its {field}")]
    Short {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// There is something after the last field.
    #[error("{message} has {bytes} bytes after its last field")]
    Trailing {
        /// Which message.
        message: &'static str,
        /// How many.
        bytes: usize,
    },
    /// A number that the field cannot have.
    #[error("{value} is no {field} of {message}")]
    Value {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
        /// What it was.
        value: u32,
    },
    /// Text that is not UTF-8, or a type that is not passed on.
    #[error("the {field} of {message} is not {expected}")]
    Text {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// It is beyond its bound.
    #[error("{what} of {message} has {length} bytes, where {bound} are allowed")]
    TooLarge {
        /// Which message.
        message: &'static str,
        /// What of it.
        what: &'static str,
        /// How many it has.
        length: usize,
        /// How many it may have.
        bound: usize,
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
