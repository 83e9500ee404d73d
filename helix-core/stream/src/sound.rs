//! What a desktop sounds like.
//!
//! Nothing is recorded or encoded unless somebody listens.

#[cfg(feature = "gstreamer")]
pub mod gstreamer;
#[cfg(feature = "pulse")]
pub mod pulse;

use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::Error;

/// How long a piece is heard.
pub const PIECE: Duration = Duration::from_millis(20);

/// A piece of sound: one packet of Opus, of 48 kHz in stereo, [`PIECE`] long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Never empty.
    pub opus: Bytes,
    /// When it began to be heard.
    pub captured: Instant,
}

/// Where a desktop's sound comes from.
///
/// # Contract
///
/// - Until [`listen`](Self::listen) is called nothing is recorded, and nothing any more once
///   what it gave is dropped.
/// - It can be listened to again, and after a failure, too.
#[async_trait]
pub trait Sound: fmt::Debug + Send + Sync + 'static {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Where what plays the sound is not there, or does not answer within ten seconds.
    async fn listen(&self) -> Result<Box<dyn Listening>, Error>;
}

/// Gives pieces of sound.
///
/// # Contract
///
/// - Pieces come as they are heard. Where nobody takes them, the newest are lost: what waits is
///   bounded.
/// - Where nothing is to be heard, none come.
/// - Dropping [`next`](Self::next) loses nothing.
#[async_trait]
pub trait Listening: fmt::Debug + Send + 'static {
    /// The next piece.
    ///
    /// # Errors
    ///
    /// Where no more will come.
    async fn next(&mut self) -> Result<Piece, Error>;
}
