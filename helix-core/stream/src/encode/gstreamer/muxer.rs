//! Recordings by GStreamer's own containers.

use std::{fs::File, os::fd::AsRawFd as _, time::Duration};

use async_trait::async_trait;
use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_app::AppSrc;
use helix_proto::{desktop::Size, sandbox::desktop::RecordingFormat};
use tokio::{sync::watch, time::timeout};

use crate::{
    Error, ErrorKind,
    record::{Muxer, Sample},
};

/// How long the end of a file may take.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that wait to be written at most: a disk that takes them slower than they come is too
/// slow.
const WAITING: u64 = 64 << 20;

/// A container that is written.
#[derive(Debug)]
pub(super) struct GstMuxer {
    pipeline: gst::Pipeline,
    source: AppSrc,
    end: watch::Receiver<Option<Result<(), String>>>,
    /// Open for as long as the pipeline writes to it.
    _file: File,
}

impl Drop for GstMuxer {
    fn drop(&mut self) {
        // What cannot be stopped is gone with the process.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl GstMuxer {
    /// Opens one; it begins to write with the first sample.
    pub(super) fn open(
        format: RecordingFormat,
        size: Size,
        fps: u16,
        file: File,
    ) -> Result<Self, Error> {
        let opened = Self::build(format, size, fps, file);
        opened.map_err(|why| Error::failed("cannot begin a recording", why))
    }

    fn build(
        format: RecordingFormat,
        size: Size,
        fps: u16,
        file: File,
    ) -> Result<Self, glib::BoolError> {
        let (caps, between, muxer) = match format {
            RecordingFormat::Mp4 => (
                gst::Caps::builder("video/x-h264")
                    .field("stream-format", "byte-stream")
                    .field("alignment", "au"),
                Some("h264parse"),
                // In fragments, so that what is there can be played without an end.
                gst::ElementFactory::make("mp4mux").property("fragment-duration", 1_000_u32),
            ),
            RecordingFormat::Webm => (
                gst::Caps::builder("video/x-vp9"),
                None,
                gst::ElementFactory::make("webmmux").property("writing-app", "helix"),
            ),
        };
        let caps = caps
            .field("width", i32::from(size.width()))
            .field("height", i32::from(size.height()))
            .field("framerate", gst::Fraction::new(fps.into(), 1))
            .build();
        let source = AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .build();
        let sink = gst::ElementFactory::make("fdsink")
            .property("fd", file.as_raw_fd())
            .property("sync", false)
            .build()?;
        let mut parts = vec![source.clone().upcast::<gst::Element>()];
        if let Some(between) = between {
            parts.push(gst::ElementFactory::make(between).build()?);
        }
        parts.extend([muxer.build()?, sink]);
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&parts)?;
        gst::Element::link_many(&parts)?;
        let (say, end) = watch::channel(None);
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                let end = match message.view() {
                    gst::MessageView::Error(error) => Some(Err(error.error().to_string())),
                    gst::MessageView::Eos(_) => Some(Ok(())),
                    _ => None,
                };
                if let Some(end) = end {
                    // The first counts.
                    say.send_if_modified(|said| {
                        let first = said.is_none();
                        if first {
                            *said = Some(end);
                        }
                        first
                    });
                }
                gst::BusSyncReply::Drop
            });
        }
        let built = Self {
            pipeline,
            source,
            end,
            _file: file,
        };
        let started = built.pipeline.set_state(gst::State::Playing);
        started.map_err(|why| glib::bool_error!("it does not start: {}", why))?;
        Ok(built)
    }

    fn failed(&self) -> Error {
        let end = self.end.borrow().clone();
        let why = match end {
            Some(Err(why)) => why,
            _ => "it takes nothing any more".to_owned(),
        };
        Error::failed("the recording cannot be written", why)
    }
}

fn time(time: Duration) -> gst::ClockTime {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1);
    gst::ClockTime::from_nseconds(nanoseconds)
}

#[async_trait]
impl Muxer for GstMuxer {
    async fn write(&mut self, sample: Sample) -> Result<(), Error> {
        if self.source.current_level_bytes() > WAITING {
            let why = "the disk is too slow for the recording";
            return Err(Error::new(ErrorKind::Timeout, why));
        }
        let mut buffer = gst::Buffer::from_slice(sample.picture);
        if let Some(buffer) = buffer.get_mut() {
            // None is reordered.
            buffer.set_pts(time(sample.at));
            buffer.set_dts(time(sample.at));
            buffer.set_duration(time(sample.lasts));
            if !sample.key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.source.push_buffer(buffer).map_err(|_| self.failed())?;
        if self.end.borrow().is_some() {
            return Err(self.failed());
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        self.source.end_of_stream().map_err(|_| self.failed())?;
        let mut end = self.end.clone();
        let ended = timeout(FINISH_WITHIN, end.wait_for(Option::is_some)).await;
        match ended.map(|end| end.map(|end| end.clone())) {
            Ok(Ok(Some(Ok(())))) => Ok(()),
            Ok(_) => Err(self.failed()),
            Err(_) => {
                let why = "the recording's end was not written within 10 s";
                Err(Error::new(ErrorKind::Timeout, why))
            }
        }
    }
}
