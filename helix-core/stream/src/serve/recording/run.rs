//! How a recording goes on, and ends.

use std::{fs::File, time::Duration};

use helix_proto::{
    desktop::{Codec, Down, Frame, Greeting, Micros, Size, Up},
    sandbox::desktop::RecordingState,
};
use tokio::{
    sync::watch,
    time::{Instant, interval_at, sleep_until, timeout, timeout_at},
};

use super::{Running, begin::Bounds};
use crate::{
    Error, ErrorKind,
    record::{self, Muxer, Sample},
    serve::{
        Shared,
        viewer::{Present, join},
    },
};

/// What others see it as.
const NAME: &str = "Recording";
/// How far apart key frames are: a player can begin there, and what comes before one is on the
/// disk.
const KEY_EVERY: Duration = Duration::from_secs(5);
/// How long the first picture may take.
const BEGIN_WITHIN: Duration = Duration::from_secs(15);
/// How long the last picture may take.
const LAST_WITHIN: Duration = Duration::from_secs(1);
/// How often those who ask are told how long and large it is.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// The least that a picture is seen.
const LEAST: Duration = Duration::from_millis(1);

/// Why it ended although nothing failed.
type Finished = &'static str;

/// Records until it is stopped, and says how that went.
pub(super) async fn run(shared: &Shared, running: &Running, bounds: Bounds, file: File) {
    let outcome = record(shared, running, bounds, file).await;
    let (state, reason) = match outcome {
        Ok(finished) => (RecordingState::Finished, finished.to_owned()),
        Err(why) => (RecordingState::Failed, why.to_string()),
    };
    tracing::info!(?state, reason, "a recording has ended");
    running.state.send_modify(|recording| {
        recording.state = state;
        recording.reason = reason;
    });
}

async fn record(
    shared: &Shared,
    running: &Running,
    bounds: Bounds,
    file: File,
) -> Result<Finished, Error> {
    let codec = record::codec(bounds.format);
    let size = shared.running()?.size();
    let greeting = Greeting {
        looks_on: true,
        patches: false,
        size,
        codecs: vec![codec],
        name: NAME.to_owned(),
    };
    let present = join(shared, &greeting);
    let present = present.map_err(|full| Error::new(ErrorKind::Conflict, full.to_string()))?;
    shared.state.lock().hub.set_fps(present.id, bounds.fps);
    say(&present, Up::Bitrate(bounds.kbits))?;
    let meter = file.try_clone();
    let meter = meter.map_err(|why| Error::failed("cannot record", why))?;
    let first = async {
        loop {
            if let Down::Hello(hello) = present.outbox.pop().await {
                break hello;
            }
        }
    };
    let mut stop = running.stop.subscribe();
    let hello = tokio::select! {
        hello = timeout(BEGIN_WITHIN, first) => hello.map_err(|_| {
            Error::new(ErrorKind::Timeout, "no picture within 15 s")
        })?,
        () = stopped(&mut stop) => return Ok("it was stopped before the first picture"),
    };
    if hello.codec != codec {
        let why = format!("no encoder for {codec} can be opened");
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let muxer = shared
        .encoders
        .muxer(bounds.format, hello.size, bounds.fps, file)?;
    let mut tape = Tape {
        shared,
        running,
        present: &present,
        bounds,
        codec,
        size: hello.size,
        muxer,
        meter,
        began: None,
        key: Duration::ZERO,
        held: None,
        captured: None,
    };
    let ended = tape.watch().await;
    if ended.is_ok() {
        tape.last_picture().await?;
    }
    let finished = tape.finish().await;
    ended.and_then(|ended| finished.map(|()| ended))
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the recording does.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Says something as a viewer does.
fn say(present: &Present<'_>, message: Up) -> Result<(), Error> {
    let said = present.say(message);
    said.map_err(|why| Error::new(ErrorKind::Failed, why))
}

/// A recording under way.
struct Tape<'a> {
    shared: &'a Shared,
    running: &'a Running,
    present: &'a Present<'a>,
    bounds: Bounds,
    codec: Codec,
    size: Size,
    muxer: Box<dyn Muxer>,
    /// The file, to see how large it is.
    meter: File,
    /// When the first picture came.
    began: Option<Micros>,
    /// When the last key frame was, from the beginning.
    key: Duration,
    /// The newest picture, that is seen still.
    held: Option<Sample>,
    /// When that was captured.
    captured: Option<Micros>,
}

impl Tape<'_> {
    /// Takes pictures until it is to end.
    async fn watch(&mut self) -> Result<Finished, Error> {
        let mut stop = self.running.stop.subscribe();
        let end = Instant::now() + self.bounds.longest;
        let mut tell = interval_at(Instant::now() + TELL_EVERY, TELL_EVERY);
        let mut key = interval_at(Instant::now() + KEY_EVERY, KEY_EVERY);
        loop {
            tokio::select! {
                message = self.present.outbox.pop() => match message {
                    Down::Frame(frame) => self.take(frame).await?,
                    Down::Hello(hello) if hello.codec != self.codec => {
                        let why = format!("the encoder for {} has failed", self.codec);
                        return Err(Error::new(ErrorKind::Failed, why));
                    }
                    Down::Hello(hello) if hello.size != self.size => {
                        return Ok("the desktop has another size");
                    }
                    _ => {}
                },
                _ = key.tick() => self.ask_for_key()?,
                _ = tell.tick() => {
                    if self.tell() >= self.bounds.most_bytes {
                        return Ok("it is as large as it may become");
                    }
                }
                () = sleep_until(end) => return Ok("it is as long as it may become"),
                () = self.present.outbox.overflow() => {
                    return Err(Error::new(ErrorKind::Timeout, "pictures come too fast"));
                }
                () = stopped(&mut stop) => return Ok("it was stopped"),
                () = self.shared.tasks.draining() => return Ok("the desktop was shut down"),
            }
        }
    }

    fn now(&self) -> Micros {
        self.shared.micros(self.shared.clock.now())
    }

    /// Since the first picture.
    fn since_begin(&self, at: Micros) -> Duration {
        let began = self.began.unwrap_or(at);
        Duration::from_micros(at.0.saturating_sub(began.0))
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Error> {
        let (sequence, queue) = (frame.sequence, 0);
        say(self.present, Up::Painted { sequence, queue })?;
        if self.began.is_none() {
            // A still desktop was captured long before.
            self.began = Some(self.now());
        }
        let earliest = self
            .held
            .as_ref()
            .map_or(Duration::ZERO, |held| held.at + LEAST);
        // One that is encoded once more looks like this now, too.
        let again = self.captured.replace(frame.captured) == Some(frame.captured);
        let seen = if again { self.now() } else { frame.captured };
        let at = self.since_begin(seen).max(earliest);
        if frame.flags.key {
            self.key = at;
        }
        let sample = Sample {
            picture: frame.picture,
            key: frame.flags.key,
            at,
            lasts: LEAST,
        };
        match self.held.replace(sample) {
            Some(before) => self.write(before, at).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, mut sample: Sample, until: Duration) -> Result<(), Error> {
        sample.lasts = until.saturating_sub(sample.at).max(LEAST);
        self.muxer.write(sample).await
    }

    fn ask_for_key(&self) -> Result<(), Error> {
        let lately = self.since_begin(self.now()).saturating_sub(self.key) < KEY_EVERY / 2;
        if self.began.is_none() || lately {
            return Ok(());
        }
        say(self.present, Up::KeyFrame)
    }

    /// Tells those who ask how long and large it is; how large.
    fn tell(&self) -> u64 {
        let bytes = self.meter.metadata().map_or(0, |meta| meta.len());
        let duration = self.since_begin(self.now());
        self.running.state.send_modify(|recording| {
            recording.bytes = bytes;
            recording.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        });
        bytes
    }

    /// Has the picture of now be the last, so that a desktop that was still has its time in the
    /// file: players end with the last picture, however long it is seen. Where none comes, what
    /// there is has to do.
    async fn last_picture(&mut self) -> Result<(), Error> {
        if self.began.is_none() || self.shared.tasks.is_draining() {
            return Ok(());
        }
        say(self.present, Up::KeyFrame)?;
        let until = Instant::now() + LAST_WITHIN;
        let size = self.size;
        while let Ok(message) = timeout_at(until, self.present.outbox.pop()).await {
            match message {
                Down::Frame(frame) if frame.size == size => {
                    let last = frame.flags.key;
                    self.take(frame).await?;
                    if last {
                        break;
                    }
                }
                Down::Frame(_) | Down::Hello(_) => break,
                _ => {}
            }
        }
        Ok(())
    }

    /// The last picture is seen until now; then the file ends.
    async fn finish(mut self) -> Result<(), Error> {
        let now = self.since_begin(self.now());
        let last = self.held.take();
        let Some(last) = last else {
            return Err(Error::new(ErrorKind::Failed, "there was no picture"));
        };
        self.write(last, now).await?;
        self.tell();
        let Tape {
            muxer,
            meter,
            running,
            ..
        } = self;
        muxer.finish().await?;
        let bytes = meter.metadata().map_or(0, |meta| meta.len());
        running
            .state
            .send_modify(|recording| recording.bytes = bytes);
        Ok(())
    }
}
