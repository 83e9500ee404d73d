#![doc = include_str!("../README.md")]

mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "docker")]
pub mod containers;
pub mod desktop;
pub mod dns;
pub mod docker;
pub mod guest;
mod hear_out;
pub mod images;
mod isolation;
pub mod lifecycle;
pub mod namespaces;
pub mod network;
mod service;

pub use client::{ExecEvents, GuestClient};
pub use hear_out::HearOut;
pub use isolation::{
    Connection, Environment, Error, ErrorKind, Found, FoundState, Isolation, TOOLS, Watch,
};
