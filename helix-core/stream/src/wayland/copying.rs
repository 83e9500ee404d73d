//! Pictures by ext-image-copy-capture: one session, and its frames one after the other.

use std::time::Duration;

use wayland_client::{
    Connection, Dispatch, QueueHandle, WEnum, delegate_noop,
    globals::GlobalListContents,
    protocol::{
        wl_buffer::WlBuffer,
        wl_output::WlOutput,
        wl_pointer::WlPointer,
        wl_registry::{self, WlRegistry},
        wl_seat::{self, WlSeat},
        wl_shm::{Format, WlShm},
        wl_shm_pool::WlShmPool,
    },
};
use wayland_protocols::ext::{
    image_capture_source::v1::client::{
        ext_image_capture_source_v1::ExtImageCaptureSourceV1 as Source,
        ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1 as Sources,
    },
    image_copy_capture::v1::client::{
        ext_image_copy_capture_cursor_session_v1::{
            self as cursor, ExtImageCopyCaptureCursorSessionV1 as CursorSession,
        },
        ext_image_copy_capture_frame_v1::{
            self as frame, ExtImageCopyCaptureFrameV1 as Frame, FailureReason,
        },
        ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1 as Manager,
        ext_image_copy_capture_session_v1::{self as session, ExtImageCopyCaptureSessionV1},
    },
};

use super::{
    line::{Fresh, lacks},
    memory::{Shape, Shared},
};
use crate::{Error, ErrorKind};

/// What the compositor has said, of the session and the frame that are the newest.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Which session, and which frame, this is about: what was said of others does not count.
    number: u64,
    size: Option<(u32, u32)>,
    format: Option<Format>,
    /// Whether size and format are all said.
    constrained: bool,
    stopped: bool,
    presented: Option<Duration>,
    outcome: Option<Outcome>,
    /// Of the pointer: whether it is over the source, where it points, whether there is one.
    pub(super) entered: bool,
    pub(super) hotspot: (i32, i32),
    pub(super) has_pointer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ready,
    /// What the buffer has to be like has changed.
    Unfit,
    Failed,
}

/// How a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The compositor has still to say something.
    Wait,
    /// It is in the memory; when it was to be seen, by the machine's monotonic clock.
    Ready(Option<Duration>),
    /// It could not be copied, and may be tried again.
    Failed,
}

/// What captures are made of.
pub(super) struct Globals {
    pub(super) manager: Manager,
    pub(super) source: Source,
    pub(super) shm: WlShm,
    pub(super) queue: QueueHandle<Said>,
}

impl Globals {
    /// Of a compositor's first output.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the compositor lacks something.
    pub(super) fn bind(fresh: &Fresh<Said>) -> Result<Self, Error> {
        let (queue, globals) = (fresh.queue.handle(), &fresh.globals);
        let manager = globals.bind(&queue, 1..=1, ());
        let manager = manager.map_err(|_| lacks("ext-image-copy-capture"))?;
        let sources = globals.bind::<Sources, _, _>(&queue, 1..=1, ());
        let sources = sources.map_err(|_| lacks("ext-image-capture-source for outputs"))?;
        let output = globals.bind::<WlOutput, _, _>(&queue, 1..=4, ());
        let output = output.map_err(|_| lacks("output"))?;
        let shm = globals.bind(&queue, 1..=1, ());
        Ok(Self {
            manager,
            source: sources.create_source(&output, &queue, ()),
            shm: shm.map_err(|_| lacks("shared memory"))?,
            queue,
        })
    }
}

/// A session, with the frame that was asked for.
pub(super) struct Session {
    session: ExtImageCopyCaptureSessionV1,
    frame: Option<Frame>,
    memory: Option<Shared>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            frame.destroy();
        }
        self.session.destroy();
    }
}

impl Session {
    /// Begins one; `make` asks the compositor for it, by the number that it is known by.
    pub(super) fn begin(
        said: &mut Said,
        make: impl FnOnce(u64) -> ExtImageCopyCaptureSessionV1,
    ) -> Self {
        let number = said.number + 1;
        *said = Said {
            number,
            entered: said.entered,
            hotspot: said.hotspot,
            has_pointer: said.has_pointer,
            ..Said::default()
        };
        Self {
            session: make(number),
            frame: None,
            memory: None,
        }
    }

    /// Goes on as far as it can.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`] where the compositor has stopped the session.
    pub(super) fn step(&mut self, said: &mut Said, globals: &Globals) -> Result<Step, Error> {
        if said.stopped {
            let why = "the compositor has stopped giving pictures";
            return Err(Error::new(ErrorKind::Ended, why));
        }
        if let Some(outcome) = said.outcome.take() {
            if let Some(frame) = self.frame.take() {
                frame.destroy();
            }
            return Ok(match outcome {
                Outcome::Ready => Step::Ready(said.presented.take()),
                Outcome::Unfit => {
                    self.memory = None;
                    Step::Failed
                }
                Outcome::Failed => Step::Failed,
            });
        }
        if self.frame.is_none() && said.constrained {
            self.ask(said, globals)?;
        }
        Ok(Step::Wait)
    }

    /// Asks for the next frame, which comes when something has changed.
    fn ask(&mut self, said: &Said, globals: &Globals) -> Result<(), Error> {
        let (Some((width, height)), Some(format)) = (said.size, said.format) else {
            let why = "the compositor gives no picture in a format that is known here";
            return Err(Error::new(ErrorKind::Unsupported, why));
        };
        let shape = Shape {
            format,
            width,
            height,
            stride: width.saturating_mul(4),
        };
        let frame = self.session.create_frame(&globals.queue, said.number);
        if self.memory.as_ref().is_none_or(|it| it.shape != shape) {
            self.memory = Some(Shared::new(&globals.shm, &globals.queue, shape)?);
            // Nothing of a picture is in it yet.
            let side = |side| i32::try_from(side).unwrap_or(i32::MAX);
            frame.damage_buffer(0, 0, side(width), side(height));
        }
        if let Some(memory) = &self.memory {
            frame.attach_buffer(&memory.buffer);
            frame.capture();
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// Where the frames are.
    pub(super) const fn memory(&self) -> Option<&Shared> {
        self.memory.as_ref()
    }
}

impl Dispatch<ExtImageCopyCaptureSessionV1, u64> for Said {
    fn event(
        said: &mut Self,
        _: &ExtImageCopyCaptureSessionV1,
        event: session::Event,
        number: &u64,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if said.number != *number {
            return;
        }
        // What comes after `Done` is another description, from its beginning.
        let begins = std::mem::take(&mut said.constrained);
        match event {
            session::Event::Stopped => said.stopped = true,
            session::Event::Done => said.constrained = true,
            _ if begins => (said.size, said.format) = (None, None),
            _ => {}
        }
        match event {
            session::Event::BufferSize { width, height } => said.size = Some((width, height)),
            session::Event::ShmFormat {
                format: WEnum::Value(format @ (Format::Xrgb8888 | Format::Argb8888)),
            } => {
                // With its alpha, where there is one.
                let known = said.format.filter(|known| *known == Format::Argb8888);
                said.format = known.or(Some(format));
            }
            _ => {}
        }
    }
}

impl Dispatch<Frame, u64> for Said {
    fn event(
        said: &mut Self,
        _: &Frame,
        event: frame::Event,
        number: &u64,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if said.number != *number {
            return;
        }
        match event {
            frame::Event::PresentationTime {
                tv_sec_hi,
                tv_sec_lo,
                tv_nsec,
            } => {
                let seconds = u64::from(tv_sec_hi) << 32 | u64::from(tv_sec_lo);
                let at = Duration::from_secs(seconds) + Duration::from_nanos(tv_nsec.into());
                said.presented = Some(at);
            }
            frame::Event::Ready => said.outcome = Some(Outcome::Ready),
            frame::Event::Failed { reason } => match reason {
                WEnum::Value(FailureReason::Stopped) => said.stopped = true,
                WEnum::Value(FailureReason::BufferConstraints) => {
                    said.outcome = Some(Outcome::Unfit);
                }
                _ => said.outcome = Some(Outcome::Failed),
            },
            _ => {}
        }
    }
}

impl Dispatch<CursorSession, ()> for Said {
    fn event(
        said: &mut Self,
        _: &CursorSession,
        event: cursor::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            cursor::Event::Enter => said.entered = true,
            cursor::Event::Leave => said.entered = false,
            cursor::Event::Hotspot { x, y } => said.hotspot = (x, y),
            _ => {}
        }
    }
}

impl Dispatch<WlSeat, ()> for Said {
    fn event(
        said: &mut Self,
        _: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_seat::Event::Capabilities {
            capabilities: WEnum::Value(has),
        } = event
        {
            said.has_pointer = has.contains(wl_seat::Capability::Pointer);
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Said {
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

delegate_noop!(Said: Manager);
delegate_noop!(Said: Sources);
delegate_noop!(Said: Source);
delegate_noop!(Said: ignore WlOutput);
delegate_noop!(Said: ignore WlPointer);
delegate_noop!(Said: ignore WlShm);
delegate_noop!(Said: WlShmPool);
delegate_noop!(Said: ignore WlBuffer);
