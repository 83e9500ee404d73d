#![doc = include_str!("../README.md")]

pub mod automation;
pub mod capture;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod convert;
pub mod cursor;
pub mod desktop;
pub mod encode;
mod error;
pub mod hub;
pub mod input;
#[cfg(any(feature = "wayland", feature = "x11"))]
mod keysym;
#[cfg(any(feature = "wayland", feature = "x11"))]
mod memory;
pub mod pacing;
pub mod patch;
pub mod pattern;
pub mod record;
pub mod screenshot;
pub mod serve;
pub mod sound;
#[cfg(feature = "wayland")]
pub mod wayland;
#[cfg(feature = "x11")]
pub mod x11;

pub use error::{Error, ErrorKind};
