//! What is on an X server's screen, for `cargo xtask bench stream`: whenever a browser has
//! painted, the clock's barcode is read (see `bench-screen`), and whether the square that a key
//! press turns is bright. So a picture counts once it is on the screen, however it came there.
//!
//! `bench-eye DISPLAY` takes a JSON object a line and answers with one:
//!
//! - `{"do":"look","x":X,"y":Y,"scale":S}`: where the picture's upper left corner is, and how
//!   much larger it is than 1280 by 720. Answers whether a clock is to be seen there.
//! - `{"do":"take"}`: everything since the last time: `seen`, each picture's time of appearance
//!   and of drawing, `turned`, when the square changed, and `now`; in milliseconds since the
//!   epoch. `shown` is when the picture was drawn that is on the screen.

use std::{
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use helix_base::{Clock as _, SystemClock};
use helix_tests::barcode::{self, BITS, CELL};
use serde::{Deserialize, Serialize};
use x11rb::{
    connection::Connection as _,
    protocol::{
        Event,
        damage::{ConnectionExt as _, ReportLevel},
        xproto::{ConnectionExt as _, ImageFormat},
    },
    rust_connection::RustConnection,
};

/// In the middle of the square that `bench-screen` draws.
const SQUARE: (f64, f64) = (1184.0, 624.0);

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Order {
    Look(Place),
    Take,
}

/// Where the picture is on the screen.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Place {
    x: f64,
    y: f64,
    scale: f64,
}

#[derive(Debug, Default, Serialize)]
struct Taken {
    seen: Vec<(u64, u64)>,
    turned: Vec<u64>,
    now: u64,
    shown: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    place: Option<Place>,
    taken: Taken,
    last: Option<u64>,
    bright: Option<bool>,
}

struct Eye {
    server: RustConnection,
    root: u32,
    size: (u16, u16),
    state: Mutex<State>,
}

fn main() -> Result<()> {
    let Some(display) = std::env::args().nth(1) else {
        bail!("bench-eye DISPLAY");
    };
    let (server, screen) = RustConnection::connect(Some(&display)).context("no X server")?;
    let root = &server.setup().roots[screen];
    let (root, size) = (root.root, (root.width_in_pixels, root.height_in_pixels));
    server.damage_query_version(1, 1)?.reply()?;
    let damage = server.generate_id()?;
    server.damage_create(damage, root, ReportLevel::NON_EMPTY)?;
    server.flush()?;
    let eye = Arc::new(Eye {
        server,
        root,
        size,
        state: Mutex::default(),
    });
    let watching = Arc::clone(&eye);
    std::thread::spawn(move || {
        while let Ok(event) = watching.server.wait_for_event() {
            if matches!(event, Event::DamageNotify(_)) {
                // First, so that what is painted meanwhile is told anew.
                let _ = watching.server.damage_subtract(damage, 0_u32, 0_u32);
                if let Err(error) = watching.see() {
                    let _ = writeln!(std::io::stderr(), "bench-eye: {error:#}");
                }
            }
        }
    });
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Order::Look(place) => serde_json::to_string(&eye.look(place)?)?,
            Order::Take => serde_json::to_string(&eye.take())?,
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

impl Eye {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, place: Place) -> Result<bool> {
        *self.state() = State {
            place: Some(place),
            ..State::default()
        };
        self.see()?;
        Ok(self.state().last.is_some())
    }

    fn take(&self) -> Taken {
        let mut state = self.state();
        let shown = state.last;
        Taken {
            now: SystemClock.now_ms(),
            shown,
            ..std::mem::take(&mut state.taken)
        }
    }

    /// Reads what is on the screen now.
    fn see(&self) -> Result<()> {
        let Some(place) = self.state().place else {
            return Ok(());
        };
        let width = f64::from(CELL) * f64::from(BITS) * place.scale;
        let row = self.row(place.x, place.y + 7.0 * place.scale, width)?;
        let square = self.row(
            place.x + SQUARE.0 * place.scale,
            place.y + SQUARE.1 * place.scale,
            1.0,
        )?;
        let now = SystemClock.now_ms();
        let Some(drawn) = barcode::read(&row, now) else {
            return Ok(());
        };
        let bright = square.first().is_some_and(|green| *green > 127);
        let state = &mut *self.state();
        if state.last != Some(drawn) {
            state.last = Some(drawn);
            state.taken.seen.push((now, drawn));
        }
        if state.bright.is_some_and(|before| before != bright) {
            state.taken.turned.push(now);
        }
        state.bright = Some(bright);
        Ok(())
    }

    /// How green a row of pixels is; empty where it is not on the screen.
    fn row(&self, x: f64, y: f64, width: f64) -> Result<Vec<u8>> {
        let fits = |at: f64, width: f64, bound: u16| {
            (at >= 0.0 && at + width <= f64::from(bound)).then_some(at as i16)
        };
        let (Some(x), Some(y)) = (fits(x, width, self.size.0), fits(y, 1.0, self.size.1)) else {
            return Ok(Vec::new());
        };
        let reply = self
            .server
            .get_image(ImageFormat::Z_PIXMAP, self.root, x, y, width as u16, 1, !0)?
            .reply()?;
        Ok(reply.data.chunks_exact(4).map(|pixel| pixel[1]).collect())
    }
}
