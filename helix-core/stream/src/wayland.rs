//! Desktops of a Wayland compositor that has wlroots' protocols.
//!
//! | what | protocol |
//! |---|---|
//! | [`CopyCapture`], [`WaylandCursors`] | ext-image-copy-capture 1, by shared memory, with damage |
//! | [`WaylandCapture`] | wlr-screencopy 3, likewise, where the compositor has not that |
//! | [`WaylandInput`] | wlr-virtual-pointer 2, virtual-keyboard 1 |
//! | [`WaylandClipboard`] | wlr-data-control 1 |
//! | [`sway`] | a Sway that is started, and resized by its own socket |
//!
//! Each has a connection of its own, so that none waits for another. None of them reads the
//! environment: where the compositor listens is an argument.

mod capture;
mod clipboard;
mod copy_capture;
mod copying;
mod cursor;
mod input;
mod keyboard;
mod line;
mod memory;
mod modifiers;
pub mod sway;

use std::{path::Path, sync::Arc};

use helix_base::Clock;

pub use self::{
    capture::WaylandCapture, clipboard::WaylandClipboard, copy_capture::CopyCapture,
    cursor::WaylandCursors, input::WaylandInput,
};
use crate::{Error, ErrorKind, capture::Capture, cursor::Cursors};

/// Pictures of the compositor that listens at `socket`, by the best protocol that it has.
///
/// # Errors
///
/// Where nobody listens there, or the compositor has none of the protocols.
pub async fn capture(socket: &Path, clock: Arc<dyn Clock>) -> Result<Box<dyn Capture>, Error> {
    match CopyCapture::connect(socket, Arc::clone(&clock)).await {
        Ok(capture) => Ok(Box::new(capture)),
        Err(why) if why.kind() == ErrorKind::Unsupported => {
            Ok(Box::new(WaylandCapture::connect(socket, clock).await?))
        }
        Err(why) => Err(why),
    }
}

/// What the pointer of the compositor that listens at `socket` looks like; none where it does
/// not tell.
///
/// # Errors
///
/// Where nobody listens there.
pub async fn cursors(socket: &Path) -> Result<Option<Box<dyn Cursors>>, Error> {
    match WaylandCursors::connect(socket).await {
        Ok(cursors) => Ok(Some(Box::new(cursors))),
        Err(why) if why.kind() == ErrorKind::Unsupported => Ok(None),
        Err(why) => Err(why),
    }
}
