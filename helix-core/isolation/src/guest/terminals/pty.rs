//! A pseudo terminal.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, fcntl_setfl},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::guest::users::User;

/// The side of a terminal that a viewer reads and writes.
#[derive(Debug)]
pub(crate) struct Master(AsyncFd<OwnedFd>);

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) cols: u16,
    pub(crate) rows: u16,
}

/// Opens a terminal that belongs to `user`: its master, and the side for its program.
/// Needs no path: the other side is had from the master itself.
pub(crate) fn open(user: &User, size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    set_size(&master, size)?;
    if rustix::process::geteuid().is_root() {
        fchown(&slave, Some(Uid::from_raw(user.uid)), None::<Gid>)?;
        fchmod(&slave, Mode::RUSR | Mode::WUSR | Mode::WGRP)?;
    }
    fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
    Ok((master, slave))
}

fn set_size(master: impl std::os::fd::AsFd, size: Size) -> io::Result<()> {
    let Size { cols, rows } = size;
    Ok(tcsetwinsize(
        master,
        Winsize {
            ws_col: cols,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?)
}

impl Master {
    pub(crate) fn new(master: OwnedFd) -> io::Result<Self> {
        // SAFETY: it owns an open descriptor, which nothing closes or replaces.
        let master = unsafe { AsyncFd::register(master) }?;
        Ok(Self(master))
    }

    /// Reads what the program wrote: nothing when nobody holds the other side any more.
    pub(crate) async fn read(&self, most: usize) -> Vec<u8> {
        let read = |master: &OwnedFd| {
            let mut bytes = Vec::with_capacity(most);
            rustix::io::read(master, rustix::buffer::spare_capacity(&mut bytes))?;
            Ok(bytes)
        };
        // A terminal without its other side fails with EIO.
        self.0
            .async_io(Interest::READABLE, read)
            .await
            .unwrap_or_default()
    }

    /// Writes all of it, as fast as the program reads.
    pub(crate) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = |master: &OwnedFd| Ok(rustix::io::write(master, bytes)?);
            let written = self.0.async_io(Interest::WRITABLE, write).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    pub(crate) fn resize(&self, size: Size) -> io::Result<()> {
        set_size(self.0.get_ref().as_fd(), size)
    }
}
