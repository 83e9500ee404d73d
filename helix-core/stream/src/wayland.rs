//! Desktops of a Wayland compositor that has wlroots' protocols.
//!
//! | what | protocol |
//! |---|---|
//! | [`WaylandCapture`] | wlr-screencopy 3, by shared memory, with damage |
//! | [`WaylandInput`] | wlr-virtual-pointer 2, virtual-keyboard 1 |
//! | [`WaylandClipboard`] | wlr-data-control 1 |
//! | [`sway`] | a Sway that is started, and resized by its own socket |
//!
//! Each has a connection of its own, so that none waits for another. None of them reads the
//! environment: where the compositor listens is an argument.

mod capture;
mod clipboard;
mod input;
mod keyboard;
mod line;
mod memory;
mod modifiers;
pub mod sway;

pub use self::{capture::WaylandCapture, clipboard::WaylandClipboard, input::WaylandInput};
