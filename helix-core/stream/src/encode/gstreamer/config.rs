//! The strings that WebCodecs' decoders are configured with.

use helix_proto::desktop::{Codec, Size};

use super::h264;

/// For this first picture of an encoder; none where it lacks what the string is made of.
pub(super) fn of(codec: Codec, size: Size, picture: &[u8]) -> Option<String> {
    match codec {
        Codec::Stills => Some(String::new()),
        Codec::H264 => avc(picture),
        Codec::Hevc => hevc(picture),
        Codec::Vp9 => Some(format!("vp09.00.{}.08", level(VP9, size))),
        Codec::Av1 => Some(format!("av01.0.{}M.08", level(AV1, size))),
    }
}

/// RFC 6381: profile, constraints and level, as in the sequence's parameters.
fn avc(picture: &[u8]) -> Option<String> {
    let sequence = h264::units(picture).find(|unit| unit.first().is_some_and(|at| at & 31 == 7))?;
    let [profile, constraints, level] = *sequence.get(1..4)?.first_chunk()?;
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// ISO/IEC 14496-15, E.3: what the sequence's parameters say of profile, tier and level.
fn hevc(picture: &[u8]) -> Option<String> {
    let is_sequence = |unit: &&[u8]| unit.first().is_some_and(|first| first >> 1 & 63 == 33);
    let unit = h264::units(picture).find(is_sequence)?;
    let sequence = h264::unescaped(unit.get(2..)?);
    let general = sequence.get(1..13)?;
    let space = ["", "A", "B", "C"][usize::from(general[0] >> 6)];
    let profile = general[0] & 31;
    let tier = if general[0] & 32 == 0 { 'L' } else { 'H' };
    let compatible = u32::from_be_bytes(*general.get(1..5)?.first_chunk()?).reverse_bits();
    let mut config = format!("hev1.{space}{profile}.{compatible:X}.{tier}{}", general[11]);
    let constraints = &general[5..11];
    let last = constraints.iter().rposition(|byte| *byte != 0);
    for byte in &constraints[..last.map_or(0, |last| last + 1)] {
        config.push_str(&format!(".{byte:X}"));
    }
    Some(config)
}

/// Pixels of a picture and in a second that a level has, and its name in the string.
type Level = (usize, usize, &'static str);

/// VP9 levels (webmproject.org/vp9/levels).
const VP9: &[Level] = &[
    (245_760, 9_216_000, "21"),
    (552_960, 20_736_000, "30"),
    (983_040, 36_864_000, "31"),
    (2_228_224, 83_558_400, "40"),
    (2_228_224, 160_432_128, "41"),
    (8_912_896, 311_951_360, "50"),
    (8_912_896, 588_251_136, "51"),
    (8_912_896, 1_176_502_272, "52"),
    (35_651_584, 1_176_502_272, "60"),
    (35_651_584, 2_353_004_544, "61"),
    (usize::MAX, usize::MAX, "62"),
];

/// AV1 specification, annex A.3.
const AV1: &[Level] = &[
    (278_784, 8_363_520, "01"),
    (665_856, 19_975_680, "04"),
    (1_065_024, 31_950_720, "05"),
    (2_359_296, 70_778_880, "08"),
    (2_359_296, 141_557_760, "09"),
    (8_912_896, 267_386_880, "12"),
    (8_912_896, 534_773_760, "13"),
    (8_912_896, 1_069_547_520, "14"),
    (35_651_584, 1_069_547_520, "16"),
    (35_651_584, 2_139_095_040, "17"),
    (usize::MAX, usize::MAX, "18"),
];

/// The least level for sixty pictures of this size in a second.
fn level(levels: &[Level], size: Size) -> &'static str {
    let (picture, second) = (size.pixels(), size.pixels() * 60);
    let fits = |level: &&Level| level.0 >= picture && level.1 >= second;
    levels.iter().find(fits).map_or("62", |level| level.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_from_the_size() {
        for (width, height, vp9, av1) in [
            (640, 360, "30", "04"),
            (1280, 720, "40", "08"),
            (1920, 1080, "41", "09"),
            (3840, 2160, "51", "13"),
            (8192, 8192, "62", "18"),
        ] {
            let size = Size::new(width, height).unwrap();
            assert_eq!((level(VP9, size), level(AV1, size)), (vp9, av1), "{size}");
        }
    }

    #[test]
    fn the_strings_are_those_of_the_parameters() {
        let avc = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xda, 0, 0, 1, 0x68, 1];
        let size = Size::new(1280, 720).unwrap();
        assert_eq!(of(Codec::H264, size, &avc).as_deref(), Some("avc1.42c01f"));
        let hevc = [
            0, 0, 1, 0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x5d, 0xa0,
        ];
        assert_eq!(
            of(Codec::Hevc, size, &hevc).as_deref(),
            Some("hev1.1.6.L93.90")
        );
        assert_eq!(of(Codec::H264, size, &hevc), None);
        assert_eq!(of(Codec::Hevc, size, &avc), None);
    }
}
