//! Pictures as a decoder wants them.

#[cfg(feature = "gstreamer")]
pub mod gstreamer;
pub mod raw;
pub mod stills;

use std::{fmt, fs::File};

use async_trait::async_trait;
use bytes::Bytes;
use helix_proto::{
    desktop::{Codec, Size},
    sandbox::desktop::RecordingFormat,
};

use crate::{Error, ErrorKind, convert::I420, pacing::BitsPerSecond, record::Muxer};

/// A picture, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// As the codec's number in the protocol says; never empty.
    pub picture: Bytes,
    /// Whether it needs no other.
    pub key: bool,
}

/// What an encoder is, for decoders and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// How pictures are coded.
    pub codec: Codec,
    /// What encodes, for people; of 255 bytes at most.
    pub name: String,
    /// The string for WebCodecs' `VideoDecoder.configure`; empty for stills.
    pub config: String,
    /// Of the pictures.
    pub size: Size,
}

/// Encodes pictures of one size.
///
/// # Contract
///
/// - One picture in, one out, before the next goes in: nothing is held back.
/// - The first is a key frame, and so is one that is asked for; each holds whatever a decoder
///   needs to begin there.
/// - A decoder may show each picture as soon as it has it: none is reordered.
/// - A change of the rate makes no key frame; it holds from the next picture on, and with an
///   encoder that cannot do that, from the next key frame on.
/// - After an error, or a call that was dropped, the encoder is of no use any more.
#[async_trait]
pub trait Encoder: fmt::Debug + Send + 'static {
    /// What it is.
    fn description(&self) -> &Description;

    /// Encodes a picture, of the size that [`Self::description`] says.
    ///
    /// # Errors
    ///
    /// Where the encoder fails, or gives nothing within two seconds.
    async fn encode(&mut self, picture: &I420, key: bool) -> Result<Encoded, Error>;

    /// What it aims at, at sixty pictures a second.
    fn set_rate(&mut self, rate: BitsPerSecond);

    /// Whether a picture that the rate made coarse comes out better when it is encoded again,
    /// and costs next to nothing when it cannot be any better.
    fn refines(&self) -> bool {
        false
    }
}

/// Makes encoders.
#[async_trait]
pub trait Encoders: fmt::Debug + Send + Sync + 'static {
    /// For which codecs there are encoders of this size, in no order. What is here can be opened,
    /// as far as is known without doing it.
    fn codecs(&self, size: Size) -> Vec<Codec>;

    /// What a person may do so that there are encoders, where there are none.
    fn hint(&self) -> Option<&'static str> {
        None
    }

    /// Opens one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where there is none for this
    /// codec, with the reason; what else the encoder says.
    async fn open(
        &self,
        codec: Codec,
        size: Size,
        rate: BitsPerSecond,
    ) -> Result<Box<dyn Encoder>, Error>;

    /// Opens what puts encoded pictures of one size into a file, which is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where there is none for this format; what else it says.
    fn muxer(
        &self,
        format: RecordingFormat,
        _size: Size,
        _fps: u16,
        _file: File,
    ) -> Result<Box<dyn Muxer>, Error> {
        let why = format!("nothing here writes {format:?}");
        Err(Error::new(ErrorKind::Unsupported, why))
    }
}
