//! How a recording begins.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use helix_proto::sandbox::desktop::{Recording, RecordingFormat, RecordingRequest, RecordingState};
use tokio::sync::watch;

use super::{Media, Running, run};
use crate::{
    Error, ErrorKind,
    record::{self, Place},
};

const USUAL_KBITS: u32 = 4_000;
const USUAL_FPS: u16 = 30;
const USUAL_SECONDS: u32 = 3_600;
const USUAL_BYTES: u64 = 1 << 30;

/// What is recorded, and how much of it at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) format: RecordingFormat,
    pub(super) kbits: u32,
    pub(super) fps: u16,
    pub(super) longest: Duration,
    pub(super) most_bytes: u64,
}

impl Bounds {
    fn of(asked: &RecordingRequest) -> Result<Self, Error> {
        let bounds = Self {
            format: asked.format,
            kbits: asked.kbits.unwrap_or(USUAL_KBITS),
            fps: asked.fps.unwrap_or(USUAL_FPS),
            longest: Duration::from_secs(asked.max_seconds.unwrap_or(USUAL_SECONDS).into()),
            most_bytes: asked.max_bytes.unwrap_or(USUAL_BYTES),
        };
        for (name, value, least, most) in [
            ("kbits", u64::from(bounds.kbits), 100, 50_000),
            ("fps", bounds.fps.into(), 1, 60),
            ("max_seconds", bounds.longest.as_secs(), 1, 14_400),
            ("max_bytes", bounds.most_bytes, 1 << 16, 16 << 30),
        ] {
            if !(least..=most).contains(&value) {
                let why = format!("{name} is {value}; give {least} to {most}");
                return Err(Error::new(ErrorKind::Invalid, why));
            }
        }
        Ok(bounds)
    }
}

impl Media {
    /// Begins a recording.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is out of its bounds, or a path that leads out of the home;
    /// [`ErrorKind::Conflict`] where one runs already, or the file is there;
    /// [`ErrorKind::Unsupported`] where there is no encoder for the format.
    pub fn record(&self, asked: &RecordingRequest) -> Result<Recording, Error> {
        let shared = &self.shared;
        let bounds = Bounds::of(asked)?;
        let size = shared.running()?.size();
        let unsupported = |why: String| Error::new(ErrorKind::Unsupported, why);
        let below = shared.recorder.below.clone();
        let below = below.ok_or_else(|| unsupported("this desktop is not recorded".to_owned()))?;
        let codec = record::codec(bounds.format);
        if !shared.encoders.codecs(size).contains(&codec) {
            return Err(unsupported(format!("there is no encoder for {codec} here")));
        }
        let started_ms = shared.clock.now_ms();
        let extension = record::extension(bounds.format);
        let usual = || format!("Recordings/desktop-{started_ms}.{extension}");
        let path = asked.path.clone().unwrap_or_else(usual);
        let mut last = shared
            .recorder
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let runs =
            |running: &Arc<Running>| running.state.borrow().state == RecordingState::Recording;
        if last.as_ref().is_some_and(runs) {
            let why = "a recording of this desktop runs already";
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        let Place { file, path } = record::create(&below, &path)?;
        let recording = Recording {
            state: RecordingState::Recording,
            reason: String::new(),
            format: bounds.format,
            path: path.to_string_lossy().into_owned(),
            started_ms,
            duration_ms: 0,
            bytes: 0,
        };
        let running = Arc::new(Running {
            state: watch::Sender::new(recording.clone()),
            stop: watch::Sender::new(false),
        });
        *last = Some(running.clone());
        drop(last);
        let (media, tasks) = (self.clone(), shared.tasks.clone());
        tasks.spawn("recording", async move {
            Box::pin(run::run(&media.shared, &running, bounds, file)).await;
        });
        Ok(recording)
    }
}
