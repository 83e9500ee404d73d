//! Desktops as they are watched and driven: capture → encode → fan-out → pacing; input and
//! clipboard; compositors.
//!
//! One process serves one desktop. [`capture`] gives its pictures as they change, [`convert`]
//! makes of them what an [`encode::Encoder`] takes, and what comes out goes to every viewer that
//! the [`hub`] knows, each as fast as its [`pacing`] says. [`serve`] joins them behind a
//! WebSocket; `docs/desktop-protocol.md` says what is spoken there.
//!
//! Policy is pure: [`hub`] and [`pacing`] know no socket, task or clock. Backends stand behind
//! traits: [`desktop::Desktop`] with its [`capture::Capture`], [`input::InputSink`] and
//! [`desktop::Clipboard`], and [`encode::Encoders`]. [`pattern`] is a desktop of its own, for
//! tests.

pub mod capture;
pub mod convert;
pub mod desktop;
pub mod encode;
mod error;
pub mod hub;
pub mod input;
pub mod pacing;
pub mod pattern;
pub mod screenshot;
pub mod serve;
#[cfg(feature = "wayland")]
pub mod wayland;

pub use error::{Error, ErrorKind};
