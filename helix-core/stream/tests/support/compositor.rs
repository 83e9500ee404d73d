//! A compositor of ext-image-copy-capture, without anything else: what Debian's Sway has not.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use wayland_protocols::ext::{
    image_capture_source::v1::server::{
        ext_image_capture_source_v1::{self as source, ExtImageCaptureSourceV1 as Source},
        ext_output_image_capture_source_manager_v1::{
            self as sources, ExtOutputImageCaptureSourceManagerV1 as Sources,
        },
    },
    image_copy_capture::v1::server::{
        ext_image_copy_capture_cursor_session_v1::{
            self as cursor, ExtImageCopyCaptureCursorSessionV1 as CursorSession,
        },
        ext_image_copy_capture_frame_v1::{
            self as frame, ExtImageCopyCaptureFrameV1 as Frame, FailureReason,
        },
        ext_image_copy_capture_manager_v1::{
            self as manager, ExtImageCopyCaptureManagerV1 as Manager,
        },
        ext_image_copy_capture_session_v1::{
            self as session, ExtImageCopyCaptureSessionV1 as Session,
        },
    },
};
use wayland_server::{
    Client, DataInit, Dispatch, Display, DisplayHandle, GlobalDispatch, ListeningSocket, New,
    Resource as _, WEnum,
    backend::ClientData,
    protocol::{
        wl_buffer::{self, WlBuffer},
        wl_output::{self, WlOutput},
        wl_pointer::{self, WlPointer},
        wl_seat::{self, Capability, WlSeat},
        wl_shm::{self, Format, WlShm},
        wl_shm_pool::{self, WlShmPool},
    },
};

/// What the test tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Every pixel is this: blue, green, red, alpha.
    Paint([u8; 4]),
    /// The output has another size.
    Resize(u32, u32),
    /// The pointer looks like this, in two by one pixels, and points there.
    Point { pixel: [u8; 4], hotspot: (i32, i32) },
    /// The pointer is not over the output any more.
    Leave,
    /// No more pictures of any session.
    Stop,
    /// It ends.
    End,
}

/// What it has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Frames that were copied, of the output.
    pub(crate) frames: u32,
    /// Of those, how many the whole buffer had to be written for.
    pub(crate) whole: u32,
}

/// A compositor in a thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Compositor {
    pub(crate) socket: PathBuf,
    orders: mpsc::Sender<Order>,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Compositor {
    pub(crate) fn start(socket: PathBuf, size: (u32, u32)) -> Self {
        let listening = ListeningSocket::bind_absolute(socket.clone()).unwrap();
        let (orders, ordered) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let told = seen.clone();
        thread::spawn(move || serve(&listening, &ordered, size, told));
        Self {
            socket,
            orders,
            seen,
        }
    }

    pub(crate) fn order(&self, order: Order) {
        // One that has ended hears nothing.
        let _ = self.orders.send(order);
    }
}

impl Drop for Compositor {
    fn drop(&mut self) {
        self.order(Order::End);
    }
}

struct Nobody;
impl ClientData for Nobody {}

fn serve(
    listening: &ListeningSocket,
    orders: &mpsc::Receiver<Order>,
    size: (u32, u32),
    seen: Arc<Mutex<Seen>>,
) {
    let mut display = Display::<State>::new().unwrap();
    let mut handle = display.handle();
    handle.create_global::<State, WlShm, ()>(1, ());
    handle.create_global::<State, WlOutput, ()>(4, ());
    handle.create_global::<State, WlSeat, ()>(1, ());
    handle.create_global::<State, Sources, ()>(1, ());
    handle.create_global::<State, Manager, ()>(1, ());
    let mut state = State {
        size,
        pixel: [1, 2, 3, 255],
        pointer: None,
        records: Vec::new(),
        cursors: Vec::new(),
        pending: Vec::new(),
        seen,
    };
    loop {
        if let Some(stream) = listening.accept().unwrap() {
            let stream: UnixStream = stream;
            handle.insert_client(stream, Arc::new(Nobody)).unwrap();
        }
        display.dispatch_clients(&mut state).unwrap();
        match orders.recv_timeout(Duration::from_millis(2)) {
            Ok(Order::End) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Ok(order) => state.obey(order),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        state.copy();
        display.flush_clients().unwrap();
    }
}

/// A session, of the output or of the pointer.
struct Record {
    session: Session,
    of_pointer: bool,
    /// Whether its next frame comes at once.
    due: bool,
}

/// A frame that was asked for.
struct Pending {
    frame: Frame,
    session: Session,
    buffer: WlBuffer,
    whole: bool,
}

struct State {
    size: (u32, u32),
    pixel: [u8; 4],
    pointer: Option<([u8; 4], (i32, i32))>,
    records: Vec<Record>,
    cursors: Vec<CursorSession>,
    pending: Vec<Pending>,
    seen: Arc<Mutex<Seen>>,
}

impl State {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Paint(pixel) => {
                self.pixel = pixel;
                self.change(false);
            }
            Order::Resize(width, height) => {
                self.size = (width, height);
                self.change(false);
                let records = self.records.iter().filter(|record| !record.of_pointer);
                records.for_each(|record| describe(&record.session, self.size));
            }
            Order::Point { pixel, hotspot } => {
                self.pointer = Some((pixel, hotspot));
                self.change(true);
                self.cursors
                    .iter()
                    .for_each(|cursor| place(cursor, hotspot));
            }
            Order::Leave => {
                self.pointer = None;
                self.cursors.iter().for_each(CursorSession::leave);
            }
            Order::Stop => self
                .records
                .iter()
                .for_each(|record| record.session.stopped()),
            Order::End => {}
        }
    }

    fn change(&mut self, of_pointer: bool) {
        self.records.retain(|record| record.session.is_alive());
        let records = self.records.iter_mut();
        records
            .filter(|record| record.of_pointer == of_pointer)
            .for_each(|record| record.due = true);
    }

    /// Copies what is due.
    fn copy(&mut self) {
        self.pending.retain(|pending| pending.frame.is_alive());
        for pending in std::mem::take(&mut self.pending) {
            let record = self
                .records
                .iter_mut()
                .find(|record| record.session == pending.session);
            let Some(record) = record.filter(|record| record.due) else {
                self.pending.push(pending);
                continue;
            };
            let (pixel, size) = match (record.of_pointer, self.pointer) {
                (false, _) => (self.pixel, self.size),
                (true, Some((pixel, _))) => (pixel, (2, 1)),
                (true, None) => {
                    self.pending.push(pending);
                    continue;
                }
            };
            let buffer: &Arc<Buffer> = pending.buffer.data().unwrap();
            if buffer.size != size {
                pending.frame.failed(FailureReason::BufferConstraints);
                continue;
            }
            let bytes = pixel.repeat((size.0 * size.1) as usize);
            rustix::io::pwrite(&buffer.memory.0, &bytes, 0).unwrap();
            record.due = false;
            if !record.of_pointer {
                let mut seen = self.seen.lock().unwrap();
                seen.frames += 1;
                seen.whole += u32::from(pending.whole);
            }
            let side = |side: u32| i32::try_from(side).unwrap();
            pending.frame.damage(0, 0, side(size.0), side(size.1));
            pending.frame.presentation_time(0, 1, 0);
            pending.frame.ready();
        }
    }
}

/// Says that the pointer is there, and where it points.
fn place(cursor: &CursorSession, (x, y): (i32, i32)) {
    cursor.enter();
    cursor.position(5, 5);
    cursor.hotspot(x, y);
}

/// Says what buffers have to be like.
fn describe(session: &Session, (width, height): (u32, u32)) {
    session.buffer_size(width, height);
    session.shm_format(Format::Xbgr8888);
    session.shm_format(Format::Argb8888);
    session.done();
}

struct Memory(OwnedFd);

struct Buffer {
    memory: Arc<Memory>,
    size: (u32, u32),
}

impl GlobalDispatch<WlShm, ()> for State {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        shm: New<WlShm>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(shm, ()).format(Format::Argb8888);
    }
}

impl Dispatch<WlShm, ()> for State {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &WlShm,
        request: wl_shm::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let wl_shm::Request::CreatePool { id, fd, .. } = request {
            init.init(id, Arc::new(Memory(fd)));
        }
    }
}

impl Dispatch<WlShmPool, Arc<Memory>> for State {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &WlShmPool,
        request: wl_shm_pool::Request,
        memory: &Arc<Memory>,
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let wl_shm_pool::Request::CreateBuffer {
            id,
            width,
            height,
            stride,
            format,
            ..
        } = request
        {
            assert_eq!(stride, width * 4);
            assert_eq!(format, WEnum::Value(Format::Argb8888));
            let side = |side: i32| u32::try_from(side).unwrap();
            let buffer = Buffer {
                memory: memory.clone(),
                size: (side(width), side(height)),
            };
            init.init(id, Arc::new(buffer));
        }
    }
}

impl GlobalDispatch<WlOutput, ()> for State {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        output: New<WlOutput>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(output, ());
    }
}

impl GlobalDispatch<WlSeat, ()> for State {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        seat: New<WlSeat>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(seat, ()).capabilities(Capability::Pointer);
    }
}

impl Dispatch<WlSeat, ()> for State {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &WlSeat,
        request: wl_seat::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let wl_seat::Request::GetPointer { id } = request {
            init.init(id, ());
        }
    }
}

impl GlobalDispatch<Sources, ()> for State {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        sources: New<Sources>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(sources, ());
    }
}

impl Dispatch<Sources, ()> for State {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &Sources,
        request: sources::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let sources::Request::CreateSource { source, .. } = request {
            init.init(source, ());
        }
    }
}

impl GlobalDispatch<Manager, ()> for State {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        manager: New<Manager>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(manager, ());
    }
}

impl Dispatch<Manager, ()> for State {
    fn request(
        state: &mut Self,
        _: &Client,
        _: &Manager,
        request: manager::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            manager::Request::CreateSession {
                session, options, ..
            } => {
                // Without the pointer.
                assert_eq!(options, WEnum::Value(manager::Options::empty()));
                let session = init.init(session, ());
                describe(&session, state.size);
                state.records.push(Record {
                    session,
                    of_pointer: false,
                    due: true,
                });
            }
            manager::Request::CreatePointerCursorSession { session, .. } => {
                let cursor = init.init(session, ());
                if let Some((_, hotspot)) = state.pointer {
                    place(&cursor, hotspot);
                }
                state.cursors.push(cursor);
            }
            _ => {}
        }
    }
}

impl Dispatch<CursorSession, ()> for State {
    fn request(
        state: &mut Self,
        _: &Client,
        _: &CursorSession,
        request: cursor::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let cursor::Request::GetCaptureSession { session } = request {
            let session = init.init(session, ());
            describe(&session, (2, 1));
            state.records.push(Record {
                session,
                of_pointer: true,
                due: true,
            });
        }
    }
}

/// What a frame is told before it is asked for.
type Told = (Session, Mutex<(Option<WlBuffer>, bool)>);

impl Dispatch<Session, ()> for State {
    fn request(
        state: &mut Self,
        _: &Client,
        session: &Session,
        request: session::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let session::Request::CreateFrame { frame } = request {
            let pending = state.pending.iter();
            let other = pending.filter(|it| it.session == *session && it.frame.is_alive());
            assert_eq!(other.count(), 0, "a second frame of a session");
            let told: Told = (session.clone(), Mutex::default());
            init.init(frame, told);
        }
    }
}

impl Dispatch<Frame, Told> for State {
    fn request(
        state: &mut Self,
        _: &Client,
        frame: &Frame,
        request: frame::Request,
        (session, told): &Told,
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        let mut told = told.lock().unwrap();
        match request {
            frame::Request::AttachBuffer { buffer } => told.0 = Some(buffer),
            frame::Request::DamageBuffer { .. } => told.1 = true,
            frame::Request::Capture => state.pending.push(Pending {
                frame: frame.clone(),
                session: session.clone(),
                buffer: told.0.take().expect("a buffer"),
                whole: told.1,
            }),
            _ => {}
        }
    }
}

macro_rules! quiet {
    ($($object:ty, $data:ty => $request:ty;)*) => {$(
        impl Dispatch<$object, $data> for State {
            fn request(
                _: &mut Self,
                _: &Client,
                _: &$object,
                _: $request,
                _: &$data,
                _: &DisplayHandle,
                _: &mut DataInit<'_, Self>,
            ) {
            }
        }
    )*};
}

quiet! {
    WlOutput, () => wl_output::Request;
    WlPointer, () => wl_pointer::Request;
    Source, () => source::Request;
    WlBuffer, Arc<Buffer> => wl_buffer::Request;
}
