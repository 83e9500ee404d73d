//! One encoder at work: pictures in, pictures out.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use helix_proto::desktop::{Codec, Size};
use tokio::{sync::mpsc, time::timeout};

use super::{config, elements::Element, h264};
use crate::{
    Error, ErrorKind,
    convert::I420,
    encode::{Description, Encoded, Encoder},
    pacing::BitsPerSecond,
};

/// How long a picture may take. The first of a hardware encoder takes longest.
const WITHIN: Duration = Duration::from_secs(2);

/// What comes out of a pipeline.
type Outcome = Result<Encoded, String>;

/// One encoder at work.
#[derive(Debug)]
pub(super) struct Pipeline {
    element: &'static Element,
    description: Description,
    pipeline: gst::Pipeline,
    source: AppSrc,
    encoder: gst::Element,
    outcomes: mpsc::Receiver<Outcome>,
    rate: BitsPerSecond,
    pictures: u64,
    /// Whether the next has to be a key frame.
    begins: bool,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // What cannot be stopped is gone with the process.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Pipeline {
    /// Opens one, and proves it.
    pub(super) async fn open(
        element: &'static Element,
        size: Size,
        rate: BitsPerSecond,
    ) -> Result<Self, Error> {
        if !size.width().is_multiple_of(2) || !size.height().is_multiple_of(2) {
            let why = format!("{} takes no odd size such as {size}", element.factory);
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let failed = |why: &str| Error::failed(format!("cannot open {}", element.factory), why);
        let mut pipeline = Self::begin(element, size, rate).await?;
        let first = pipeline.encode(&I420::black(size), true).await?;
        if !first.key {
            return Err(failed("its first picture is no key frame"));
        }
        pipeline.description.config = config::of(element.codec, size, &first.picture)
            .ok_or_else(|| failed("its first picture has no parameters"))?;
        pipeline.begins = true;
        Ok(pipeline)
    }

    /// Opens one that has encoded nothing, and whose configuration is not known.
    async fn begin(
        element: &'static Element,
        size: Size,
        rate: BitsPerSecond,
    ) -> Result<Self, Error> {
        let what = || format!("cannot open {}", element.factory);
        tokio::task::spawn_blocking(move || Self::build(element, size, rate))
            .await
            .map_err(|why| Error::failed(what(), why))?
            .map_err(|why| Error::failed(what(), why))
    }

    fn build(
        element: &'static Element,
        size: Size,
        rate: BitsPerSecond,
    ) -> Result<Self, glib::Error> {
        let wrong = |why: glib::BoolError| glib::Error::new(gst::CoreError::Failed, &why.message);
        let raw = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", i32::from(size.width()))
            .field("height", i32::from(size.height()))
            .field(
                "framerate",
                gst::Fraction::new(element.fps.cast_signed(), 1),
            )
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("interlace-mode", "progressive")
            .field("colorimetry", "bt709")
            .build();
        let source = AppSrc::builder()
            .caps(&raw)
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        let encoder = element.make(size).map_err(wrong)?;
        element.set_rate(&encoder, rate);
        let (sender, outcomes) = mpsc::channel(8);
        let sink = sink(element, sender.clone());
        let pipeline = gst::Pipeline::new();
        let parts = [source.upcast_ref(), &encoder, sink.upcast_ref()];
        pipeline.add_many(parts).map_err(wrong)?;
        gst::Element::link_many(parts).map_err(wrong)?;
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                if let gst::MessageView::Error(error) = message.view() {
                    // Whoever waits hears of the first.
                    let _ = sender.try_send(Err(error.error().to_string()));
                }
                gst::BusSyncReply::Drop
            });
        }
        let description = Description {
            codec: element.codec,
            name: element.factory.to_owned(),
            config: String::new(),
            size,
        };
        let built = Self {
            element,
            description,
            pipeline,
            source,
            encoder,
            outcomes,
            rate,
            pictures: 0,
            begins: true,
        };
        let started = built.pipeline.set_state(gst::State::Playing);
        started.map_err(|why| glib::Error::new(gst::CoreError::StateChange, &why.to_string()))?;
        Ok(built)
    }

    fn failed(&self, why: impl std::fmt::Display) -> Error {
        Error::failed(format!("{} has failed", self.element.factory), why)
    }

    /// Asks for a key frame (`gst_video_event_new_upstream_force_key_unit`).
    fn force_key(&self) -> Result<(), Error> {
        let wish = gst::Structure::builder("GstForceKeyUnit")
            .field("running-time", gst::ClockTime::NONE)
            .field("all-headers", true)
            .field("count", 0_u32)
            .build();
        let event = gst::event::CustomUpstream::new(wish);
        let pad = self.encoder.static_pad("src");
        if pad.is_some_and(|pad| pad.send_event(event)) {
            return Ok(());
        }
        Err(self.failed("it takes no request for a key frame"))
    }
}

#[async_trait]
impl Encoder for Pipeline {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn encode(&mut self, picture: &I420, key: bool) -> Result<Encoded, Error> {
        if picture.size() != self.description.size {
            let why = format!(
                "a picture of {} for {}",
                picture.size(),
                self.description.size
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let key = key || self.begins;
        if key && self.pictures > 0 {
            if self.element.begins_once {
                let description = self.description.clone();
                *self = Self::begin(self.element, description.size, self.rate).await?;
                self.description = description;
            } else {
                self.force_key()?;
            }
        }
        if key && self.element.begins_anew {
            self.element.set_rate(&self.encoder, self.rate);
        }
        let fps = u64::from(self.element.fps);
        let second = gst::ClockTime::SECOND.nseconds();
        let at = |pictures: u64| gst::ClockTime::from_nseconds(pictures * second / fps);
        let mut buffer = gst::Buffer::from_slice(picture.planes().clone());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(at(self.pictures));
            buffer.set_duration(at(1));
        }
        self.pictures += 1;
        let pushed = self.source.push_buffer(buffer);
        pushed.map_err(|why| self.failed(format!("it takes no picture ({why})")))?;
        let outcome = timeout(WITHIN, self.outcomes.recv()).await;
        let encoded = match outcome {
            Ok(Some(Ok(encoded))) => encoded,
            Ok(Some(Err(why))) => return Err(self.failed(why)),
            Ok(None) => return Err(self.failed("it has ended")),
            Err(_) => {
                let why = format!("{} gave no picture within 2 s", self.element.factory);
                return Err(Error::new(ErrorKind::Timeout, why));
            }
        };
        if key && !encoded.key {
            return Err(self.failed("it gave no key frame where one was asked for"));
        }
        self.begins = false;
        Ok(encoded)
    }

    fn set_rate(&mut self, rate: BitsPerSecond) {
        // Encoders begin their bookkeeping anew with each change: not for less than a twentieth.
        if rate.0.abs_diff(self.rate.0) > self.rate.0 / 20 {
            self.rate = rate;
            if !self.element.begins_anew {
                self.element.set_rate(&self.encoder, rate);
            }
        }
    }

    fn refines(&self) -> bool {
        true
    }
}

fn sink(element: &'static Element, sender: mpsc::Sender<Outcome>) -> AppSink {
    let codec = element.codec;
    let new_sample = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let outcome = read(codec, &sample);
        sender
            .try_send(outcome)
            .map_err(|_| gst::FlowError::Error)?;
        Ok(gst::FlowSuccess::Ok)
    };
    AppSink::builder()
        .caps(&element.caps())
        .sync(false)
        .callbacks(AppSinkCallbacks::builder().new_sample(new_sample).build())
        .build()
}

fn read(codec: Codec, sample: &gst::Sample) -> Outcome {
    let buffer = sample.buffer().ok_or("a sample without a buffer")?;
    let map = buffer.map_readable().map_err(|why| why.to_string())?;
    let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let picture = match codec {
        Codec::H264 if key => h264::hold_nothing_back(&map),
        _ => Bytes::copy_from_slice(&map),
    };
    Ok(Encoded { picture, key })
}
