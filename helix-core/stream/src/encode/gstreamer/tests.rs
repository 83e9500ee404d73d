use std::time::{Duration, Instant};

use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::*;
use crate::{capture::Shot, convert::I420, encode::Encoded, hub::refinement::Refinement};

/// What every machine that runs the tests has.
const SOFTWARE: [(&str, Codec, &str); 4] = [
    ("x264enc", Codec::H264, "avdec_h264"),
    ("x265enc", Codec::Hevc, "avdec_h265"),
    ("vp9enc", Codec::Vp9, "vp9dec"),
    ("av1enc", Codec::Av1, "av1dec"),
];

const RATE: BitsPerSecond = BitsPerSecond(6_000_000);

fn size() -> Size {
    Size::new(326, 182).unwrap()
}

/// Four bytes for each pixel, without padding.
#[expect(clippy::disallowed_methods, reason = "nobody looks at it")]
fn of_pixels(size: Size, pixels: &[u8]) -> I420 {
    let mut picture = I420::black(size);
    let shot = Shot {
        pixels,
        stride: usize::from(size.width()) * 4,
        size,
        captured: Instant::now(),
        took: Duration::ZERO,
    };
    picture.fill(&shot).unwrap();
    picture
}

/// A picture with three stripes of colour, and a square that lies elsewhere each time.
fn picture(size: Size, number: usize) -> I420 {
    let (width, height) = (usize::from(size.width()), usize::from(size.height()));
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let square = (number * 8..number * 8 + 32).contains(&x) && (16..48).contains(&y);
            pixels.extend(match x * 3 / width {
                _ if square => [255, 255, 255, 0],
                0 => [30, 30, 200, 0],
                1 => [30, 200, 30, 0],
                _ => [200, 30, 30, 0],
            });
        }
    }
    of_pixels(size, &pixels)
}

async fn open(name: &str, codec: Codec) -> Box<dyn Encoder> {
    let encoders = vec![name.to_owned()];
    let encoders = GStreamer::new(&Options { encoders }).unwrap();
    encoders.open(codec, size(), RATE).await.unwrap()
}

/// Decodes one picture after the other, and gives each as it lies in memory: it has to come
/// before the next goes in.
struct Decoder {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Decoder {
    fn new(codec: Codec, name: &str) -> Self {
        let caps = match codec {
            Codec::H264 => "video/x-h264,stream-format=byte-stream,alignment=au",
            Codec::Hevc => "video/x-h265,stream-format=byte-stream,alignment=au",
            Codec::Vp9 => "video/x-vp9",
            _ => "video/x-av1,alignment=tu",
        };
        let parse = match codec {
            Codec::H264 => "h264parse !",
            Codec::Hevc => "h265parse !",
            _ => "",
        };
        // One thread: with several, libav holds a picture back for each.
        let thread = if name.starts_with("avdec") {
            "max-threads=1"
        } else {
            ""
        };
        let launch = format!(
            "appsrc name=source is-live=true format=time caps={caps} ! {parse} {name} {thread} \
             ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false"
        );
        let pipeline = gst::parse::launch(&launch).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let (source, sink) = (pipeline.by_name("source"), pipeline.by_name("sink"));
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            source: source.unwrap().downcast().unwrap(),
            sink: sink.unwrap().downcast().unwrap(),
            pipeline,
        }
    }

    fn decode(&self, encoded: &Encoded, number: u64) -> Vec<u8> {
        let mut buffer = gst::Buffer::from_slice(encoded.picture.clone());
        buffer
            .get_mut()
            .unwrap()
            .set_pts(gst::ClockTime::from_mseconds(number * 17));
        self.source.push_buffer(buffer).unwrap();
        let sample = self.sink.try_pull_sample(gst::ClockTime::from_seconds(5));
        let sample = sample.expect("a picture, before the next goes in");
        let buffer = sample.buffer().unwrap();
        buffer.map_readable().unwrap().to_vec()
    }
}

/// How far two pictures are from each other, for each byte of them.
fn difference(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let sum: u64 = one
        .iter()
        .zip(other)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / one.len() as f64
}

#[tokio::test]
async fn where_there_is_nothing_it_says_what_to_install() {
    let nothing = GStreamer {
        elements: Vec::new(),
        named: false,
        broken: Mutex::default(),
    };
    assert_eq!(nothing.codecs(size()), []);
    let hint = nothing.hint().unwrap();
    assert!(hint.contains("install gstreamer1.0-plugins-ugly"), "{hint}");
    let refused = nothing.open(Codec::H264, size(), RATE).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn what_comes_out_is_decoded_at_once_to_what_went_in() {
    for (name, codec, decoder) in SOFTWARE {
        let mut encoder = open(name, codec).await;
        let decoder = Decoder::new(codec, decoder);
        for number in 0..20 {
            let picture = picture(size(), number);
            let encoded = encoder.encode(&picture, false).await.unwrap();
            assert_eq!(encoded.key, number == 0, "{name} {number}");
            let decoded = decoder.decode(&encoded, number as u64);
            // How the planes are padded is the decoder's own affair: look at the luma.
            let luma = usize::from(size().width().next_multiple_of(4));
            let rows = luma * usize::from(size().height());
            let far = difference(&picture.planes().as_ref()[..rows], &decoded[..rows]);
            assert!(far < 4.0, "{name} {number}: {far}");
        }
    }
}

#[tokio::test]
async fn key_frames_come_when_they_are_asked_for_and_one_can_begin_at_each() {
    for (name, codec, decoder) in SOFTWARE {
        let mut encoder = open(name, codec).await;
        for number in 0..12 {
            let picture = picture(size(), number);
            let wanted = number == 7;
            let encoded = encoder.encode(&picture, wanted).await.unwrap();
            assert_eq!(encoded.key, wanted || number == 0, "{name} {number}");
            if wanted {
                if codec == Codec::H264 {
                    assert_eq!(h264::restriction(&encoded.picture), Some((0, 1)), "{name}");
                }
                Decoder::new(codec, decoder).decode(&encoded, 0);
            }
        }
    }
}

#[tokio::test]
async fn the_rate_changes_while_it_runs_and_makes_no_key_frame() {
    for (name, codec, _) in SOFTWARE {
        let mut encoder = open(name, codec).await;
        let mut bytes = [0, 0];
        for number in 0..240 {
            if number == 60 {
                encoder.set_rate(BitsPerSecond(250_000));
            }
            let noise = noise(number);
            // x265 changes its rate with a key frame only.
            let key = number == 60 && name == "x265enc";
            let encoded = encoder.encode(&noise, key).await.unwrap();
            assert_eq!(encoded.key, key || number == 0, "{name} {number}");
            match number {
                30..60 => bytes[0] += encoded.picture.len(),
                210..240 => bytes[1] += encoded.picture.len(),
                _ => {}
            }
        }
        assert!(bytes[0] > bytes[1] * 2, "{name}: {bytes:?}");
    }
}

/// One colour from top to bottom.
fn plain([blue, green, red]: [u8; 3]) -> I420 {
    of_pixels(size(), &[blue, green, red, 0].repeat(size().pixels()))
}

#[tokio::test]
async fn what_stays_becomes_what_it_is_though_nothing_was_left_for_it() {
    for rate in [100, 300, 1_000].map(BitsPerSecond::from_kbits) {
        let mut encoder = open("x264enc", Codec::H264).await;
        let decoder = Decoder::new(Codec::H264, "avdec_h264");
        encoder.set_rate(rate);
        let (dark, blue) = (plain([16, 16, 16]), plain([255, 0, 0]));
        let before = (0..8).map(noise).chain([dark, blue.clone()]);
        let mut decoded = Vec::new();
        let mut number = 0;
        for picture in before {
            let encoded = encoder.encode(&picture, false).await.unwrap();
            decoded = decoder.decode(&encoded, number);
            number += 1;
        }
        // As the hub does: with more for each, as they come seldom.
        encoder.set_rate(BitsPerSecond(4_000_000.min(rate.0 * 7)));
        let mut refinement = Refinement::default();
        let mut sizes = Vec::new();
        while refinement.goes_on() {
            let encoded = encoder.encode(&blue, false).await.unwrap();
            decoded = decoder.decode(&encoded, number);
            number += 1;
            sizes.push(encoded.picture.len());
            refinement.encoded(encoded.picture.len());
        }
        let far = difference(blue.planes().as_ref(), &decoded);
        assert!(far < 2.0, "{rate}: {far} after {sizes:?}");
    }
}

/// Hard to encode: other squares each time.
fn noise(number: usize) -> I420 {
    let size = size();
    let width = usize::from(size.width());
    let mut pixels = Vec::new();
    for at in 0..size.pixels() {
        let (x, y) = (at % width / 4, at / width / 4);
        let hash = (x * 7_919 + y * 104_729 + number * 31_337).wrapping_mul(2_654_435_761);
        let grey = (hash >> 13) as u8 / 2 + 64;
        pixels.extend([grey, grey, grey, 0]);
    }
    of_pixels(size, &pixels)
}

#[tokio::test]
async fn a_still_picture_costs_next_to_nothing() {
    let mut encoder = open("x264enc", Codec::H264).await;
    let picture = picture(size(), 1);
    for number in 0..10 {
        let encoded = encoder.encode(&picture, false).await.unwrap();
        let most = if number < 4 { 30_000 } else { 200 };
        assert!(
            encoded.picture.len() <= most,
            "{number}: {}",
            encoded.picture.len()
        );
    }
}

#[tokio::test]
async fn decoders_are_configured_by_what_comes_out() {
    for (name, codec, begins) in [
        ("x264enc", Codec::H264, "avc1.42c0"),
        ("x265enc", Codec::Hevc, "hev1.1.6.L"),
        ("vp9enc", Codec::Vp9, "vp09.00."),
        ("av1enc", Codec::Av1, "av01.0."),
    ] {
        let encoder = open(name, codec).await;
        let description = encoder.description();
        assert!(description.config.starts_with(begins), "{description:?}");
        assert_eq!(
            (description.name.as_str(), description.size),
            (name, size())
        );
    }
}

#[test]
fn what_was_asked_for_and_is_not_there_is_an_error_that_says_what_to_do() {
    let asked = |name: &str| {
        let encoders = vec![name.to_owned()];
        GStreamer::new(&Options { encoders })
            .map(drop)
            .map_err(|why| why.to_string())
    };
    let unknown = asked("mpeg2enc").unwrap_err();
    assert!(
        unknown.starts_with("no known encoder \"mpeg2enc\""),
        "{unknown}"
    );
    if gst::ElementFactory::find("nvh264enc").is_none() {
        assert_eq!(
            asked("nvh264enc").unwrap_err(),
            "GStreamer has no nvh264enc here: its hardware or driver is not there"
        );
    }
}

#[test]
fn one_that_fails_at_a_size_is_still_there_for_smaller_ones() {
    let encoders = GStreamer::new(&Options::default()).unwrap();
    for element in encoders.usable(size()) {
        if element.codec == Codec::H264 {
            encoders.is_broken(element, Size::new(1920, 1080).unwrap());
        }
    }
    let has = |width, height| {
        let codecs = encoders.codecs(Size::new(width, height).unwrap());
        codecs.contains(&Codec::H264)
    };
    assert!(!has(1920, 1080) && !has(3840, 2160));
    assert!(has(1280, 720));
}

#[tokio::test]
async fn odd_sizes_and_unknown_codecs_are_refused_and_the_next_is_still_served() {
    let encoders = GStreamer::new(&Options::default()).unwrap();
    let odd = Size::new(641, 359).unwrap();
    let refused = encoders.open(Codec::H264, odd, RATE).await.map(drop);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    let refused = encoders.open(Codec::Stills, size(), RATE).await.map(drop);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    encoders.open(Codec::H264, size(), RATE).await.unwrap();
    let codecs = [Codec::H264, Codec::Hevc, Codec::Vp9, Codec::Av1];
    assert_eq!(encoders.codecs(size()), codecs);
}

#[tokio::test]
async fn a_picture_of_another_size_is_refused() {
    let mut encoder = open("x264enc", Codec::H264).await;
    let other = I420::black(Size::new(64, 64).unwrap());
    let refused = encoder.encode(&other, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}
