//! What is on the screen while `cargo xtask bench stream` looks at it, 1280 by 720.
//!
//! At the top is the clock as a barcode, drawn with every picture. Keys choose what is below: 1 stands still, 2 scrolls text, 3 moves noise over
//! the whole screen, 4 scrolls text ten times a second. Any other key turns the square at the
//! lower right to its other colour.
//!
//! It draws as terminals and browsers do: by the processor, into two or three pieces of memory
//! that it shares with the compositor or X server and uses again. It is a client of Wayland where
//! `WAYLAND_DISPLAY` is set, and else of the X server of `DISPLAY`.

mod picture;
mod wayland;
mod x11;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use helix_base::{Clock as _, SystemClock};
use picture::{HEIGHT, Picture, WIDTH};
use rustix::fs::MemfdFlags;

/// Bytes of a picture.
const BYTES: u64 = (WIDTH * HEIGHT * 4) as u64;
/// Between two pictures of what scrolls slowly.
const SLOW: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let screen = Screen::new()?;
    if std::env::var_os("WAYLAND_DISPLAY").is_some() {
        wayland::run(screen)
    } else {
        x11::run(screen)
    }
}

/// What a key chooses, by its code in Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Still,
    Text,
    Noise,
    SlowText,
}

/// What is to be seen, and when it is drawn again.
struct Screen {
    picture: Picture,
    mode: Mode,
    turned: bool,
    step: usize,
    /// Whether something has changed since it was drawn.
    changed: bool,
    drawn: Instant,
    pixels: Vec<u8>,
}

impl Screen {
    fn new() -> Result<Self> {
        Ok(Self {
            picture: Picture::new()?,
            mode: Mode::Still,
            turned: false,
            step: 0,
            changed: true,
            drawn: SystemClock.now(),
            pixels: vec![0; WIDTH * HEIGHT * 4],
        })
    }

    fn pressed(&mut self, code: u32) {
        match code {
            2 => self.mode = Mode::Still,
            3 => self.mode = Mode::Text,
            4 => self.mode = Mode::Noise,
            5 => self.mode = Mode::SlowText,
            // Shift, control, alt and the like.
            29 | 42 | 54 | 56 | 58 | 69 | 97 | 100 | 125 | 126 => return,
            _ => self.turned = !self.turned,
        }
        self.changed = true;
    }

    /// How long until it is to be drawn, where pictures may come `between` after each other; none
    /// where nothing moves.
    fn due(&self, between: Duration) -> Option<Duration> {
        let between = match self.mode {
            _ if self.changed => return Some(Duration::ZERO),
            Mode::Still => return None,
            Mode::Text | Mode::Noise => between,
            Mode::SlowText => SLOW,
        };
        let since = SystemClock.now().saturating_duration_since(self.drawn);
        Some(between.saturating_sub(since))
    }

    /// Draws the next picture into this memory.
    fn draw(&mut self, memory: &File) -> Result<()> {
        self.step += 1;
        self.changed = false;
        self.drawn = SystemClock.now();
        let below = match self.mode {
            Mode::Still => None,
            Mode::Text | Mode::SlowText => Some(self.picture.text(self.step)),
            Mode::Noise => Some(self.picture.noise(self.step)),
        };
        picture::draw(&mut self.pixels, below.as_ref(), self.turned);
        let written = memory.write_all_at(&self.pixels, 0);
        written.context("writing a picture")
    }
}

/// Memory for a picture, to be shared.
fn memory() -> Result<File> {
    let file = File::from(rustix::fs::memfd_create("screen", MemfdFlags::CLOEXEC)?);
    file.set_len(BYTES)?;
    Ok(file)
}
