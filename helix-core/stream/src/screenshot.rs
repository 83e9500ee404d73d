//! One picture of a desktop, as a file.

use helix_proto::desktop::Size;
use jpeg_encoder::ColorType;
use serde::{Deserialize, Serialize};

use crate::{Error, capture::Shot, encode::stills};

/// How a picture is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Exact.
    #[default]
    Png,
    /// Smaller.
    Jpeg,
}

impl Format {
    /// Its MIME type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }
}

/// The picture as a file; `quality`, from 1 to 100, is that of a JPEG.
///
/// # Errors
///
/// Where the shot has fewer bytes than its size says.
pub fn file(shot: &Shot<'_>, format: Format, quality: u8) -> Result<Vec<u8>, Error> {
    let size = shot.size;
    let pixels = rgb(shot)?;
    match format {
        Format::Jpeg => stills::jpeg(&pixels, ColorType::Rgb, size, quality.clamp(1, 100)),
        Format::Png => png(&pixels, png::ColorType::Rgb, size),
    }
}

/// A PNG of pixels of this kind, of 8 bits for each colour, without padding.
pub(crate) fn png(pixels: &[u8], kind: png::ColorType, size: Size) -> Result<Vec<u8>, Error> {
    let failed = |why| Error::failed("cannot make a PNG", why);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.width().into(), size.height().into());
    encoder.set_color(kind);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// Red, green, blue and alpha, of alpha, red, green and blue that are multiplied with alpha.
#[cfg(any(feature = "wayland", feature = "x11"))]
pub(crate) fn straight([alpha, red, green, blue]: [u8; 4]) -> [u8; 4] {
    let divide = |colour: u8| match alpha {
        0 => 0,
        _ => (u16::from(colour) * 255 / u16::from(alpha)).min(255) as u8,
    };
    [divide(red), divide(green), divide(blue), alpha]
}

/// Red, green, blue, without padding.
fn rgb(shot: &Shot<'_>) -> Result<Vec<u8>, Error> {
    let width = usize::from(shot.size.width());
    let mut rgb = vec![0; shot.size.pixels() * 3];
    let mut rows = shot.pixels.chunks(shot.stride.max(1));
    for to in rgb.chunks_exact_mut(width * 3) {
        let row = rows.next().and_then(|row| row.get(..width * 4));
        let row = row.ok_or_else(|| Error::failed("cannot take a screenshot", "too few rows"))?;
        for (to, from) in to.chunks_exact_mut(3).zip(row.chunks_exact(4)) {
            to.copy_from_slice(&[from[2], from[1], from[0]]);
        }
    }
    Ok(rgb)
}

#[cfg(all(test, any(feature = "wayland", feature = "x11")))]
mod tests {
    use super::straight;

    #[test]
    fn colours_are_as_they_were_before_they_were_multiplied() {
        assert_eq!(straight([128, 64, 32, 128]), [127, 63, 255, 128]);
        assert_eq!(straight([255, 1, 2, 3]), [1, 2, 3, 255]);
        assert_eq!(straight([0; 4]), [0; 4]);
    }
}
