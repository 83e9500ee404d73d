//! What a model needs, read from the header of its weights: a prior, until the
//! real peak was measured.
//!
//! [`gguf`] and [`safetensors`] turn headers, which may be hostile, into a
//! [`ModelProfile`]; [`need`] turns that and a [`Load`] into bytes on each device.

pub mod gguf;
mod need;
mod profile;
pub mod safetensors;

pub use need::{KvType, Load, kv_cache_bytes, need};
pub use profile::{Attention, ModelProfile};

/// A header that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not such a file at all.
    #[error("not a {format} header: {detail}")]
    Format {
        /// What it should have been.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// It ends before the header does. Of a prefix, read more.
    #[error("the {format} header is cut short after {read_bytes} bytes")]
    Truncated {
        /// What it should have been.
        format: &'static str,
        /// How much of it there was.
        read_bytes: u64,
    },
    /// The header is larger than the reader allows.
    #[error("the {format} header is larger than {limit_bytes} bytes")]
    TooLong {
        /// What it should have been.
        format: &'static str,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// Something is missing, or does not make sense.
    #[error("the model's header says no usable `{key}`")]
    Missing {
        /// What.
        key: String,
    },
    /// Reading failed.
    #[error("the header could not be read")]
    Io(#[from] std::io::Error),
}
