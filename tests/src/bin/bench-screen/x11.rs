//! As a client of an X server: one window over the whole screen.

use std::{collections::VecDeque, fs::File, time::Duration};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use x11rb::{
    connection::{Connection as _, RequestConnection as _},
    protocol::{
        Event,
        shm::{self, ConnectionExt as _},
        xproto::{
            ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, ImageFormat, WindowClass,
        },
    },
    rust_connection::RustConnection,
};

use super::{
    Screen, memory,
    picture::{HEIGHT, WIDTH},
};

/// An X server says nothing of when a picture was shown: sixty a second, as toolkits do.
const BETWEEN: Duration = Duration::from_nanos(16_666_667);

pub(super) fn run(mut screen: Screen) -> Result<()> {
    let (server, number) = RustConnection::connect(None).context("no X server")?;
    let root = &server.setup().roots[number];
    let (width, height) = (WIDTH as u16, HEIGHT as u16);
    server
        .extension_information(shm::X11_EXTENSION_NAME)?
        .context("no shared memory")?;
    let window = server.generate_id()?;
    let events = EventMask::KEY_PRESS | EventMask::EXPOSURE;
    let look = CreateWindowAux::new().event_mask(events);
    server.create_window(
        root.root_depth,
        window,
        root.root,
        0,
        0,
        width,
        height,
        0,
        WindowClass::INPUT_OUTPUT,
        0,
        &look,
    )?;
    server.map_window(window)?;
    let context = server.generate_id()?;
    server.create_gc(context, window, &CreateGCAux::new())?;
    // Those that the server is not reading from.
    let mut free = VecDeque::<(u32, File)>::new();
    for _ in 0..2 {
        let (segment, file) = (server.generate_id()?, memory()?);
        server.shm_attach_fd(segment, file.try_clone()?, true)?;
        free.push_back((segment, file));
    }
    let mut read = VecDeque::new();
    loop {
        server.flush()?;
        let mut event = server.poll_for_event()?;
        let due = if free.is_empty() {
            None
        } else {
            screen.due(BETWEEN)
        };
        if event.is_none() && due != Some(Duration::ZERO) {
            let wait = due.map(rustix::event::Timespec::try_from).transpose()?;
            poll(
                &mut [PollFd::new(server.stream(), PollFlags::IN)],
                wait.as_ref(),
            )?;
            event = server.poll_for_event()?;
        }
        match event {
            // Codes are Linux's and eight.
            Some(Event::KeyPress(key)) => screen.pressed(u32::from(key.detail).saturating_sub(8)),
            Some(Event::Expose(_)) => screen.changed = true,
            Some(Event::ShmCompletion(_)) => free.extend(read.pop_front()),
            Some(Event::Error(error)) => anyhow::bail!("the X server refuses: {error:?}"),
            _ => {}
        }
        if screen.due(BETWEEN) == Some(Duration::ZERO)
            && let Some((segment, file)) = free.pop_front()
        {
            screen.draw(&file)?;
            server.shm_put_image(
                window,
                context,
                width,
                height,
                0,
                0,
                width,
                height,
                0,
                0,
                root.root_depth,
                u8::from(ImageFormat::Z_PIXMAP),
                true,
                segment,
                0,
            )?;
            read.push_back((segment, file));
        }
    }
}
