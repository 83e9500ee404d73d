//! Pictures by themselves, as JPEG: for viewers that decode no video.

use async_trait::async_trait;
use helix_proto::desktop::{Codec, Size};
use jpeg_encoder::ColorType;

use super::{Description, Encoded, Encoder};
use crate::{Error, convert::I420, pacing::BitsPerSecond};

/// The least and the most of JPEG's quality that text and pictures are fit to look at with.
const QUALITY: std::ops::RangeInclusive<u8> = 40..=90;

/// Encodes stills. Every one is a key frame.
#[derive(Debug)]
pub struct Stills {
    description: Description,
    rgb: Vec<u8>,
    quality: u8,
}

impl Stills {
    /// Of this size.
    pub fn new(size: Size, rate: BitsPerSecond) -> Self {
        let mut stills = Self {
            description: Description {
                codec: Codec::Stills,
                name: "JPEG".to_owned(),
                config: String::new(),
                size,
            },
            rgb: vec![0; size.pixels() * 3],
            quality: *QUALITY.end(),
        };
        stills.set_rate(rate);
        stills
    }
}

#[async_trait]
impl Encoder for Stills {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn encode(&mut self, picture: &I420, _key: bool) -> Result<Encoded, Error> {
        let size = self.description.size;
        picture.to_rgb(&mut self.rgb)?;
        let jpeg = jpeg(&self.rgb, ColorType::Rgb, size, self.quality)?;
        Ok(Encoded {
            picture: jpeg.into(),
            key: true,
        })
    }

    /// More than 2 Mbit/s for each megapixel is the best quality; none is the least.
    fn set_rate(&mut self, rate: BitsPerSecond) {
        let most = self.description.size.pixels() as u64 * 2;
        let span = u64::from(QUALITY.end() - QUALITY.start());
        let above = (rate.0 * span / most.max(1)).min(span);
        // At most the span of two bytes.
        self.quality = QUALITY.start() + above as u8;
    }
}

/// A picture as JPEG.
///
/// # Errors
///
/// Where the pixels are fewer than the size says.
pub(crate) fn jpeg(
    pixels: &[u8],
    color: ColorType,
    size: Size,
    quality: u8,
) -> Result<Vec<u8>, Error> {
    let mut jpeg = Vec::with_capacity(size.pixels() / 4);
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, quality);
    encoder
        .encode(pixels, size.width(), size.height(), color)
        .map_err(|why| Error::failed("cannot make a JPEG", why))?;
    Ok(jpeg)
}
