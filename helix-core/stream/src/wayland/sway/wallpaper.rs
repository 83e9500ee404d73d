//! The wallpaper: a quiet gradient with a light in it, computed, so that nobody ships a
//! picture.

use helix_proto::desktop::Size;

use crate::{Error, screenshot};

/// From the top to the bottom, as red, green, blue.
const SKY: [[f32; 3]; 3] = [[17.0, 24.0, 39.0], [20.0, 52.0, 66.0], [16.0, 92.0, 86.0]];
/// The light, and how far it reaches, in parts of the height.
const LIGHT: [f32; 3] = [94.0, 214.0, 190.0];
const LIGHT_AT: (f32, f32) = (0.78, 0.86);
const REACH: f32 = 0.9;
/// What is added to the four pixels of a square, so that the few shades that there are
/// between two colours show no edges.
const DITHER: [[f32; 2]; 2] = [[0.125, 0.625], [0.875, 0.375]];

/// The file, as PNG.
///
/// # Errors
///
/// Where it cannot be written as PNG.
pub(super) fn png(size: Size) -> Result<Vec<u8>, Error> {
    let (width, height) = (usize::from(size.width()), usize::from(size.height()));
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            pixels.extend(colour(x, y, width, height));
        }
    }
    screenshot::png(&pixels, png::ColorType::Rgb, size)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place on a screen, and a colour from 0 to 255"
)]
fn colour(x: usize, y: usize, width: usize, height: usize) -> [u8; 3] {
    let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
    // Leaning a little.
    let place = (down * 0.85 + across * 0.15).clamp(0.0, 0.999) * (SKY.len() - 1) as f32;
    let (from, to) = (SKY[place as usize], SKY[place as usize + 1]);
    let part = smooth(place.fract());
    let aspect = width as f32 / height as f32;
    let away = ((across - LIGHT_AT.0) * aspect).hypot(down - LIGHT_AT.1) / REACH;
    let light = smooth((1.0 - away).max(0.0)) * 0.35;
    let dither = DITHER[y % 2][x % 2];
    std::array::from_fn(|at| {
        let sky = from[at] + (to[at] - from[at]) * part;
        (sky + (LIGHT[at] - sky) * light + dither).clamp(0.0, 255.0) as u8
    })
}

fn smooth(part: f32) -> f32 {
    part * part * (3.0 - 2.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_differ_little_and_corners_much() {
        let at = |x, y| colour(x, y, 640, 360);
        for y in 0..359 {
            for x in 0..639 {
                for (other_x, other_y) in [(x + 1, y), (x, y + 1)] {
                    let (one, other) = (at(x, y), at(other_x, other_y));
                    let most = one.iter().zip(other).map(|(a, b)| a.abs_diff(b)).max();
                    assert!(most <= Some(4), "{x}, {y}: {one:?}, {other:?}");
                }
            }
        }
        assert!(at(0, 0)[1] < 40 && at(500, 310)[1] > 100);
        let size = Size::new(64, 36).unwrap();
        assert!(png(size).unwrap().starts_with(b"\x89PNG"));
    }
}
