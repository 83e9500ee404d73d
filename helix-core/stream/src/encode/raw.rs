//! An encoder that encodes nothing, for tests of what is around it.
//!
//! It calls itself H.264, and what comes out is no video: a byte that says whether it is a key
//! frame, the sum of the luma in four bytes, then as many bytes as the rate allows for one
//! sixtieth of a second, and four times that for a key frame.

use async_trait::async_trait;
use helix_proto::desktop::{Codec, Size};

use super::{Description, Encoded, Encoder, Encoders};
use crate::{Error, ErrorKind, convert::I420, pacing::BitsPerSecond};

/// Makes encoders that encode nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

#[async_trait]
impl Encoders for Raw {
    fn codecs(&self, _size: Size) -> Vec<Codec> {
        vec![Codec::H264]
    }

    async fn open(
        &self,
        codec: Codec,
        size: Size,
        rate: BitsPerSecond,
    ) -> Result<Box<dyn Encoder>, Error> {
        if codec != Codec::H264 {
            let why = format!("no encoder for {codec}");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        let description = Description {
            codec,
            name: "raw".to_owned(),
            config: "avc1.42e01f".to_owned(),
            size,
        };
        Ok(Box::new(RawEncoder {
            description,
            rate,
            begun: false,
        }))
    }
}

#[derive(Debug)]
struct RawEncoder {
    description: Description,
    rate: BitsPerSecond,
    begun: bool,
}

#[async_trait]
impl Encoder for RawEncoder {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn encode(&mut self, picture: &I420, key: bool) -> Result<Encoded, Error> {
        let key = key || !self.begun;
        self.begun = true;
        let sum = picture.luma().flatten().map(|luma| u32::from(*luma));
        let sum = sum.fold(0_u32, u32::wrapping_add);
        let mut bytes = vec![u8::from(key)];
        bytes.extend(sum.to_be_bytes());
        let frame = std::time::Duration::from_secs(1) / 60;
        let length = self.rate.bytes_in(frame) * if key { 4 } else { 1 };
        bytes.resize(length.max(5), 0);
        Ok(Encoded {
            picture: bytes.into(),
            key,
        })
    }

    fn set_rate(&mut self, rate: BitsPerSecond) {
        self.rate = rate;
    }
}
