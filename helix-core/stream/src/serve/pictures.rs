//! From the desktop's pictures to what viewers are sent.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use helix_base::Retry as _;
use helix_proto::desktop::{Codec, Piece};
use tokio::time::{sleep_until, timeout};

use super::Shared;
use crate::{
    Error, ErrorKind,
    capture::{Capture, Shot, Want},
    convert::I420,
    desktop::Desktop,
    encode::{Encoder, stills::Stills},
    hub::{Change, Picture, Plan, Work},
    patch::Patch,
};

/// How long a picture of now may take.
const CAPTURE_WITHIN: Duration = Duration::from_secs(5);
/// An encoder that failed is opened again after this long, and given up when it has failed
/// this often in a row.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
const GIVE_UP_AFTER: u32 = 3;

/// What was captured last.
struct Latest {
    picture: I420,
    /// What has changed from the one before, where that is little and of use to anybody.
    patch: Option<Patch>,
    captured: Instant,
    took: Duration,
    /// It may not be what the desktop looks like.
    outdated: bool,
}

/// An encoder that failed.
#[derive(Debug, Default, Clone, Copy)]
struct Failures {
    count: u32,
    /// Not opened before.
    until: Option<Instant>,
}

struct Pictures<'a> {
    shared: &'a Shared,
    latest: Latest,
    encoders: BTreeMap<Codec, Box<dyn Encoder>>,
    failures: BTreeMap<Codec, Failures>,
}

/// Runs until the desktop gives no pictures any more, and says why.
pub(super) async fn run(shared: &Shared, desktop: &dyn Desktop) -> Error {
    let mut capture = match desktop.capture().await {
        Ok(capture) => capture,
        Err(why) => return why,
    };
    let mut pictures = Pictures {
        shared,
        latest: Latest {
            picture: I420::black(desktop.size()),
            patch: None,
            captured: shared.clock.now(),
            took: Duration::ZERO,
            outdated: true,
        },
        encoders: BTreeMap::new(),
        failures: BTreeMap::new(),
    };
    // Encoders of a desktop before this one are gone with it.
    for codec in Codec::ALL {
        shared.state.lock().hub.closed(codec);
    }
    loop {
        if let Err(why) = pictures.step(desktop, &mut *capture).await {
            return why;
        }
    }
}

impl Pictures<'_> {
    async fn step(
        &mut self,
        desktop: &dyn Desktop,
        capture: &mut dyn Capture,
    ) -> Result<(), Error> {
        let retry = self.open_and_close(desktop).await;
        let plan = self.plan();
        if !plan.watched {
            self.latest.outdated = true;
        } else if self.latest.outdated {
            let shot = timeout(CAPTURE_WITHIN, capture.next(Want::Now)).await;
            let shot = shot.map_err(|_| {
                Error::new(ErrorKind::Timeout, "the desktop gave no picture within 5 s")
            })??;
            return self.take(shot);
        }
        if !plan.work.is_empty() {
            for work in plan.work {
                match &self.latest.patch {
                    Some(patch) if work.patch => self.send_patch(work.codec, patch),
                    _ => self.encode(work).await,
                }
                // Whoever it is for sends it first, and then the next is asked for.
                tokio::task::yield_now().await;
            }
            return Ok(());
        }
        let wake = [plan.wake, retry].into_iter().flatten().min();
        let wake = async {
            match wake {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shared.changed.notified() => {}
            shot = capture.next(Want::Changed), if plan.watched => return self.take(shot?),
            () = wake => {}
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        let (plan, actions) = state.hub.plan(now);
        state.act(actions, now);
        plan
    }

    fn take(&mut self, shot: Shot<'_>) -> Result<(), Error> {
        let changed = self.latest.picture.fill(&shot)?;
        self.latest.captured = shot.captured;
        self.latest.took = shot.took;
        self.latest.outdated = false;
        let change = self.change(&shot, changed);
        let mut state = self.shared.state.lock();
        if state.hub.size() != shot.size {
            // What has failed at the size before may work at this one.
            self.failures.clear();
            let codecs = self.shared.encoders.codecs(shot.size);
            state.hub.resized(shot.size, &codecs);
        }
        state.hub.captured(shot.size, change);
        Ok(())
    }

    /// What has changed, in these places or in more than are named, where that is of use to anybody.
    fn change(&mut self, shot: &Shot<'_>, changed: Option<Vec<Piece>>) -> Change {
        if changed.as_ref().is_some_and(Vec::is_empty) {
            // The patch to what is there may still be sent.
            return Change::None;
        }
        let takes_patches = self.shared.state.lock().hub.takes_patches();
        let little = changed.filter(|_| takes_patches);
        self.latest.patch = little.and_then(|pieces| Patch::of(shot, pieces));
        match &self.latest.patch {
            Some(patch) => Change::Patch {
                bytes: patch.qoi.len(),
            },
            None => Change::Much,
        }
    }

    /// Sends what has changed of what was captured last.
    fn send_patch(&self, codec: Codec, patch: &Patch) {
        let now = self.shared.clock.now();
        let captured = self.shared.micros(self.latest.captured);
        let mut state = self.shared.state.lock();
        let actions = state.hub.patched(codec, patch, captured, now);
        state.act(actions, now);
    }

    /// Encodes what was captured last, and sends it.
    async fn encode(&mut self, work: Work) {
        let Work {
            codec, key, rate, ..
        } = work;
        let Some(encoder) = self.encoders.get_mut(&codec) else {
            return;
        };
        encoder.set_rate(rate);
        let began = self.shared.clock.now();
        let encoded = match encoder.encode(&self.latest.picture, key).await {
            Ok(encoded) => encoded,
            Err(why) => return self.failed(codec, &why),
        };
        self.failures.remove(&codec);
        let now = self.shared.clock.now();
        let picture = Picture {
            codec,
            encoded,
            refines: encoder.refines(),
            captured: self.shared.micros(self.latest.captured),
            capture: self.latest.took,
            encode: now.saturating_duration_since(began),
        };
        let mut state = self.shared.state.lock();
        let actions = state.hub.encoded(&picture, now);
        state.act(actions, now);
    }

    /// Opens the encoders that are needed and closes those that are not; when to try again
    /// what failed.
    async fn open_and_close(&mut self, desktop: &dyn Desktop) -> Option<Instant> {
        let (to_open, to_close) = {
            let state = self.shared.state.lock();
            (state.hub.to_open(), state.hub.to_close())
        };
        for codec in to_close {
            self.encoders.remove(&codec);
            self.shared.state.lock().hub.closed(codec);
        }
        let mut retry: Option<Instant> = None;
        for codec in to_open {
            // That of another size.
            self.encoders.remove(&codec);
            let until = self
                .failures
                .get(&codec)
                .and_then(|failures| failures.until);
            match until.filter(|at| *at > self.shared.clock.now()) {
                Some(at) => retry = Some(retry.map_or(at, |other| other.min(at))),
                None => self.open(codec, desktop).await,
            }
        }
        retry
    }

    async fn open(&mut self, codec: Codec, desktop: &dyn Desktop) {
        // Where nothing was captured yet, the desktop knows better.
        let size = if self.latest.outdated {
            desktop.size()
        } else {
            self.latest.picture.size()
        };
        let rate = self.shared.rate;
        let opened: Result<Box<dyn Encoder>, Error> = match codec {
            Codec::Stills => Ok(Box::new(Stills::new(size, rate))),
            _ => self.shared.encoders.open(codec, size, rate).await,
        };
        match opened {
            Ok(encoder) => {
                let description = encoder.description().clone();
                tracing::info!(%codec, encoder = description.name, %size, "encoder opened");
                self.encoders.insert(codec, encoder);
                let mut state = self.shared.state.lock();
                let actions = state.hub.opened(description);
                state.act(actions, self.shared.clock.now());
            }
            Err(why) => self.failed(codec, &why),
        }
    }

    fn failed(&mut self, codec: Codec, why: &Error) {
        let now = self.shared.clock.now();
        self.encoders.remove(&codec);
        let failures = self.failures.entry(codec).or_default();
        failures.count += 1;
        failures.until = Some(now + REOPEN_AFTER);
        let give_up = failures.count >= GIVE_UP_AFTER || !why.retryability().is_retryable();
        let mut state = self.shared.state.lock();
        if give_up && codec != Codec::Stills {
            tracing::error!(%codec, %why, "the encoder is given up");
            let actions = state
                .hub
                .failed(codec, &format!("the encoder for {codec} has failed: {why}"));
            state.act(actions, now);
        } else {
            tracing::warn!(%codec, %why, "the encoder has failed, and is opened again");
            state.hub.closed(codec);
        }
    }
}
