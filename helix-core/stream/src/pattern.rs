//! A desktop that is made up: for tests of what is around desktops, and for measuring them.
//!
//! Its top rows hold the time at which it was painted, as a barcode ([`read_clock`]). A block
//! below it changes between black and white with each key that goes down, and on request the
//! rest moves all the time. What is done to it can be read back.

mod picture;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use helix_base::Clock;
use helix_proto::desktop::{Clipboard as Content, Size};
use tokio::sync::watch;

pub use self::picture::{read_block, read_clock};
use crate::{
    Error, ErrorKind,
    capture::{Capture, Shot, Want},
    desktop::{Clipboard, Desktop},
    input::{Input, InputSink},
};

/// Pictures of moving content come this far apart.
const FRAME: Duration = Duration::from_micros(16_667);
/// Inputs that are kept to be read back.
const KEPT: usize = 1_024;

/// A desktop that is made up. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Pattern {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    start: Instant,
    look: watch::Sender<Look>,
    inputs: Mutex<VecDeque<Input>>,
    copied: watch::Sender<Option<Content>>,
    pasted: Mutex<Option<Content>>,
    ended: watch::Sender<bool>,
}

/// What there is to see.
#[derive(Debug, Clone, Copy)]
struct Look {
    size: Size,
    /// How often it has changed.
    changes: u64,
    white: bool,
    moving: bool,
}

impl Pattern {
    /// A still one of this size. The barcode counts from now.
    pub fn new(size: Size, clock: Arc<dyn Clock>) -> Self {
        let look = Look {
            size,
            changes: 1,
            white: false,
            moving: false,
        };
        Self {
            shared: Arc::new(Shared {
                start: clock.now(),
                clock,
                look: watch::Sender::new(look),
                inputs: Mutex::default(),
                copied: watch::Sender::new(None),
                pasted: Mutex::default(),
                ended: watch::Sender::new(false),
            }),
        }
    }

    /// Has it move all the time, or stand still.
    pub fn set_moving(&self, moving: bool) {
        self.change(|look| look.moving = moving);
    }

    /// The time since it was made, as the barcode has it.
    pub fn now(&self) -> Duration {
        self.shared.clock.now() - self.shared.start
    }

    /// What was done to it, and was not read yet; the last 1,024.
    pub fn take_inputs(&self) -> Vec<Input> {
        lock(&self.shared.inputs).drain(..).collect()
    }

    /// Copies something, as a program in it would.
    pub fn copy(&self, content: Content) {
        self.shared.copied.send_replace(Some(content));
    }

    /// What was put into its clipboard last.
    pub fn pasted(&self) -> Option<Content> {
        lock(&self.shared.pasted).clone()
    }

    /// Ends it, as a compositor that fails would.
    pub fn end(&self) {
        self.shared.ended.send_replace(true);
    }

    fn change(&self, change: impl FnOnce(&mut Look)) {
        self.shared.look.send_modify(|look| {
            change(look);
            look.changes += 1;
        });
    }

    fn is_ended(&self) -> bool {
        *self.shared.ended.borrow()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> Error {
    Error::new(ErrorKind::Ended, "the pattern was ended")
}

#[async_trait]
impl Desktop for Pattern {
    fn size(&self) -> Size {
        self.shared.look.borrow().size
    }

    async fn capture(&self) -> Result<Box<dyn Capture>, Error> {
        if self.is_ended() {
            return Err(gone());
        }
        Ok(Box::new(PatternCapture {
            look: self.shared.look.subscribe(),
            pattern: self.clone(),
            seen: 0,
            due: self.shared.clock.now(),
            pixels: Vec::new(),
        }))
    }

    fn input(&self) -> Arc<dyn InputSink> {
        Arc::new(self.clone())
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        Some(Arc::new(PatternClipboard {
            copied: tokio::sync::Mutex::new(self.shared.copied.subscribe()),
            pattern: self.clone(),
        }))
    }

    async fn resize(&self, size: Size) -> Result<(), Error> {
        if self.is_ended() {
            return Err(gone());
        }
        if self.size() != size {
            self.change(|look| look.size = size);
        }
        Ok(())
    }

    async fn ended(&self) -> Error {
        let mut ended = self.shared.ended.subscribe();
        // The sender lives as long as this does.
        let _ = ended.wait_for(|ended| *ended).await;
        gone()
    }
}

impl InputSink for Pattern {
    fn send(&self, input: Input) -> Result<(), Error> {
        if self.is_ended() {
            return Err(gone());
        }
        if let Input::Key { down: true, .. } = input {
            self.change(|look| look.white = !look.white);
        }
        let mut inputs = lock(&self.shared.inputs);
        if inputs.len() == KEPT {
            inputs.pop_front();
        }
        inputs.push_back(input);
        Ok(())
    }
}

struct PatternClipboard {
    pattern: Pattern,
    copied: tokio::sync::Mutex<watch::Receiver<Option<Content>>>,
}

impl fmt::Debug for PatternClipboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatternClipboard").finish_non_exhaustive()
    }
}

#[async_trait]
impl Clipboard for PatternClipboard {
    async fn copied(&self) -> Result<Content, Error> {
        let mut copied = self.copied.lock().await;
        loop {
            tokio::select! {
                _ = copied.changed() => {}
                why = self.pattern.ended() => return Err(why),
            }
            if let Some(content) = copied.borrow_and_update().clone() {
                return Ok(content);
            }
        }
    }

    async fn put(&self, content: Content) -> Result<(), Error> {
        if self.pattern.is_ended() {
            return Err(gone());
        }
        *lock(&self.pattern.shared.pasted) = Some(content);
        Ok(())
    }
}

struct PatternCapture {
    pattern: Pattern,
    look: watch::Receiver<Look>,
    /// The change that was captured last.
    seen: u64,
    /// When moving content is painted next.
    due: Instant,
    pixels: Vec<u8>,
}

impl fmt::Debug for PatternCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatternCapture").finish_non_exhaustive()
    }
}

#[async_trait]
impl Capture for PatternCapture {
    async fn next(&mut self, want: Want) -> Result<Shot<'_>, Error> {
        let look = loop {
            if self.pattern.is_ended() {
                return Err(gone());
            }
            let look = *self.look.borrow_and_update();
            if look.changes != self.seen || want == Want::Now {
                break look;
            }
            tokio::select! {
                _ = self.look.changed() => {}
                () = tokio::time::sleep_until(self.due.into()), if look.moving => {
                    // In step, unless it was not asked for a while.
                    let now = self.pattern.shared.clock.now();
                    self.due = (self.due + FRAME).max(now);
                    self.pattern.change(|_| {});
                }
                why = self.pattern.ended() => return Err(why),
            }
        };
        self.seen = look.changes;
        let captured = self.pattern.shared.clock.now();
        let at = captured - self.pattern.shared.start;
        picture::paint(&mut self.pixels, look.size, at, look.white, look.changes);
        Ok(Shot {
            pixels: &self.pixels,
            stride: usize::from(look.size.width()) * 4,
            size: look.size,
            captured,
            took: self.pattern.shared.clock.now() - captured,
        })
    }
}
