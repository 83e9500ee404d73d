//! One small picture for all who ask for one, made anew only when the desktop has changed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use helix_base::Clock;
use tokio::{sync::Mutex, time::timeout};

use crate::{
    Error, ErrorKind,
    capture::{Capture, Want},
    desktop::Desktop,
    screenshot,
};

/// However many ask: no more often than this is anything captured.
const EVERY: Duration = Duration::from_secs(1);
/// How long a capture may take to say that there is a change, where there was one.
const SAYS_WITHIN: Duration = Duration::from_millis(50);
/// How long a picture may take.
const CAPTURE_WITHIN: Duration = Duration::from_secs(5);

/// A small picture of a desktop.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// A JPEG.
    pub jpeg: Bytes,
    /// Another one for each picture that differs, also of another process: an entity tag.
    pub tag: String,
}

#[derive(Debug)]
pub(super) struct Thumbnails {
    /// Of this process.
    nonce: u64,
    state: Mutex<Option<Watched>>,
}

/// The desktop that runs, as it was seen last.
#[derive(Debug)]
struct Watched {
    desktop: Arc<dyn Desktop>,
    capture: Box<dyn Capture>,
    latest: Thumbnail,
    number: u64,
    looked: Instant,
}

impl Thumbnails {
    pub(super) fn new() -> Self {
        Self {
            nonce: rand::random(),
            state: Mutex::new(None),
        }
    }

    /// The desktop as it looked at most [`EVERY`] ago.
    pub(super) async fn get(
        &self,
        desktop: Arc<dyn Desktop>,
        clock: &dyn Clock,
    ) -> Result<Thumbnail, Error> {
        let mut state = self.state.lock().await;
        let number = state.as_ref().map_or(0, |watched| watched.number);
        // What failed is begun anew, and so is what is of a desktop before this one.
        let known = state
            .take()
            .filter(|watched| Arc::ptr_eq(&watched.desktop, &desktop));
        let watched = match known {
            Some(mut watched) => {
                let now = clock.now();
                if now.saturating_duration_since(watched.looked) >= EVERY {
                    watched.looked = now;
                    watched.look_again(self.nonce).await?;
                }
                watched
            }
            None => {
                let mut capture = within(desktop.capture()).await?;
                let jpeg = take(&mut *capture).await?;
                let number = number + 1;
                Watched {
                    desktop,
                    capture,
                    latest: tagged(self.nonce, number, jpeg),
                    number,
                    looked: clock.now(),
                }
            }
        };
        let latest = watched.latest.clone();
        *state = Some(watched);
        Ok(latest)
    }
}

impl Watched {
    async fn look_again(&mut self, nonce: u64) -> Result<(), Error> {
        match timeout(SAYS_WITHIN, self.capture.next(Want::Changed)).await {
            // Nothing has changed.
            Err(_) => return Ok(()),
            Ok(changed) => drop(changed?),
        }
        // What has changed may have done so a while ago, and again since.
        let jpeg = take(&mut *self.capture).await?;
        if jpeg != self.latest.jpeg {
            self.number += 1;
            self.latest = tagged(nonce, self.number, jpeg);
        }
        Ok(())
    }
}

fn tagged(nonce: u64, number: u64, jpeg: Bytes) -> Thumbnail {
    let tag = format!("\"{nonce:016x}-{number}\"");
    Thumbnail { jpeg, tag }
}

async fn take(capture: &mut dyn Capture) -> Result<Bytes, Error> {
    let shot = within(capture.next(Want::Now)).await?;
    Ok(screenshot::thumbnail(&shot)?.into())
}

/// No picture is waited for longer than [`CAPTURE_WITHIN`].
pub(super) async fn within<T>(wait: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(CAPTURE_WITHIN, wait).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Timeout,
            "the desktop gave no picture within 5 s",
        ))
    })
}
