#![doc = include_str!("../README.md")]

pub mod chat;
pub mod messages;
pub mod responses;
mod sse;
mod translation;

pub use sse::Event;
pub use translation::{Dialect, Translation};

/// A request that cannot be translated, for the client that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The parameter at fault, such as `input[2].content`.
    pub param: Option<String>,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Refused {
    pub(crate) fn no_object() -> Self {
        Self {
            param: None,
            message: "the body must be a JSON object".to_owned(),
        }
    }

    pub(crate) fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            message: message.into(),
        }
    }
}
