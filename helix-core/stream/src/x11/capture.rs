//! Pictures by MIT-SHM, when DAMAGE tells of a change.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use helix_base::Clock;
use helix_proto::desktop::Size;
use memmap2::{Mmap, MmapOptions};
use tokio::{task::JoinHandle, time::timeout};
use x11rb::{
    connection::Connection as _,
    errors::ReplyError,
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
/// How long a picture may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Pictures of an X server's screen.
pub struct X11Capture {
    line: Line,
    damage: Damage,
    memory: Option<Shared>,
    /// The picture that is being taken, and since when.
    taking: Option<(JoinHandle<Result<Shared, Error>>, Instant)>,
    /// Whether something may have changed since the last picture was begun.
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
            taking: None,
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

    /// Begins to take a picture, which goes on when nobody waits for it.
    fn begin(&mut self) {
        let connection = Arc::clone(&self.line.connection);
        let (root, damage, memory) = (self.line.root, self.damage, self.memory.take());
        self.changed = false;
        let take = move || take(&connection, root, damage, memory);
        let taking = tokio::task::spawn_blocking(take);
        self.taking = Some((taking, self.clock.now()));
    }

    /// Waits for the picture that is being taken; since when it was.
    async fn taken(&mut self) -> Result<Option<Instant>, Error> {
        let Some((taking, since)) = &mut self.taking else {
            return Ok(None);
        };
        let since = *since;
        let taken = timeout(WITHIN, taking).await;
        self.taking = None;
        let taken = taken.map_err(|_| {
            let why = "the X server gives no picture for 5 s";
            Error::new(ErrorKind::Timeout, why)
        })?;
        self.memory = Some(taken.map_err(gone)??);
        Ok(Some(since))
    }
}

/// Has the server write a picture into this memory, or into other where the size has changed.
fn take(
    connection: &Connection,
    root: u32,
    damage: Damage,
    mut memory: Option<Shared>,
) -> Result<Shared, Error> {
    for _ in 0..TRIES {
        // Every change after this is told of again.
        let told = connection.damage_subtract(damage, x11rb::NONE, x11rb::NONE);
        told.map_err(gone)?;
        let geometry = connection.get_geometry(root).map_err(gone)?;
        let GetGeometryReply { width, height, .. } = geometry.reply().map_err(gone)?;
        let size = Size::new(width, height).ok_or_else(|| {
            let why = format!("a screen of {width}x{height} is too large");
            Error::new(ErrorKind::Unsupported, why)
        })?;
        let shared = match memory.take() {
            Some(shared) if shared.size == size => shared,
            before => share(connection, size, before.map(|before| before.segment))?,
        };
        let (format, segment) = (ImageFormat::Z_PIXMAP.into(), shared.segment);
        let asked = connection.shm_get_image(root, 0, 0, width, height, !0, format, segment, 0);
        match asked.map_err(gone)?.reply() {
            Ok(_) => return Ok(shared),
            // The size is another by now.
            Err(ReplyError::X11Error(_)) => memory = Some(shared),
            Err(why) => return Err(gone(why)),
        }
    }
    let why = format!("the X server failed to copy its picture {TRIES} times");
    Err(Error::new(ErrorKind::Failed, why))
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
        if want == Want::Now {
            // One that was begun before is not of now.
            self.taken().await?;
            self.begin();
        }
        self.catch_up()?;
        while self.taking.is_none() {
            if self.changed {
                self.begin();
            } else {
                let event = self.line.event().await?;
                self.note(&event)?;
                self.catch_up()?;
            }
        }
        let since = self.taken().await?;
        let picture = since.zip(self.memory.as_ref());
        let (captured, memory) =
            picture.ok_or_else(|| Error::new(ErrorKind::Failed, "a picture without memory"))?;
        Ok(Shot {
            pixels: &memory.map,
            stride: usize::from(memory.size.width()) * 4,
            size: memory.size,
            captured,
            took: self.clock.now().saturating_duration_since(captured),
        })
    }
}
