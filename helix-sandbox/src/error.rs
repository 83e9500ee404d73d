use helix_base::{Retry, Retryability, credential, outbound};

/// A sandbox host could not be put together.
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
        reason: String,
    },
    /// There is no credential to connect with.
    #[error(transparent)]
    Credential(#[from] credential::Error),
    /// What exists already cannot be told.
    #[error("the sandboxes on this machine cannot be listed: {0}")]
    Isolation(#[from] helix_isolation::Error),
    /// The machine cannot be asked what it has.
    #[error("this machine's processors and memory cannot be told: {0}")]
    Machine(String),
    /// What speaks with the built-in agent broke off.
    #[error("the built-in agent: {0}")]
    Assistant(String),
    /// What speaks with an editor broke off.
    #[error("the editor: {0}")]
    Editor(String),
    /// The data directory cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Data {
        /// Which file or directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Option { .. }
            | Self::Data { .. }
            | Self::Machine(_)
            | Self::Assistant(_)
            | Self::Editor(_) => Retryability::Permanent,
            Self::Outbound(error) => error.retryability(),
            Self::Credential(error) => error.retryability(),
            Self::Isolation(error) if error.is_retryable() => Retryability::Transient,
            Self::Isolation(_) => Retryability::Permanent,
        }
    }
}
