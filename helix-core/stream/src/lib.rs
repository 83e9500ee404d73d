#![doc = include_str!("../README.md")]

pub mod automation;
pub mod capture;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod convert;
pub mod desktop;
pub mod encode;
mod error;
pub mod hub;
pub mod input;
pub mod pacing;
pub mod pattern;
pub mod record;
pub mod screenshot;
pub mod serve;
#[cfg(feature = "wayland")]
pub mod wayland;

pub use error::{Error, ErrorKind};
