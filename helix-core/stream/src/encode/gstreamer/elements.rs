//! The encoders that are known, and how each is made to hold nothing back.

use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use helix_proto::desktop::{Codec, Size};

use crate::pacing::BitsPerSecond;

/// One of GStreamer's encoders.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) codec: Codec,
    /// GStreamer's name of it.
    pub(super) factory: &'static str,
    /// Properties and their values. One that this version of it lacks is left out.
    settings: &'static [(&'static str, &'static str)],
    rate: Rate,
    /// By what rate of pictures it counts.
    pub(super) fps: u32,
    /// A change of its rate makes a key frame.
    pub(super) begins_anew: bool,
    /// It makes a key frame at its beginning only: for another it is opened anew.
    pub(super) begins_once: bool,
}

/// The property with the rate, and its unit in bits.
#[derive(Debug)]
struct Rate {
    property: &'static str,
    unit: u64,
}

const KBITS: Rate = Rate {
    property: "bitrate",
    unit: 1_000,
};

/// Best first for each codec: hardware, then software. Not here: openh264enc, which begins with
/// a key frame whenever its rate changes.
pub(super) const ELEMENTS: &[Element] = &[
    Element {
        codec: Codec::H264,
        factory: "nvh264enc",
        settings: NVENC,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::H264,
        factory: "vah264enc",
        settings: VA,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::H264,
        factory: "qsvh264enc",
        settings: QSV,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::H264,
        factory: "x264enc",
        settings: &[
            ("speed-preset", "ultrafast"),
            ("tune", "zerolatency"),
            // Constant quality, with the rate as the bound.
            ("pass", "qual"),
            ("quantizer", "22"),
            ("vbv-buf-capacity", "120"),
            ("key-int-max", "1073741824"),
            ("bframes", "0"),
            ("ref", "1"),
            ("aud", "false"),
            ("byte-stream", "true"),
            ("option-string", "scenecut=0:no-dct-decimate=1"),
        ],
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Hevc,
        factory: "nvh265enc",
        settings: NVENC,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Hevc,
        factory: "vah265enc",
        settings: VA,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Hevc,
        factory: "qsvh265enc",
        settings: QSV,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Hevc,
        factory: "x265enc",
        settings: &[
            ("speed-preset", "ultrafast"),
            ("tune", "zerolatency"),
            ("key-int-max", "2147483647"),
            (
                "option-string",
                "bframes=0:ref=1:scenecut=0:repeat-headers=1:vbv-bufsize=1000:vbv-maxrate=6000",
            ),
        ],
        rate: KBITS,
        fps: 60,
        begins_anew: true,
        begins_once: false,
    },
    Element {
        codec: Codec::Vp9,
        factory: "vp9enc",
        settings: &[
            ("deadline", "1"),
            ("cpu-used", "8"),
            ("end-usage", "cbr"),
            ("lag-in-frames", "0"),
            ("keyframe-mode", "disabled"),
            ("keyframe-max-dist", "2147483647"),
            ("buffer-size", "300"),
            ("buffer-initial-size", "200"),
            ("buffer-optimal-size", "250"),
            ("min-quantizer", "4"),
            ("max-quantizer", "56"),
            ("undershoot", "95"),
            ("row-mt", "true"),
            ("threads", "4"),
        ],
        rate: Rate {
            property: "target-bitrate",
            unit: 1,
        },
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Av1,
        factory: "nvav1enc",
        settings: NVENC,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Av1,
        factory: "vaav1enc",
        settings: VA,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Av1,
        factory: "qsvav1enc",
        settings: QSV,
        rate: KBITS,
        fps: 60,
        begins_anew: false,
        begins_once: false,
    },
    Element {
        codec: Codec::Av1,
        factory: "av1enc",
        settings: &[
            ("usage-profile", "realtime"),
            ("cpu-used", "10"),
            ("end-usage", "cbr"),
            ("lag-in-frames", "0"),
            ("keyframe-max-dist", "2147483647"),
            ("buf-sz", "300"),
            ("buf-initial-sz", "200"),
            ("buf-optimal-sz", "250"),
            ("min-quantizer", "4"),
            ("max-quantizer", "56"),
            ("row-mt", "true"),
            ("threads", "4"),
        ],
        rate: Rate {
            property: "target-bitrate",
            unit: 1_000,
        },
        // It takes no pictures that are closer together (GStreamer 1.22).
        fps: 30,
        begins_anew: false,
        // GStreamer 1.22.
        begins_once: true,
    },
];

const NVENC: &[(&str, &str)] = &[
    ("preset", "low-latency-hq"),
    ("rc-mode", "cbr"),
    ("zerolatency", "true"),
    ("bframes", "0"),
    ("b-frames", "0"),
    ("rc-lookahead", "0"),
    ("gop-size", "-1"),
    ("aud", "false"),
    ("repeat-sequence-header", "true"),
];

const VA: &[(&str, &str)] = &[
    ("rate-control", "cbr"),
    ("target-usage", "6"),
    ("b-frames", "0"),
    ("ref-frames", "1"),
    ("key-int-max", "1024"),
    ("aud", "false"),
];

const QSV: &[(&str, &str)] = &[
    ("rate-control", "cbr"),
    ("low-latency", "true"),
    ("b-frames", "0"),
    ("ref-frames", "1"),
    ("gop-size", "2147483647"),
    ("target-usage", "6"),
];

/// How many threads x264 has for pictures of this size: one for each of 1920 by 1080 pixels.
/// They share each picture and wait for each other, which costs more than one that does it alone,
/// and sixty pictures of 1280 by 720 in a second one does in time.
fn threads(size: Size) -> u32 {
    let threads = size.pixels().div_ceil(1920 * 1080);
    u32::try_from(threads).unwrap_or(u32::MAX)
}

/// The one that GStreamer calls that.
pub(super) fn named(factory: &str) -> Option<&'static Element> {
    ELEMENTS.iter().find(|element| element.factory == factory)
}

impl Element {
    /// Whether GStreamer has it here.
    pub(super) fn is_registered(&self) -> bool {
        gst::ElementFactory::find(self.factory).is_some()
    }

    /// What to do where GStreamer does not have it.
    pub(super) fn missing(&self) -> &'static str {
        match self.factory {
            "x264enc" => "install gstreamer1.0-plugins-ugly",
            "vp9enc" => "install gstreamer1.0-plugins-good",
            "x265enc" | "av1enc" => "install gstreamer1.0-plugins-bad",
            _ => "its hardware or driver is not there",
        }
    }

    /// Makes one, set up for pictures of this size.
    pub(super) fn make(&self, size: Size) -> Result<gst::Element, glib::BoolError> {
        let element = gst::ElementFactory::make(self.factory).build()?;
        if self.factory == "x264enc" {
            element.set_property("threads", threads(size));
        }
        for (name, value) in self.settings {
            let Some(property) = element.find_property(name) else {
                continue;
            };
            match glib::Value::deserialize_with_pspec(value, &property) {
                Ok(value) => element.set_property_from_value(name, &value),
                Err(why) => tracing::debug!(self.factory, name, value, %why, "not set"),
            }
        }
        Ok(element)
    }

    /// Sets what it aims at, also while it runs.
    pub(super) fn set_rate(&self, element: &gst::Element, rate: BitsPerSecond) {
        let Rate { property, unit } = self.rate;
        let Some(property) = element.find_property(property) else {
            return;
        };
        let value = (rate.0 * u64::from(self.fps) / 60 / unit)
            .max(1)
            .to_string();
        if let Ok(value) = glib::Value::deserialize_with_pspec(&value, &property) {
            element.set_property_from_value(property.name(), &value);
        }
    }

    /// What comes out of it.
    pub(super) fn caps(&self) -> gst::Caps {
        match self.codec {
            Codec::H264 | Codec::Hevc | Codec::Stills => {
                let hevc = self.codec == Codec::Hevc;
                let caps = gst::Caps::builder(if hevc { "video/x-h265" } else { "video/x-h264" })
                    .field("stream-format", "byte-stream")
                    .field("alignment", "au");
                if self.factory == "x264enc" {
                    return caps.field("profile", "constrained-baseline").build();
                }
                caps.build()
            }
            Codec::Vp9 => gst::Caps::builder("video/x-vp9").build(),
            Codec::Av1 => gst::Caps::builder("video/x-av1")
                // Not all say that the stream is of plain units (low overhead); all make them.
                .field("alignment", "tu")
                .build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x264_has_a_thread_for_each_screen_of_1920_by_1080() {
        for (width, height, expected) in [
            (640, 360, 1),
            (1280, 720, 1),
            (1920, 1080, 1),
            (2560, 1440, 2),
            (3840, 2160, 4),
        ] {
            let size = Size::new(width, height).unwrap();
            assert_eq!(threads(size), expected, "{size}");
        }
    }
}
