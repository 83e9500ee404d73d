//! What the pointer looks like, by ext-image-copy-capture's sessions for cursors.

use std::{fmt, path::Path};

use async_trait::async_trait;
use bytes::Bytes;
use helix_proto::desktop::{Cursor, Image, Size};
use wayland_client::protocol::wl_seat::WlSeat;

use super::{
    copying::{Globals, Said, Session, Step},
    line::{self, Line, lacks},
    memory::Shared,
};
use crate::{Error, ErrorKind, cursor::Cursors, screenshot};

/// Copies that fail in a row at most.
const TRIES: u32 = 20;

/// What a compositor's pointer looks like.
pub struct WaylandCursors {
    line: Line<Said>,
    globals: Globals,
    seat: WlSeat,
    /// Once there is a pointer.
    session: Option<Session>,
    image: Option<Picture>,
    told: Option<Cursor>,
}

/// What it looked like last.
struct Picture {
    size: Size,
    png: Bytes,
}

impl fmt::Debug for WaylandCursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaylandCursors").finish_non_exhaustive()
    }
}

impl WaylandCursors {
    /// Connects to the compositor that listens at `socket`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the compositor lacks the protocol; other kinds where
    /// nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let fresh = line::connect::<Said>(socket).await?;
        let globals = Globals::bind(&fresh)?;
        let seat = fresh.globals.bind(&globals.queue, 1..=1, ());
        let seat = seat.map_err(|_| lacks("seat"))?;
        Ok(Self {
            line: fresh.with(Said::default())?,
            globals,
            seat,
            session: None,
            image: None,
            told: None,
        })
    }

    fn begin(&mut self) {
        let Globals {
            manager,
            source,
            queue,
            ..
        } = &self.globals;
        let pointer = self.seat.get_pointer(queue, ());
        let cursor = manager.create_pointer_cursor_session(source, &pointer, queue, ());
        let make = |number| cursor.get_capture_session(queue, number);
        self.session = Some(Session::begin(&mut self.line.state, make));
    }

    /// What there is to tell, if anything.
    fn look(&self) -> Option<Cursor> {
        if !self.line.state.entered {
            return Some(Cursor::Hidden);
        }
        let Picture { size, png } = self.image.as_ref()?;
        let within = |at: i32, side: u16| u16::try_from(at).unwrap_or(0).min(side - 1);
        let (x, y) = self.line.state.hotspot;
        Some(Cursor::Image(Image {
            hotspot_x: within(x, size.width()),
            hotspot_y: within(y, size.height()),
            size: *size,
            png: png.clone(),
        }))
    }
}

#[async_trait]
impl Cursors for WaylandCursors {
    async fn next(&mut self) -> Result<Cursor, Error> {
        let mut tries = 0;
        loop {
            if self.session.is_none() && self.line.state.has_pointer {
                self.begin();
            }
            let step = match &mut self.session {
                Some(session) => session.step(&mut self.line.state, &self.globals)?,
                None => Step::Wait,
            };
            match step {
                Step::Ready(_) => {
                    let memory = self.session.as_ref().and_then(Session::memory);
                    self.image = memory.map(picture).transpose()?;
                    tries = 0;
                    continue;
                }
                Step::Failed if tries == TRIES => {
                    let why = format!("the compositor failed to copy its pointer {TRIES} times");
                    return Err(Error::new(ErrorKind::Failed, why));
                }
                Step::Failed => {
                    tries += 1;
                    continue;
                }
                Step::Wait => {}
            }
            if let Some(look) = self.look()
                && self.told.as_ref() != Some(&look)
            {
                self.told = Some(look.clone());
                return Ok(look);
            }
            self.line.dispatch().await?;
        }
    }
}

fn picture(memory: &Shared) -> Result<Picture, Error> {
    let (width, height) = (memory.shape.width, memory.shape.height);
    let size = u16::try_from(width)
        .ok()
        .zip(u16::try_from(height).ok())
        .and_then(|(width, height)| Size::new(width, height));
    let size = size.ok_or_else(|| {
        let why = format!("a pointer of {width}x{height} is too large");
        Error::new(ErrorKind::Unsupported, why)
    })?;
    let pixels = memory.bytes().chunks_exact(4);
    let rgba: Vec<u8> = pixels
        .flat_map(|pixel| screenshot::straight([pixel[3], pixel[2], pixel[1], pixel[0]]))
        .collect();
    let png = screenshot::png(&rgba, png::ColorType::Rgba, size)?;
    Ok(Picture {
        size,
        png: Bytes::from(png),
    })
}
