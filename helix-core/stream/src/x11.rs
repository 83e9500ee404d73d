//! Desktops of an X server.
//!
//! | what | extension |
//! |---|---|
//! | [`X11Capture`] | MIT-SHM by a shared file, DAMAGE |
//! | [`X11Input`] | XTEST; text by keys that no layout uses |
//! | [`X11Clipboard`] | the selection `CLIPBOARD`, XFIXES |
//! | [`X11Cursors`] | XFIXES |
//! | [`xvfb`] | an Xvfb that is started, and resized by RANDR |
//!
//! Each has a connection of its own, so that none waits for another. None of them reads the
//! environment: where the server listens is an argument.

mod capture;
mod clipboard;
mod cursor;
mod input;
mod keys;
mod line;
mod manager;
mod resize;
mod selection;
pub mod xvfb;

pub use self::{
    capture::X11Capture, clipboard::X11Clipboard, cursor::X11Cursors, input::X11Input,
    line::Display,
};
