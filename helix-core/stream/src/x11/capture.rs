//! Pictures by MIT-SHM, when DAMAGE tells of a change.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use helix_base::Clock;
use helix_proto::desktop::Size;
use memmap2::{Mmap, MmapOptions};
use x11rb::{
    connection::Connection as _,
    protocol::{
        Event,
        damage::{ConnectionExt as _, Damage, ReportLevel},
        shm::{ConnectionExt as _, Seg},
        xfixes::ConnectionExt as _,
        xproto::{
            ChangeWindowAttributesAux, ConnectionExt as _, EventMask, GetGeometryReply, ImageFormat,
        },
    },
};

use super::line::{Connection, Display, Line, ask, gone, lacks};
use crate::{
    Error, ErrorKind,
    capture::{Capture, Shot, Want},
    memory,
};

/// A picture fails when the size changes meanwhile: it is tried again, this often in a row.
const TRIES: u32 = 20;

/// Pictures of an X server's screen.
pub struct X11Capture {
    line: Line,
    damage: Damage,
    memory: Option<Shared>,
    /// Whether something may have changed since the last picture.
    changed: bool,
    clock: Arc<dyn Clock>,
}

/// Memory that the server writes to and we read.
struct Shared {
    segment: Seg,
    size: Size,
    map: Mmap,
}

impl fmt::Debug for X11Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X11Capture").finish_non_exhaustive()
    }
}

impl X11Capture {
    /// Connects to an X server.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or the server lacks an extension.
    pub async fn connect(display: &Display, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let line = Line::connect(display).await?;
        let root = line.root;
        let prepare = move |connection: &Connection| prepare(connection, root);
        let damage = ask(&line.connection, prepare).await?;
        Ok(Self {
            line,
            damage,
            memory: None,
            changed: true,
            clock,
        })
    }

    /// Takes note of what is known already.
    fn catch_up(&mut self) -> Result<(), Error> {
        while let Some(event) = self.line.poll()? {
            self.note(&event)?;
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            Event::DamageNotify(_) | Event::ConfigureNotify(_) => self.changed = true,
            // Answers are waited for elsewhere: only what has none ends here.
            Event::Error(why) => return Err(gone(format!("{why:?}"))),
            _ => {}
        }
        Ok(())
    }

    /// The size that the screen has now, after which every change is told of again.
    async fn look(&self) -> Result<Size, Error> {
        let (damage, root) = (self.damage, self.line.root);
        let look = move |connection: &Connection| {
            let told = connection.damage_subtract(damage, x11rb::NONE, x11rb::NONE);
            told.map_err(gone)?;
            let geometry = connection.get_geometry(root).map_err(gone)?;
            geometry.reply().map_err(gone)
        };
        let GetGeometryReply { width, height, .. } = ask(&self.line.connection, look).await?;
        Size::new(width, height).ok_or_else(|| {
            let why = format!("a screen of {width}x{height} is too large");
            Error::new(ErrorKind::Unsupported, why)
        })
    }

    /// Memory for a picture of this size.
    async fn remember(&mut self, size: Size) -> Result<Seg, Error> {
        if let Some(memory) = self.memory.as_ref().filter(|memory| memory.size == size) {
            return Ok(memory.segment);
        }
        let before = self.memory.take().map(|memory| memory.segment);
        let share = move |connection: &Connection| share(connection, size, before);
        let memory = ask(&self.line.connection, share).await?;
        let segment = memory.segment;
        self.memory = Some(memory);
        Ok(segment)
    }

    /// Has the server write a picture; none where the size is another by now.
    async fn copy(&mut self) -> Result<Option<Size>, Error> {
        let size = self.look().await?;
        let (segment, root) = (self.remember(size).await?, self.line.root);
        let copy = move |connection: &Connection| {
            let (width, height) = (size.width(), size.height());
            let format = ImageFormat::Z_PIXMAP.into();
            let asked = connection.shm_get_image(root, 0, 0, width, height, !0, format, segment, 0);
            match asked.map_err(gone)?.reply() {
                Ok(_) => Ok(Some(size)),
                Err(x11rb::errors::ReplyError::X11Error(_)) => Ok(None),
                Err(why) => Err(gone(why)),
            }
        };
        ask(&self.line.connection, copy).await
    }
}

fn prepare(connection: &Connection, root: u32) -> Result<Damage, Error> {
    let version = connection.xfixes_query_version(5, 0).map_err(gone)?;
    version.reply().map_err(|why| lacks("XFIXES", why))?;
    let version = connection.damage_query_version(1, 1).map_err(gone)?;
    version.reply().map_err(|why| lacks("DAMAGE", why))?;
    let version = connection.shm_query_version().map_err(gone)?;
    let version = version.reply().map_err(|why| lacks("MIT-SHM", why))?;
    if (version.major_version, version.minor_version) < (1, 2) {
        return Err(lacks("MIT-SHM 1.2", "it is older"));
    }
    let screen = connection.setup().roots.first();
    if screen.is_none_or(|screen| screen.root_depth != 24) {
        let why = "the X server's screen has another depth than 24";
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let damage = connection.generate_id().map_err(gone)?;
    let created = connection.damage_create(damage, root, ReportLevel::NON_EMPTY);
    created.map_err(gone)?;
    let events = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
    let selected = connection.change_window_attributes(root, &events);
    selected.map_err(gone)?.check().map_err(gone)?;
    Ok(damage)
}

fn share(connection: &Connection, size: Size, before: Option<Seg>) -> Result<Shared, Error> {
    let failed = |why: &dyn fmt::Display| Error::failed("no memory for a picture", why);
    if let Some(before) = before {
        connection.shm_detach(before).map_err(gone)?;
    }
    let bytes = size.pixels() as u64 * 4;
    let file = memory::file("helix-capture", bytes).map_err(|why| failed(&why))?;
    // SAFETY: the file is ours and cannot shrink; the server writes into it, but only between
    // a request for a picture and its answer, when nobody reads here.
    let map = unsafe { MmapOptions::new().map(&file) }.map_err(|why| failed(&why))?;
    let segment = connection.generate_id().map_err(gone)?;
    let attached = connection.shm_attach_fd(segment, file, false);
    let attached = attached.map_err(gone)?.check();
    attached.map_err(|why| lacks("MIT-SHM by files", why))?;
    Ok(Shared { segment, size, map })
}

#[async_trait]
impl Capture for X11Capture {
    async fn next(&mut self, want: Want) -> Result<Shot<'_>, Error> {
        self.catch_up()?;
        while want == Want::Changed && !self.changed {
            let event = self.line.event().await?;
            self.note(&event)?;
            self.catch_up()?;
        }
        let captured = self.clock.now();
        let mut tries = 0;
        let size = loop {
            // Dropped while it waits, it has still to be given.
            self.changed = true;
            if let Some(size) = self.copy().await? {
                break size;
            }
            tries += 1;
            if tries == TRIES {
                let why = format!("the X server failed to copy its picture {TRIES} times");
                return Err(Error::new(ErrorKind::Failed, why));
            }
        };
        self.changed = false;
        // What came with the answers is of before or after: it counts once more at worst.
        let Some(memory) = &self.memory else {
            return Err(Error::new(ErrorKind::Failed, "a picture without memory"));
        };
        Ok(Shot {
            pixels: &memory.map,
            stride: usize::from(size.width()) * 4,
            size,
            captured,
            took: self.clock.now().saturating_duration_since(captured),
        })
    }
}
