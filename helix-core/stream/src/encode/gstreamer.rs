//! Encoders of GStreamer: those of the hardware where it is there, and of software otherwise.
//!
//! What can be used is found from what GStreamer has registered, which for hardware is what its
//! plugins have found on this machine; and each is proved when it is opened, by encoding a
//! black picture. One that fails there is passed over, and a warning says so; one that was asked
//! for by name is an error.
//!
//! x264 runs at a constant quality, with the rate as its bound: a desktop that hardly changes
//! takes little and is sharp. The others run at a constant rate.

mod config;
mod elements;
mod h264;
mod muxer;
mod pipeline;

use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use gstreamer as gst;
use helix_proto::{
    desktop::{Codec, Size},
    sandbox::desktop::RecordingFormat,
};
use serde::{Deserialize, Serialize};

use self::{
    elements::{ELEMENTS, Element},
    muxer::GstMuxer,
    pipeline::Pipeline,
};
use super::{Encoder, Encoders};
use crate::{Error, ErrorKind, pacing::BitsPerSecond, record::Muxer};

/// What a person may do where there is none.
const HINT: &str = "install gstreamer1.0-plugins-ugly, for x264";

/// Which encoders are used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// GStreamer's names of the only ones, best first, such as `nvh264enc`. None: whatever is
    /// there, hardware first.
    pub encoders: Vec<String>,
}

/// Makes encoders of GStreamer.
#[derive(Debug)]
pub struct GStreamer {
    elements: Vec<&'static Element>,
    /// Whether they were asked for by name.
    named: bool,
    /// Those that were there and could not be opened, and with how many pixels: of smaller
    /// pictures they may still take some.
    broken: Mutex<BTreeMap<&'static str, u32>>,
}

impl GStreamer {
    /// Finds what is there. That there is nothing is a warning: viewers see stills then, and are
    /// told what to install.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where GStreamer does not start, or lacks an encoder that was
    /// asked for.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let unsupported = |why: String| Error::new(ErrorKind::Unsupported, why);
        gst::init().map_err(|why| unsupported(format!("GStreamer does not start: {why}")))?;
        let mut elements = Vec::new();
        for name in &options.encoders {
            let element = elements::named(name).ok_or_else(|| {
                let known: Vec<_> = ELEMENTS.iter().map(|element| element.factory).collect();
                unsupported(format!(
                    "no known encoder {name:?}; there are {}",
                    known.join(", ")
                ))
            })?;
            if !element.is_registered() {
                return Err(unsupported(format!(
                    "GStreamer has no {name} here: {}",
                    element.missing()
                )));
            }
            elements.push(element);
        }
        let named = !elements.is_empty();
        if !named {
            elements.extend(ELEMENTS.iter().filter(|element| element.is_registered()));
        }
        if elements.is_empty() {
            tracing::warn!(
                hint = HINT,
                "GStreamer has no encoder: stills instead of video"
            );
        }
        Ok(Self {
            elements,
            named,
            broken: Mutex::default(),
        })
    }

    fn usable(&self, size: Size) -> Vec<&'static Element> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = |element: &&Element| {
            let refused = broken.get(element.factory);
            refused.is_none_or(|least| pixels(size) < *least)
        };
        self.elements.iter().copied().filter(takes).collect()
    }

    fn is_broken(&self, element: &'static Element, size: Size) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let least = broken.entry(element.factory).or_insert(u32::MAX);
        *least = pixels(size).min(*least);
    }
}

fn pixels(size: Size) -> u32 {
    u32::from(size.width()) * u32::from(size.height())
}

#[async_trait]
impl Encoders for GStreamer {
    fn codecs(&self, size: Size) -> Vec<Codec> {
        let usable = self.usable(size).into_iter();
        let mut codecs: Vec<_> = usable.map(|element| element.codec).collect();
        codecs.sort_unstable();
        codecs.dedup();
        codecs
    }

    fn hint(&self) -> Option<&'static str> {
        self.elements.is_empty().then_some(HINT)
    }

    async fn open(
        &self,
        codec: Codec,
        size: Size,
        rate: BitsPerSecond,
    ) -> Result<Box<dyn Encoder>, Error> {
        let mut last = None;
        for element in self.usable(size) {
            if element.codec != codec {
                continue;
            }
            match Pipeline::open(element, size, rate).await {
                Ok(pipeline) => return Ok(Box::new(pipeline)),
                Err(why) if self.named => return Err(why),
                Err(why) => {
                    tracing::warn!(encoder = element.factory, %why, "there, but of no use here");
                    // Of another size it may work.
                    if why.kind() != ErrorKind::Invalid {
                        self.is_broken(element, size);
                    }
                    last = Some(why);
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            let why = format!("GStreamer has no encoder for {codec} here");
            Error::new(ErrorKind::Unsupported, why)
        }))
    }

    fn muxer(
        &self,
        format: RecordingFormat,
        size: Size,
        fps: u16,
        file: File,
    ) -> Result<Box<dyn Muxer>, Error> {
        Ok(Box::new(GstMuxer::open(format, size, fps, file)?))
    }
}

#[cfg(test)]
mod tests;
