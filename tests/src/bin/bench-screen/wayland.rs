//! As a client of a Wayland compositor: one window over the whole screen.

use std::{fs::File, os::fd::AsFd as _, time::Duration};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::{
    Connection, Dispatch, QueueHandle, WEnum, delegate_noop,
    globals::{GlobalListContents, registry_queue_init},
    protocol::{
        wl_buffer::{self, WlBuffer},
        wl_callback::{self, WlCallback},
        wl_compositor::WlCompositor,
        wl_keyboard::{self, KeyState, WlKeyboard},
        wl_registry::{self, WlRegistry},
        wl_seat::{self, WlSeat},
        wl_shm::{Format, WlShm},
        wl_shm_pool::WlShmPool,
        wl_surface::WlSurface,
    },
};
use wayland_protocols::xdg::shell::client::{
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};

use super::{
    Screen, memory,
    picture::{HEIGHT, WIDTH},
};

struct Client {
    screen: Screen,
    /// Whether the compositor has said how large it is to be.
    configured: bool,
    /// Whether it has yet to say that the last picture is on the screen.
    waits: bool,
    keyboard: Option<WlKeyboard>,
    buffers: Vec<Buffer>,
    closed: bool,
}

struct Buffer {
    buffer: WlBuffer,
    file: File,
    /// The compositor may be reading it.
    held: bool,
}

pub(super) fn run(screen: Screen) -> Result<()> {
    let connection = Connection::connect_to_env().context("no compositor")?;
    let (globals, mut queue) = registry_queue_init::<Client>(&connection)?;
    let handle = queue.handle();
    let compositor: WlCompositor = globals.bind(&handle, 4..=4, ())?;
    let shm: WlShm = globals.bind(&handle, 1..=1, ())?;
    let shell: XdgWmBase = globals.bind(&handle, 1..=1, ())?;
    let _seat: WlSeat = globals.bind(&handle, 1..=1, ())?;
    let surface = compositor.create_surface(&handle, ());
    let shown = shell.get_xdg_surface(&surface, &handle, ());
    let window = shown.get_toplevel(&handle, ());
    window.set_title("bench".to_owned());
    window.set_fullscreen(None);
    surface.commit();
    let mut client = Client {
        screen,
        configured: false,
        waits: false,
        keyboard: None,
        buffers: Vec::new(),
        closed: false,
    };
    while !client.closed {
        queue.dispatch_pending(&mut client)?;
        let due = client.due();
        if due == Some(Duration::ZERO) {
            client.draw(&surface, &shm, &handle)?;
            continue;
        }
        queue.flush()?;
        let Some(guard) = queue.prepare_read() else {
            continue;
        };
        let wait = due.map(Timespec::try_from).transpose()?;
        let fd = guard.connection_fd();
        if poll(&mut [PollFd::new(&fd, PollFlags::IN)], wait.as_ref())? > 0 {
            guard.read()?;
        }
    }
    Ok(())
}

impl Client {
    fn due(&self) -> Option<Duration> {
        if !self.configured || self.waits {
            return None;
        }
        self.screen.due(Duration::ZERO)
    }

    fn draw(&mut self, surface: &WlSurface, shm: &WlShm, handle: &QueueHandle<Self>) -> Result<()> {
        let free = self.buffers.iter().position(|buffer| !buffer.held);
        let at = match free {
            Some(at) => at,
            None => {
                self.buffers
                    .push(Buffer::new(shm, handle, self.buffers.len())?);
                self.buffers.len() - 1
            }
        };
        let buffer = &mut self.buffers[at];
        self.screen.draw(&buffer.file)?;
        buffer.held = true;
        surface.attach(Some(&buffer.buffer), 0, 0);
        surface.damage_buffer(0, 0, WIDTH as i32, HEIGHT as i32);
        surface.frame(handle, ());
        surface.commit();
        self.waits = true;
        Ok(())
    }
}

impl Buffer {
    fn new(shm: &WlShm, handle: &QueueHandle<Client>, number: usize) -> Result<Self> {
        let file = memory()?;
        let (width, height) = (WIDTH as i32, HEIGHT as i32);
        let pool = shm.create_pool(file.as_fd(), width * height * 4, handle, ());
        let buffer = pool.create_buffer(
            0,
            width,
            height,
            width * 4,
            Format::Xrgb8888,
            handle,
            number,
        );
        pool.destroy();
        Ok(Self {
            buffer,
            file,
            held: false,
        })
    }
}

impl Dispatch<WlBuffer, usize> for Client {
    fn event(
        client: &mut Self,
        _: &WlBuffer,
        event: wl_buffer::Event,
        number: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_buffer::Event::Release = event {
            client.buffers[*number].held = false;
        }
    }
}

impl Dispatch<WlCallback, ()> for Client {
    fn event(
        client: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        client.waits = false;
    }
}

impl Dispatch<WlSeat, ()> for Client {
    fn event(
        client: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        if let wl_seat::Event::Capabilities {
            capabilities: WEnum::Value(has),
        } = event
            && has.contains(wl_seat::Capability::Keyboard)
            && client.keyboard.is_none()
        {
            client.keyboard = Some(seat.get_keyboard(handle, ()));
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Client {
    fn event(
        client: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_keyboard::Event::Key {
            key,
            state: WEnum::Value(KeyState::Pressed),
            ..
        } = event
        {
            client.screen.pressed(key);
        }
    }
}

impl Dispatch<XdgWmBase, ()> for Client {
    fn event(
        _: &mut Self,
        shell: &XdgWmBase,
        event: xdg_wm_base::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            shell.pong(serial);
        }
    }
}

impl Dispatch<XdgSurface, ()> for Client {
    fn event(
        client: &mut Self,
        shown: &XdgSurface,
        event: xdg_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            shown.ack_configure(serial);
            client.configured = true;
            client.screen.changed = true;
        }
    }
}

impl Dispatch<XdgToplevel, ()> for Client {
    fn event(
        client: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_toplevel::Event::Close = event {
            client.closed = true;
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Client {
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

delegate_noop!(Client: WlCompositor);
delegate_noop!(Client: ignore WlShm);
delegate_noop!(Client: WlShmPool);
delegate_noop!(Client: ignore WlSurface);
