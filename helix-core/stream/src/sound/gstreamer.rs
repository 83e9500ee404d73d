//! Sound by GStreamer, as Opus.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use helix_base::Clock;
use tokio::{sync::mpsc, time::timeout};

use super::{Listening, PIECE, Piece, Sound};
use crate::{Error, ErrorKind};

/// How long it may take until what plays the sound has answered.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Of stereo: what music needs to sound as it is.
const BITS_PER_SECOND: i32 = 96_000;
/// Buffers of silence that are encoded before none are: a pause in speech is no end.
const SILENT_BUFFERS: u32 = 25;
/// Pieces that wait to be taken at most.
const WAITING: usize = 16;

/// What is listened to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// What a PulseAudio server plays on its default sink; where it listens, as
    /// `PULSE_SERVER` has it.
    Pulse(String),
    /// A tone of this frequency, for tests.
    Tone {
        /// In hertz.
        hertz: f64,
    },
}

impl Source {
    const fn factory(&self) -> &'static str {
        match self {
            Self::Pulse(_) => "pulsesrc",
            Self::Tone { .. } => "audiotestsrc",
        }
    }

    fn make(&self) -> Result<gst::Element, glib::BoolError> {
        let factory = gst::ElementFactory::make(self.factory());
        match self {
            Self::Pulse(server) => factory
                .property("server", server)
                .property("client-name", "helix")
                // In microseconds: a piece at a time, and a few for what comes late.
                .property("latency-time", 10_000_i64)
                .property("buffer-time", 80_000_i64)
                .property("provide-clock", false)
                .build(),
            Self::Tone { hertz } => factory
                .property("is-live", true)
                .property("freq", *hertz)
                .property("volume", 0.5_f64)
                .property("samplesperbuffer", 480_i32)
                .build(),
        }
    }
}

/// Sound of one source.
#[derive(Debug)]
pub struct GStreamerSound {
    source: Source,
    clock: Arc<dyn Clock>,
}

impl GStreamerSound {
    /// Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where GStreamer does not start, or lacks an element.
    pub fn new(source: Source, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let unsupported = |why: String| Error::new(ErrorKind::Unsupported, why);
        gst::init().map_err(|why| unsupported(format!("GStreamer does not start: {why}")))?;
        let needed = [
            (source.factory(), "gstreamer1.0-pulseaudio"),
            ("opusenc", "gstreamer1.0-plugins-base"),
        ];
        for (factory, package) in needed {
            if gst::ElementFactory::find(factory).is_none() {
                let why = format!("GStreamer has no {factory}: install {package}");
                return Err(unsupported(why));
            }
        }
        Ok(Self { source, clock })
    }
}

#[async_trait]
impl Sound for GStreamerSound {
    async fn listen(&self) -> Result<Box<dyn Listening>, Error> {
        let (source, clock) = (self.source.clone(), self.clock.clone());
        let what = || format!("cannot listen by {}", self.source.factory());
        let open = tokio::task::spawn_blocking(move || Recording::open(&source, clock));
        let Ok(opened) = timeout(OPEN_WITHIN, open).await else {
            let why = format!("{}: it has not begun after 10 s", what());
            return Err(Error::new(ErrorKind::Timeout, why));
        };
        let recording = opened
            .map_err(|why| Error::failed(what(), why))?
            .map_err(|why| Error::failed(what(), why))?;
        Ok(Box::new(recording))
    }
}

/// What comes out of a pipeline.
type Outcome = Result<Piece, String>;

/// A pipeline that plays.
#[derive(Debug)]
struct Recording {
    pipeline: gst::Pipeline,
    outcomes: mpsc::Receiver<Outcome>,
    failures: mpsc::Receiver<String>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // In a thread of its own: a sound server may take its time to answer.
        self.pipeline.call_async(|pipeline| {
            // What cannot be stopped is gone with the process.
            let _ = pipeline.set_state(gst::State::Null);
        });
    }
}

impl Recording {
    /// Blocks until the source has opened.
    fn open(source: &Source, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let wrong = |why: glib::BoolError| why.message.to_string();
        let raw = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 48_000_i32)
            .field("channels", 2_i32)
            .build();
        let source = source.make().map_err(wrong)?;
        let filter = gst::ElementFactory::make("capsfilter")
            .property("caps", &raw)
            .build()
            .map_err(wrong)?;
        let encoder = gst::ElementFactory::make("opusenc")
            .property("bitrate", BITS_PER_SECOND)
            .property("complexity", 5_i32)
            .build()
            .map_err(wrong)?;
        let (sender, outcomes) = mpsc::channel(WAITING);
        let sink = sink(sender, clock);
        let pipeline = gst::Pipeline::new();
        let parts = [&source, &filter, &encoder, sink.upcast_ref()];
        pipeline.add_many(parts).map_err(wrong)?;
        gst::Element::link_many(parts).map_err(wrong)?;
        let pad = encoder.static_pad("sink").ok_or("opusenc takes nothing")?;
        leave_silence_out(&pad);
        let (say, mut failures) = mpsc::channel(1);
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                if let gst::MessageView::Error(error) = message.view() {
                    // Whoever waits hears of the first.
                    let _ = say.try_send(error.error().to_string());
                }
                gst::BusSyncReply::Drop
            });
        }
        if pipeline.set_state(gst::State::Playing).is_err() {
            let why = failures.try_recv().unwrap_or_else(|why| why.to_string());
            // What did not start has nothing to stop, but its elements are open.
            let _ = pipeline.set_state(gst::State::Null);
            return Err(why);
        }
        Ok(Self {
            pipeline,
            outcomes,
            failures,
        })
    }
}

/// Lets no long silence get to the encoder: what is not to be heard costs nothing.
fn leave_silence_out(pad: &gst::Pad) {
    let silent = AtomicU32::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer() else {
            return gst::PadProbeReturn::Ok;
        };
        let map = buffer.map_readable();
        if map.is_ok_and(|map| map.iter().any(|byte| *byte != 0)) {
            silent.store(0, Ordering::Relaxed);
            return gst::PadProbeReturn::Ok;
        }
        if silent.load(Ordering::Relaxed) >= SILENT_BUFFERS {
            // `Drop` would be the word, but gstreamer-rs 0.25 lets go of the buffer twice then.
            return gst::PadProbeReturn::Handled;
        }
        silent.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

fn sink(sender: mpsc::Sender<Outcome>, clock: Arc<dyn Clock>) -> AppSink {
    let new_sample = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let now = clock.now();
        let outcome = read(&sample).map(|opus| Piece {
            opus,
            captured: now.checked_sub(PIECE).unwrap_or(now),
        });
        // Whoever does not take them loses them.
        let _ = sender.try_send(outcome);
        Ok(gst::FlowSuccess::Ok)
    };
    AppSink::builder()
        .caps(&gst::Caps::builder("audio/x-opus").build())
        .sync(false)
        .callbacks(AppSinkCallbacks::builder().new_sample(new_sample).build())
        .build()
}

fn read(sample: &gst::Sample) -> Result<Bytes, String> {
    let buffer = sample.buffer().ok_or("a sample without a buffer")?;
    let map = buffer.map_readable().map_err(|why| why.to_string())?;
    Ok(Bytes::copy_from_slice(&map))
}

#[async_trait]
impl Listening for Recording {
    async fn next(&mut self) -> Result<Piece, Error> {
        loop {
            let why = tokio::select! {
                biased;
                why = self.failures.recv() => why,
                outcome = self.outcomes.recv() => match outcome {
                    Some(Ok(piece)) if piece.opus.is_empty() => continue,
                    Some(Ok(piece)) => return Ok(piece),
                    Some(Err(why)) => Some(why),
                    None => None,
                },
            };
            let why = why.unwrap_or_else(|| "it has ended".to_owned());
            return Err(Error::failed("the sound has ended", why));
        }
    }
}
