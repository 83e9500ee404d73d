//! Pictures by wlr-screencopy.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use helix_base::Clock;
use helix_proto::desktop::Size;
use wayland_client::{
    Connection, Dispatch, QueueHandle, WEnum, delegate_noop,
    globals::GlobalListContents,
    protocol::{
        wl_buffer::WlBuffer,
        wl_output::WlOutput,
        wl_registry::{self, WlRegistry},
        wl_shm::{Format, WlShm},
        wl_shm_pool::WlShmPool,
    },
};
use wayland_protocols_wlr::screencopy::v1::client::{
    zwlr_screencopy_frame_v1::{self as frame, ZwlrScreencopyFrameV1 as Frame},
    zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1 as Manager,
};

use super::{
    line::{self, Line, lacks},
    memory::{Shape, Shared},
};
use crate::{
    Error, ErrorKind,
    capture::{Capture, Shot, Want},
};

/// A copy fails when the output changes meanwhile: it is tried again, this often in a row.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(20);

/// Pictures of a compositor's first output.
pub struct WaylandCapture {
    line: Line<Copying>,
    manager: Manager,
    output: WlOutput,
    shm: WlShm,
    queue: QueueHandle<Copying>,
    memory: Option<Shared>,
    /// The copy that was asked for.
    asked: Option<Asked>,
    /// Whether a picture was given before.
    begun: bool,
    clock: Arc<dyn Clock>,
}

/// A copy that was asked for.
struct Asked {
    frame: Frame,
    want: Want,
    /// Whether the compositor knows where to copy to.
    copying: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.frame.destroy();
    }
}

/// What the compositor has said of the copy.
#[derive(Debug, Default)]
struct Copying {
    /// Which copy this is about: what was said of another before does not count.
    number: u64,
    shape: Option<Shape>,
    shapes_done: bool,
    inverted: bool,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// When the picture was on the output, by the machine's monotonic clock.
    Ready(Duration),
    Failed,
}

impl fmt::Debug for WaylandCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaylandCapture").finish_non_exhaustive()
    }
}

impl WaylandCapture {
    /// Connects to the compositor that listens at `socket`.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or the compositor has no wlr-screencopy 3 or no output.
    pub async fn connect(socket: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let fresh = line::connect::<Copying>(socket).await?;
        let queue = fresh.queue.handle();
        let globals = &fresh.globals;
        let manager = globals.bind(&queue, 3..=3, ());
        let manager = manager.map_err(|_| lacks("wlr-screencopy 3"))?;
        let output = globals
            .bind(&queue, 1..=4, ())
            .map_err(|_| lacks("output"))?;
        let shm = globals
            .bind(&queue, 1..=1, ())
            .map_err(|_| lacks("shared memory"))?;
        Ok(Self {
            line: fresh.with(Copying::default())?,
            manager,
            output,
            shm,
            queue,
            memory: None,
            asked: None,
            begun: false,
            clock,
        })
    }

    fn ask(&mut self, want: Want) {
        let number = self.line.state.number + 1;
        self.line.state = Copying {
            number,
            ..Copying::default()
        };
        // Without the pointer.
        let frame = self
            .manager
            .capture_output(0, &self.output, &self.queue, number);
        self.asked = Some(Asked {
            frame,
            want,
            copying: false,
        });
    }

    /// Tells where to copy to, once the compositor has said what it needs.
    fn copy(&mut self) -> Result<(), Error> {
        let state = &self.line.state;
        let Some(asked) = self.asked.as_mut().filter(|asked| !asked.copying) else {
            return Ok(());
        };
        if !state.shapes_done {
            return Ok(());
        }
        let Some(shape) = state.shape else {
            let why = "the compositor gives no picture in a format that is known here";
            return Err(Error::new(ErrorKind::Unsupported, why));
        };
        if self
            .memory
            .as_ref()
            .is_none_or(|memory| memory.shape != shape)
        {
            self.memory = Some(Shared::new(&self.shm, &self.queue, shape)?);
        }
        if let Some(memory) = &self.memory {
            asked.copying = true;
            match asked.want {
                Want::Changed => asked.frame.copy_with_damage(&memory.buffer),
                Want::Now => asked.frame.copy(&memory.buffer),
            }
        }
        Ok(())
    }

    /// Waits for a copy; when it was on the output.
    async fn copied(&mut self, want: Want) -> Result<Duration, Error> {
        // Where nothing changes, the first would never come.
        let want = if self.begun { want } else { Want::Now };
        let mut tries = 0;
        loop {
            let waits = self.asked.as_ref().map(|asked| asked.want);
            // A copy of now is a change, too.
            if waits.is_none_or(|waits| waits == Want::Changed && want == Want::Now) {
                self.ask(want);
            }
            self.copy()?;
            match self.line.state.outcome {
                None => self.line.dispatch().await?,
                Some(Outcome::Ready(at)) => {
                    self.asked = None;
                    self.begun = true;
                    return Ok(at);
                }
                Some(Outcome::Failed) => {
                    self.asked = None;
                    tries += 1;
                    if tries == TRIES {
                        let why =
                            format!("the compositor failed to copy its picture {TRIES} times");
                        return Err(Error::new(ErrorKind::Failed, why));
                    }
                    tokio::time::sleep(BETWEEN).await;
                }
            }
        }
    }
}

#[async_trait]
impl Capture for WaylandCapture {
    async fn next(&mut self, want: Want) -> Result<Shot<'_>, Error> {
        let at = self.copied(want).await?;
        let Some(memory) = &self.memory else {
            return Err(Error::new(ErrorKind::Failed, "a picture without memory"));
        };
        if self.line.state.inverted {
            let why = "the compositor paints upside down: run it with WLR_RENDERER=pixman";
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        shot(memory, Some(at), &*self.clock)
    }
}

/// The picture in this memory, that was to be seen `at` some time of the machine's monotonic
/// clock, or now.
pub(super) fn shot<'a>(
    memory: &'a Shared,
    at: Option<Duration>,
    clock: &dyn Clock,
) -> Result<Shot<'a>, Error> {
    let Shape {
        width,
        height,
        stride,
        ..
    } = memory.shape;
    let side = |side| u16::try_from(side).unwrap_or(u16::MAX);
    let size = Size::new(side(width), side(height)).ok_or_else(|| {
        let why = format!("an output of {width}x{height} is too large");
        Error::new(ErrorKind::Unsupported, why)
    })?;
    let (now, monotonic) = (clock.now(), monotonic());
    let took = at.map_or(Duration::ZERO, |at| monotonic.saturating_sub(at));
    let took = took.min(Duration::from_secs(1));
    Ok(Shot {
        pixels: memory.bytes(),
        stride: stride as usize,
        size,
        captured: now.checked_sub(took).unwrap_or(now),
        took,
    })
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

impl Dispatch<Frame, u64> for Copying {
    fn event(
        state: &mut Self,
        _: &Frame,
        event: frame::Event,
        number: &u64,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if state.number != *number {
            return;
        }
        match event {
            frame::Event::Buffer {
                format: WEnum::Value(format @ (Format::Xrgb8888 | Format::Argb8888)),
                width,
                height,
                stride,
            } => {
                state.shape = Some(Shape {
                    format,
                    width,
                    height,
                    stride,
                });
            }
            frame::Event::BufferDone => state.shapes_done = true,
            frame::Event::Flags { flags } => {
                let inverted = frame::Flags::YInvert;
                state.inverted = matches!(flags, WEnum::Value(flags) if flags.contains(inverted));
            }
            frame::Event::Ready {
                tv_sec_hi,
                tv_sec_lo,
                tv_nsec,
            } => {
                let seconds = u64::from(tv_sec_hi) << 32 | u64::from(tv_sec_lo);
                let at = Duration::from_secs(seconds) + Duration::from_nanos(tv_nsec.into());
                state.outcome = Some(Outcome::Ready(at));
            }
            frame::Event::Failed => state.outcome = Some(Outcome::Failed),
            _ => {}
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Copying {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(Copying: Manager);
delegate_noop!(Copying: ignore WlOutput);
delegate_noop!(Copying: ignore WlShm);
delegate_noop!(Copying: WlShmPool);
delegate_noop!(Copying: ignore WlBuffer);
