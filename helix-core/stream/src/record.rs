//! Recordings: encoded pictures into a file.

mod place;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use helix_proto::{desktop::Codec, sandbox::desktop::RecordingFormat};

use crate::Error;

pub use self::place::{Place, create};

/// The codec of a format's pictures.
pub const fn codec(format: RecordingFormat) -> Codec {
    match format {
        RecordingFormat::Mp4 => Codec::H264,
        RecordingFormat::Webm => Codec::Vp9,
    }
}

/// How a format's files end.
pub const fn extension(format: RecordingFormat) -> &'static str {
    match format {
        RecordingFormat::Mp4 => "mp4",
        RecordingFormat::Webm => "webm",
    }
}

/// One picture of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// As the codec says.
    pub picture: Bytes,
    /// Whether it needs no other.
    pub key: bool,
    /// Since the recording's beginning.
    pub at: Duration,
    /// How long it is shown.
    pub lasts: Duration,
}

/// Writes a recording's file.
///
/// # Contract
///
/// - Samples come in the order of their time; the first is a key frame.
/// - What was written up to the last key frame but one can be played whenever the process, or
///   the machine, ends; after [`finish`](Self::finish) all of it can, and the file says how long
///   it is.
/// - After an error it is of no use any more; what is in the file stays.
#[async_trait]
pub trait Muxer: fmt::Debug + Send + 'static {
    /// Takes a sample.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written to, or takes too long.
    async fn write(&mut self, sample: Sample) -> Result<(), Error>;

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// Where what is left cannot be written within ten seconds.
    async fn finish(self: Box<Self>) -> Result<(), Error>;
}
